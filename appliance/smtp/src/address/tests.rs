use proptest::prelude::*;

use super::*;

#[test]
fn spellings_of_one_mailbox_are_one_value() {
    let plain = Address::parse("john.smith@example.org").unwrap();
    for text in ["john.smith@Example.ORG", "\"john.smith\"@example.org", "\"john\\.smith\"@example.org"] {
        assert_eq!(Address::parse(text).unwrap(), plain, "{text}");
    }
    assert_ne!(Address::parse("John.Smith@example.org").unwrap(), plain);
    assert_eq!(Address::parse("John.SMITH@example.org").unwrap().key(), plain.key());
    let idn = Address::parse("a@bücher.example").unwrap();
    assert_eq!(idn, Address::parse("a@XN--bcher-kva.example").unwrap());
    assert!(idn.is_ascii() && !Address::parse("ü@example.org").unwrap().is_ascii());
}

#[test]
fn odd_addresses_print_as_they_must_be_written() {
    for (text, printed) in [
        ("a%b@ours.example", "a%b@ours.example"),
        ("x!y!a@ours.example", "x!y!a@ours.example"),
        ("\"a@b\"@ours.example", "\"a@b\"@ours.example"),
        ("\"a\\\"\\\\b\"@ours.example", "\"a\\\"\\\\b\"@ours.example"),
        ("\"a b\"@ours.example", "\"a b\"@ours.example"),
        ("\"a>b\"@ours.example", "\"a>b\"@ours.example"),
        ("\"a..b\"@ours.example", "\"a..b\"@ours.example"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[ipv6:2001:DB8:0::1]", "a@[IPv6:2001:db8::1]"),
    ] {
        assert_eq!(Address::parse(text).unwrap().to_string(), printed);
    }
}

#[test]
fn what_is_no_address_is_refused_with_its_place() {
    use AddressProblem::*;
    for (text, problem, at) in [
        ("", EmptyLocalPart, 0),
        ("@example.org", EmptyLocalPart, 0),
        ("\"\"@example.org", EmptyLocalPart, 0),
        (".a@example.org", LocalPart, 0),
        ("a..b@example.org", LocalPart, 2),
        ("a.@example.org", LocalPart, 1),
        ("a", At, 1),
        ("a b@example.org", At, 1),
        ("\"a\"b@example.org", At, 3),
        ("\"a@example.org", Unclosed, 14),
        ("\"a\\\r\n\"@example.org", Control, 3),
        ("\"a\rb\"@example.org", Control, 2),
        ("\"a\u{85}b\"@example.org", Control, 2),
        ("a@example.org.", TrailingDot, 13),
        ("a@", Domain(DomainNameError::Empty), 2),
        ("a@192.0.2.1", Domain(DomainNameError::Address), 2),
        ("a@[192.0.2]", Literal, 3),
        ("a@[2001:db8::1]", Literal, 3),
        ("a@[192.0.2.1", Literal, 2),
        ("a@example.org>", Trailing, 13),
    ] {
        assert_eq!(Address::parse(text), Err(problem.at(at)), "{text:?}");
    }
}

#[test]
fn lengths_are_bounded_at_64_255_and_320() {
    let local = "a".repeat(LOCAL_PART_MAX);
    let label = "b".repeat(61);
    let domain = [label.as_str(); 4].join(".") + ".cdefg";
    assert_eq!(domain.len(), DomainName::MAX);
    let address = format!("{local}@{domain}");
    assert!(Address::parse(&address).is_ok() && address.len() <= ADDRESS_MAX);
    let problem = |text: &str| Address::parse(text).unwrap_err().problem;
    assert_eq!(problem(&format!("a{address}")), AddressProblem::LocalPartTooLong);
    assert_eq!(problem(&format!("{address}h")), AddressProblem::Domain(DomainNameError::TooLong));
    assert_eq!(problem(&format!("a@{}", "b".repeat(DOMAIN_MAX + 1))), AddressProblem::DomainTooLong);
    let escaped = format!("\"{}\"@{domain}", "\\a".repeat(LOCAL_PART_MAX));
    assert_eq!(problem(&escaped), AddressProblem::TooLong);
    assert_eq!(problem(&format!("\"{}", "\\a".repeat(100_000))), AddressProblem::LocalPartTooLong);
    assert_eq!(problem(&format!("\"{}\"@b.example", "\\\"".repeat(32))), AddressProblem::LocalPartTooLong);
}

#[test]
fn source_routes_are_accepted_and_ignored() {
    let plain = ForwardPath::parse("<a@ours.example>").unwrap();
    for text in ["<@x.example:a@ours.example>", "<@x.example,@[192.0.2.1]:a@ours.example>"] {
        assert_eq!(ForwardPath::parse(text).unwrap(), plain, "{text}");
    }
    for text in [
        "<@x.example>",
        "<@x.example,a@b.example>",
        "<@x.example a@b.example>",
        "<@:a@b.example>",
        "<@x.example:>",
    ] {
        assert!(ForwardPath::parse(text).is_err(), "{text}");
    }
}

#[test]
fn paths_need_their_brackets() {
    assert_eq!(ReversePath::parse("<>").unwrap(), ReversePath::Null);
    assert_eq!(ForwardPath::parse("<PostMaster>").unwrap(), ForwardPath::Postmaster);
    assert!(ForwardPath::parse("<POSTMASTER@example.org>").unwrap().is_postmaster());
    for text in [
        "a@b.example",
        "<a@b.example",
        "< a@b.example>",
        "<a@b.example >",
        "<a@b.example>x",
        "<a>",
        "<postmäster>",
    ] {
        assert!(ForwardPath::parse(text).is_err(), "{text}");
        assert!(ReversePath::parse(text).is_err(), "{text}");
    }
    assert!(ForwardPath::parse("<>").is_err());
}

proptest! {
    #[test]
    fn what_parses_prints_to_what_parses_to_the_same(text in "(\"[ -~ü]{0,8}\"|[a-z.%!ü]{0,8})@([a-z]{1,4}\\.){0,3}(de|ü|\\[192\\.0\\.2\\.1\\])") {
        if let Ok(address) = Address::parse(&text) {
            let printed = address.to_string();
            prop_assert_eq!(&Address::parse(&printed).unwrap(), &address);
            prop_assert!(printed.len() <= ADDRESS_MAX && !printed.contains(char::is_control));
            let path = format!("<{printed}>");
            prop_assert_eq!(ReversePath::parse(&path).unwrap().to_string(), path);
            // The configuration compares addresses by the same text.
            let key = address.key();
            let parsed = printed.parse::<config_schema::AddressKey>();
            if address.domain().is_some() {
                prop_assert_eq!(parsed.map(|parsed| parsed.to_string()), Ok(key));
            } else {
                prop_assert!(parsed.is_err());
            }
        }
    }

    #[test]
    fn any_content_that_is_taken_can_be_written(content in "\\PC{0,20}") {
        if let Ok(local) = LocalPart::from_content(&content) {
            prop_assert_eq!(local.as_str(), content);
            prop_assert_eq!(LocalPart::parse(&local.to_string()).unwrap(), local);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        let _ = (Address::parse(&text), ReversePath::parse(&text), ForwardPath::parse(&text));
    }
}
