use proptest::prelude::*;

use super::*;

fn realm() -> RealmName {
    "example".parse().unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn name(mapping: &DomainMapping, text: &str) -> String {
    match by_domain(mapping, &realm(), &address(text), PlusAddresses::Base).unwrap() {
        Way::Stream(mapped) => mapped.stream.to_string(),
        Way::Lookup { name, address } => format!("ask {name} of {address}"),
    }
}

#[test]
fn each_mapping_in_every_spelling() {
    let lookup = DomainMapping::Lookup("corp".parse().unwrap());
    for (text, as_is, chop, asked) in [
        ("ann@example.com", "ann@example.com", "ann", "ann@example.com"),
        ("Ann.Lee@EXAMPLE.Com", "ann.lee@example.com", "ann.lee", "Ann.Lee@example.com"),
        ("ann+news+x@example.com", "ann@example.com", "ann", "ann@example.com"),
        ("+tag@example.com", "+tag@example.com", "+tag", "+tag@example.com"),
        ("\"ann\"@example.com", "ann@example.com", "ann", "ann@example.com"),
        ("\"Ann Lee\"@example.com", "\"ann lee\"@example.com", "\"ann lee\"", "\"Ann Lee\"@example.com"),
        ("\"a@b\"@example.com", "\"a@b\"@example.com", "\"a@b\"", "\"a@b\"@example.com"),
        (
            "J\u{dc}RGEN@B\u{fc}cher.example",
            "j\u{fc}rgen@xn--bcher-kva.example",
            "j\u{fc}rgen",
            "J\u{dc}RGEN@xn--bcher-kva.example",
        ),
    ] {
        assert_eq!(name(&DomainMapping::AsIs, text), format!("example:{as_is}"));
        assert_eq!(name(&DomainMapping::ChopDomain, text), format!("example:{chop}"));
        assert_eq!(name(&lookup, text), format!("ask corp of {asked}"));
    }
}

#[test]
fn a_tag_counts_where_it_is_asked_to() {
    let exact = |mapping| by_domain(&mapping, &realm(), &address("Ann+X@example.com"), PlusAddresses::Exact);
    let Ok(Way::Stream(mapped)) = exact(DomainMapping::AsIs) else { panic!("no stream") };
    assert_eq!(mapped.stream.name(), "ann+x@example.com");
}

#[test]
fn nobody_is_called_default() {
    assert_eq!(name(&DomainMapping::ChopDomain, "Default@example.com"), "example:default@example.com");
    let lookup = "corp".parse().unwrap();
    let mapped = by_lookup(&lookup, " DEFAULT ", &realm(), &address("ann@example.com")).unwrap();
    assert_eq!((mapped.stream.name(), mapped.by), ("ann@example.com", By::Lookup(lookup)));
    assert!(default(&realm()).stream.is_default());
}

#[test]
fn a_stream_of_another_realm_is_none() {
    let (own, other) = ("example:ann".parse().unwrap(), "other:ann".parse::<StreamName>().unwrap());
    assert_eq!(
        named(&own, By::AddressMapping, &realm()),
        Ok(Mapped { stream: own.clone(), by: By::AddressMapping })
    );
    let error = named(&other, By::AddressMapping, &realm());
    assert_eq!(error, Err(MappingError::OtherRealm { stream: other, realm: realm() }));
}

#[test]
fn a_name_that_grows_too_long_in_lower_case_is_an_error() {
    // Two octets that are three in lower case.
    let local = "\u{130}".repeat(32);
    let domain =
        format!("{}.{}.{}.{}.example", "a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(50));
    let long = address(&format!("{local}@{domain}"));
    let result = by_domain(&DomainMapping::AsIs, &realm(), &long, PlusAddresses::Base);
    assert!(matches!(result, Err(MappingError::Name { .. })), "{result:?}");
    let lookup = "corp".parse().unwrap();
    for name in ["", "a\nb", &"a".repeat(STREAM_NAME_MAX + 1)] {
        let result = by_lookup(&lookup, name, &realm(), &address("a@b.example"));
        assert!(matches!(result, Err(MappingError::Name { .. })), "{name:?}");
    }
    assert!(by_lookup(&lookup, &"a".repeat(STREAM_NAME_MAX), &realm(), &address("a@b.example")).is_ok());
}

proptest! {
    #[test]
    fn every_address_has_one_stream_in_every_case_of_letters(local in "[a-zA-Z0-9+.\u{e4}\u{c4} \"@]{1,20}") {
        let Ok(local) = LocalPart::from_content(&local) else { return Ok(()) };
        let upper = LocalPart::from_content(&local.as_str().to_uppercase());
        let lower = LocalPart::from_content(&local.as_str().to_lowercase());
        let (Ok(upper), Ok(lower)) = (upper, lower) else { return Ok(()) };
        let host = address("x@Example.COM").host().clone();
        for mapping in [DomainMapping::AsIs, DomainMapping::ChopDomain] {
            let of = |local: &LocalPart| {
                by_domain(&mapping, &realm(), &Address::new(local.clone(), host.clone()), PlusAddresses::Base)
            };
            let Ok(Way::Stream(mapped)) = of(&lower) else { panic!("no stream") };
            prop_assert!(!mapped.stream.is_default());
            prop_assert_eq!(mapped.stream.realm(), &realm());
            prop_assert_eq!(of(&upper), Ok(Way::Stream(mapped)));
        }
    }
}
