use super::*;
use crate::ldap::{
    Entry, ServerResult,
    lookup::tests::{entry, found, ldap},
};

fn attempt(name: &str) -> Attempt {
    Attempt::new(name, Secret::new("secret")).unwrap()
}

fn ann() -> Entry {
    entry(
        "cn=Ann,dc=example",
        &[
            ("objectClass", &["user"]),
            ("sAMAccountName", &["ann"]),
            ("userPrincipalName", &["ann@corp.example"]),
            ("mail", &["Ann.Other@example.com"]),
        ],
    )
}

fn account() -> Account {
    Account { dn: "cn=Ann,dc=example".into(), stream: "ann".into() }
}

#[test]
fn what_cannot_be_right_is_refused_before_anybody_is_asked() {
    for (name, password, answer) in [
        ("ann", "", LoginAnswer::WrongPassword),
        ("ann", "a\0b", LoginAnswer::WrongPassword),
        ("ann", &"x".repeat(PASSWORD_MAX + 1)[..], LoginAnswer::WrongPassword),
        ("", "secret", LoginAnswer::NoSuchUser),
        (" ", "secret", LoginAnswer::NoSuchUser),
        ("a\nb", "secret", LoginAnswer::NoSuchUser),
        (&"x".repeat(LOGIN_NAME_MAX + 1), "secret", LoginAnswer::NoSuchUser),
    ] {
        assert_eq!(Attempt::new(name, Secret::new(password)), Err(answer), "{name:?}");
    }
    assert!(!format!("{:?}", Attempt::new("ann", Secret::new("hunter2"))).contains("hunter2"));
}

#[test]
fn a_user_is_found_by_each_name_and_by_address() {
    let ldap = ldap("ad-windows-name");
    for name in ["ann", "ANN", "CORP\\ann", "ann@corp.example", "ann.other@example.com"] {
        assert_eq!(attempt(name).account(&ldap, found(vec![ann()])), Ok(account()), "{name}");
    }
    let filter = attempt("CORP\\*)(cn=*").search(&ldap).filter.to_string();
    assert!(filter.contains("(sAMAccountName=\\2a\\29\\28cn=\\2a)"), "{filter}");
    let filter = attempt("ann@corp.example").search(&ldap).filter.to_string();
    assert!(
        filter.contains("(userPrincipalName=ann@corp.example)(|(proxyAddresses=smtp:ann@corp.example)"),
        "{filter}"
    );
}

#[test]
fn only_one_person_is_meant() {
    let ldap = ldap("ad-windows-name");
    let account = |entries| attempt("ann").account(&ldap, found(entries));
    assert_eq!(account(vec![]), Err(LoginAnswer::NoSuchUser));
    let group = entry(
        "cn=G",
        &[("objectClass", &["group"]), ("sAMAccountName", &["ann"]), ("mail", &["g@example.com"])],
    );
    assert_eq!(account(vec![group.clone()]), Err(LoginAnswer::NoSuchUser));
    assert_eq!(account(vec![group, ann()]).map(|account| account.stream), Ok("ann".into()));
    // Whom a server offers instead is not who was asked for.
    assert_eq!(attempt("änn").account(&ldap, found(vec![ann()])), Err(LoginAnswer::NoSuchUser));
    let twice = account(vec![ann(), ann()]);
    assert!(
        matches!(&twice, Err(LoginAnswer::Unavailable { why }) if why.contains("is that of user cn=Ann")),
        "{twice:?}"
    );
    let failed = attempt("ann").account(&ldap, Err(SearchFault::Connection(Fault::Closed)));
    assert!(matches!(failed, Err(LoginAnswer::Unavailable { .. })));
}

#[test]
fn the_answer_to_the_bind_says_what_it_is() {
    use AccountState::*;
    let active = |data: &str| {
        let text = format!(
            "80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error, data {data}, v4563"
        );
        Fault::Bind(ServerResult { code: 49, text })
    };
    for (data, expected) in [
        ("52e", LoginAnswer::WrongPassword),
        ("525", LoginAnswer::NoSuchUser),
        ("530", LoginAnswer::Refused(NotNow)),
        ("532", LoginAnswer::Refused(PasswordExpired)),
        ("533", LoginAnswer::Refused(Disabled)),
        ("701", LoginAnswer::Refused(Expired)),
        ("773", LoginAnswer::Refused(MustChangePassword)),
        ("775", LoginAnswer::Refused(Locked)),
        ("57", LoginAnswer::WrongPassword),
        ("zz", LoginAnswer::WrongPassword),
    ] {
        assert_eq!(answer(account(), Some(&active(data))), expected, "{data}");
    }
    let code = |code| answer(account(), Some(&Fault::Bind(ServerResult { code, text: String::new() })));
    assert_eq!(code(49), LoginAnswer::WrongPassword);
    assert_eq!(code(48), LoginAnswer::WrongPassword);
    assert_eq!(code(32), LoginAnswer::NoSuchUser);
    assert_eq!(code(19), LoginAnswer::Refused(Locked));
    assert!(matches!(code(52), LoginAnswer::Unavailable { .. }));
    assert!(matches!(answer(account(), Some(&Fault::Closed)), LoginAnswer::Unavailable { .. }));
    assert_eq!(answer(account(), None), LoginAnswer::Ok(account()));
}
