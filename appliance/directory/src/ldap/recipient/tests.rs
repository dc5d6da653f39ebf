use super::*;
use crate::ldap::lookup::tests::{entry, ldap};

fn of(values: &[(&str, &[&str])]) -> Option<Recipient> {
    Recipient::of(&ldap("ad-windows-name"), &entry("CN=Ann,DC=example", values))
}

fn addresses(recipient: &Recipient) -> Vec<String> {
    recipient.addresses.iter().map(Address::to_string).collect()
}

#[test]
fn all_addresses_of_an_account_are_one_stream() {
    let ann = of(&[
        ("objectClass", &["top", "person", "user"]),
        ("sAMAccountName", &["ANN"]),
        (
            "proxyAddresses",
            &["smtp:a.other@example.com", "X500:/o=x", "SMTP:Ann@Example.com", "sip:ann@example.com"],
        ),
        ("mail", &["ann@example.com"]),
    ])
    .unwrap();
    assert_eq!(addresses(&ann), ["Ann@example.com", "a.other@example.com"]);
    assert_eq!((ann.kind, &*ann.stream), (Kind::User, "ann"));
    assert!(ann.has(&Address::parse("ANN@example.com").unwrap()));
    assert!(ann.is_primary(&Address::parse("ann@EXAMPLE.com").unwrap()));
    assert!(!ann.is_primary(&Address::parse("a.other@example.com").unwrap()));
}

#[test]
fn groups_shared_mailboxes_and_contacts_are_streams_of_their_own() {
    for (classes, details, kind) in [
        (&["top", "group"][..], "1", Kind::Group),
        (&["groupOfNames"], "1", Kind::Group),
        (&["contact"], "1", Kind::Contact),
        (&["publicFolder"], "1", Kind::PublicFolder),
        (&["user"], "4", Kind::SharedMailbox),
        (&["user"], "34359738368", Kind::SharedMailbox),
        (&["user"], "1", Kind::User),
        (&["user"], "junk", Kind::User),
    ] {
        let found = of(&[
            ("objectClass", classes),
            ("msExchRecipientTypeDetails", &[details]),
            ("sAMAccountName", &["Sales"]),
            ("mail", &["Team.Sales@example.com"]),
        ])
        .unwrap();
        let stream = if kind == Kind::User { "sales" } else { "team.sales@example.com" };
        assert_eq!((found.kind, &*found.stream), (kind, stream), "{classes:?} {details}");
    }
}

#[test]
fn who_has_no_name_for_a_stream_has_one_by_the_primary_address() {
    for name in [&[][..], &[""], &["  "], &["a\nb"], &["default"], &["Default"]] {
        let found = of(&[("sAMAccountName", name), ("mail", &["Ann@example.com"])]).unwrap();
        assert_eq!(&*found.stream, "ann@example.com", "{name:?}");
    }
    let long = "x".repeat(STREAM_NAME_MAX + 1);
    let found = of(&[("sAMAccountName", &[&long]), ("mail", &["ann@example.com"])]).unwrap();
    assert_eq!(&*found.stream, "ann@example.com");
}

#[test]
fn who_has_no_address_is_no_recipient() {
    assert_eq!(of(&[("sAMAccountName", &["ann"])]), None);
    assert_eq!(
        of(&[("mail", &["ann", "@example.com", "a b@example.com"]), ("proxyAddresses", &["X400:c=DE"])]),
        None
    );
}

#[test]
fn the_order_of_values_does_not_matter() {
    let one = of(&[("mail", &["b@example.com", "a@example.com"])]).unwrap();
    let other = of(&[("mail", &["a@example.com", "b@example.com"])]).unwrap();
    assert_eq!(one, other);
    assert_eq!(addresses(&one), ["a@example.com", "b@example.com"]);
}

#[test]
fn an_entry_is_known_by_what_stays() {
    let mail: (&str, &[&str]) = ("mail", &["a@example.com"]);
    let id = |values: &[(&str, &[&str])]| of(values).unwrap().id.into_string();
    assert_eq!(id(&[mail, ("entryUUID", &["0A-1"])]), "0a-1");
    let guid = "0123456789abcdef";
    assert_eq!(
        id(&[mail, ("entryUUID", &["0-1"]), ("objectGUID", &[guid])]),
        "33323130-3534-3736-3839-616263646566"
    );
    assert_eq!(id(&[mail, ("objectGUID", &["short"])]), "73686f7274");
    assert_eq!(id(&[mail, ("objectGUID", &["0123456789abcdefg"])]), "3031323334353637383961626364656667");
    assert_eq!(id(&[mail]), "cn=ann,dc=example");
}

#[test]
fn a_name_is_shown_on_one_short_line() {
    let recipient = Recipient {
        id: "".into(),
        kind: Kind::Group,
        dn: format!("cn=a\r\n{}", "b".repeat(1_000)).into(),
        stream: "s".into(),
        addresses: Vec::new(),
    };
    let shown = recipient.to_string();
    assert!(shown.starts_with("group cn=a  b") && shown.len() < 220, "{shown}");
}
