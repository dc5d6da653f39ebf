use config_schema::{Config, user_lookup::Method};
use proptest::prelude::*;

use super::*;
use crate::ldap::{Entry, ServerResult, client::Fault};

/// A directory of this preset.
pub(in crate::ldap) fn ldap(preset: &str) -> Ldap {
    let text = format!(
        "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n[[user-lookup]]\nname = \"a\"\n\
         method = \"ldap\"\npreset = \"{preset}\"\nservers = \"dc.example.com\"\nbase = \"dc=example\"\n"
    );
    let config = Config::parse("test.toml", &text).unwrap();
    let Method::Ldap(ldap) = &config.user_lookups[0].method else { panic!("another method") };
    Ldap::clone(ldap)
}

pub(in crate::ldap) fn entry(dn: &str, values: &[(&str, &[&str])]) -> Entry {
    let octets = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect();
    Entry::new(dn.into(), values.iter().map(|(name, values)| ((*name).to_owned(), octets(values))).collect())
}

pub(in crate::ldap) fn found(entries: Vec<Entry>) -> Result<Found, SearchFault> {
    Ok(Found { entries, cookie: Vec::new(), cut: None })
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn user(dn: &str, name: &str, mail: &str) -> Entry {
    entry(dn, &[("objectClass", &["user"]), ("sAMAccountName", &[name]), ("proxyAddresses", &[mail])])
}

fn says(entries: Vec<Entry>, of: &str) -> LookupAnswer {
    answer(&ldap("ad-windows-name"), &address(of), found(entries))
}

fn stream(stream: &str, because: &str) -> LookupAnswer {
    LookupAnswer::Stream { stream: stream.into(), because: because.into() }
}

#[test]
fn an_address_is_looked_for_wherever_it_may_stand() {
    let search = search(&ldap("ad-windows-name"), &address("Ann@example.com"));
    let entries = ldap("ad-windows-name").entries();
    assert_eq!(
        search.filter.to_string(),
        format!(
            "(&{entries}(|(proxyAddresses=smtp:Ann@example.com)(proxyAddresses=SMTP:Ann@example.com)(mail=Ann@example.com)))"
        )
    );
    assert_eq!((search.size_limit, search.entries_max, search.page), (Some(MATCHES_MAX), 16, None));
    let unicode = super::search(&ldap("generic-email"), &address("ann@bücher.example")).filter.to_string();
    assert!(
        unicode.contains("(mail=ann@xn--bcher-kva.example)(mailAlternateAddress=ann@xn--bcher-kva.example)")
    );
    assert!(unicode.contains("(mail=ann@bücher.example)"), "{unicode}");
}

#[test]
fn an_account_has_its_stream_and_who_has_none_is_unknown() {
    let ann = || user("cn=Ann,dc=example", "ann", "SMTP:ann@example.com");
    assert_eq!(says(vec![ann()], "ann@example.com"), stream("ann", "user cn=Ann,dc=example"));
    assert_eq!(says(vec![], "ann@example.com"), LookupAnswer::Unknown);
    // A server whose comparison is wider than ours, or that lies.
    assert_eq!(says(vec![ann()], "änn@example.com"), LookupAnswer::Unknown);
}

#[test]
fn of_two_with_one_address_the_same_one_wins_and_both_are_named() {
    let ann = || user("cn=Ann,dc=example", "ann", "smtp:sales@example.com");
    let bob = || user("cn=Bob,dc=example", "bob", "smtp:sales@example.com");
    let group = || {
        entry(
            "cn=A,dc=example",
            &[
                ("objectClass", &["group"]),
                ("proxyAddresses", &["smtp:sales@example.com", "SMTP:a@example.com"]),
            ],
        )
    };
    let owner = || {
        entry(
            "cn=Z,dc=example",
            &[("objectClass", &["group"]), ("proxyAddresses", &["SMTP:sales@example.com"])],
        )
    };
    let by_name = |entries: Vec<Entry>| says(entries, "sales@example.com");
    let both = "user cn=Ann,dc=example; the address is also that of user cn=Bob,dc=example";
    // Both have it as their only, hence primary address.
    assert_eq!(by_name(vec![ann(), bob()]), stream("ann", both));
    assert_eq!(by_name(vec![bob(), ann()]), stream("ann", both));
    let three = "user cn=Ann,dc=example; the address is also that of user cn=Bob,dc=example and 1 more";
    assert_eq!(by_name(vec![group(), bob(), ann()]), stream("ann", three));
    let primary = "group cn=Z,dc=example; the address is also that of group cn=A,dc=example";
    assert_eq!(by_name(vec![group(), owner()]), stream("sales@example.com", primary));
}

#[test]
fn what_nobody_knows_is_not_unknown() {
    let ldap = ldap("ad-windows-name");
    let of = address("ann@example.com");
    let result = |code| ServerResult { code, text: String::new() };
    let cut = Ok(Found { entries: Vec::new(), cookie: Vec::new(), cut: Some(result(4)) });
    // Such as a base that does not exist: it must not refuse everybody.
    for failed in [Err(SearchFault::Refused(result(32))), Err(SearchFault::Connection(Fault::Closed)), cut] {
        let answer = answer(&ldap, &of, failed.clone());
        assert!(matches!(answer, LookupAnswer::Unavailable { .. }), "{failed:?}");
    }
    let unreadable = entry("cn=Ann,dc=example", &[("objectClass", &["user"])]);
    let LookupAnswer::Unavailable { why } = says(vec![unreadable], "ann@example.com") else { panic!() };
    assert!(why.contains("may not be read"), "{why}");
    // What was found before the limit was reached counts.
    let ann = user("cn=Ann,dc=example", "ann", "SMTP:ann@example.com");
    let cut = Ok(Found { entries: vec![ann], cookie: Vec::new(), cut: Some(result(4)) });
    assert!(matches!(answer(&ldap, &of, cut), LookupAnswer::Stream { .. }));
}

proptest! {
    /// Whatever stands in an address, its filter is printed and read back as one with that value and no other.
    #[test]
    fn no_address_breaks_out_of_its_filter(local in "[ -~äß]{1,30}") {
        let quoted = format!("\"{}\"@example.com", local.replace('\\', "\\\\").replace('"', "\\\""));
        let Ok(address) = Address::parse(&quoted) else { return Ok(()) };
        let filter = search(&ldap("generic-username"), &address).filter;
        prop_assert_eq!(&filter.to_string().parse::<Filter>().unwrap(), &filter);
        let Filter::And(parts) = &filter else { panic!("another shape") };
        let [_, Filter::Or(items)] = parts.as_slice() else { panic!("another shape") };
        for item in items {
            let Filter::Item { test: Test::Equal(value), .. } = item else { panic!("another shape") };
            prop_assert_eq!(value, &address.to_string());
        }
    }
}
