//! Recipients, their streams and their logins, as a real directory server says.

use serde_json::Value;

use crate::{
    certificates::Authority,
    configuration::{ROOMY, with_domains},
    control::{ask, checked, counted, log_in, map},
    lab::{HOST, Lab, wait_for},
    postfix::Postfix,
    requirements::available,
    slapd::{LDAPS, Slapd, entry},
    swaks::{accepted, refused},
};

/// The next hop, which is the verification server, too.
const PORT: u16 = 2526;

fn people() -> String {
    [
        entry(
            "Ann",
            "user",
            &[
                ("sAMAccountName", "Ann"),
                ("proxyAddresses", "SMTP:Ann.Smith@example.com"),
                ("proxyAddresses", "smtp:ann@example.com"),
                ("proxyAddresses", "X500:/o=Example/cn=Ann"),
                ("mail", "ann.smith@example.com"),
                ("userPassword", "ann-password"),
            ],
        ),
        entry("Bob", "user", &[("sAMAccountName", "bob"), ("mail", "bob@example.com")]),
        entry("Sales", "group", &[("sAMAccountName", "sales"), ("proxyAddresses", "SMTP:sales@example.com")]),
        entry(
            "Info",
            "user",
            &[("sAMAccountName", "info1"), ("mail", "info@example.com"), ("msExchRecipientTypeDetails", "4")],
        ),
    ]
    .concat()
}

/// One domain whose recipients and logins a directory for all realms knows; no copy of it is kept.
fn configuration(authority: &Authority) -> String {
    let lookup = format!(
        r#"
[[user-lookup]]
name = "corp"
method = "ldap"
preset = "ad-windows-name"
servers = ["[{HOST}]:{LDAPS}"]
base = "dc=example,dc=com"
bind-dn = "cn=reader,dc=example,dc=com"
bind-password = "reader-secret"
time-limit = "2 s"
sync-every = "0 s"
"#
    );
    let domain = format!(
        "verification-server = \"[{HOST}]:{PORT}\"\nmapping = \"corp\"\nauthentication = \"corp\"\n{lookup}"
    );
    with_domains(&[("example.com", PORT)], &format!("{ROOMY}{}", authority.trusted())) + &domain
}

#[test]
fn an_account_is_one_stream_whatever_its_addresses_are() {
    if !available(&["slapd", "postfix", "swaks"]) {
        return;
    }
    let lab = Lab::new();
    let authority = Authority::new();
    let mut slapd = Slapd::start(&lab, &authority.site(), &people());
    // It would take everybody; the directory knows better.
    let _server = Postfix::start(
        &lab,
        PORT,
        "virtual_mailbox_domains = example.com\nvirtual_mailbox_maps = static:all/",
    );
    let _appliance = lab.start(&configuration(&authority));
    for address in [
        "ann@example.com",
        "Ann.Smith@example.com",
        "ann+tag@example.com",
        "sales@example.com",
        "info@example.com",
    ] {
        accepted(&lab, address);
    }
    for address in ["nobody@example.com", "*@example.com", "\"*)(mail=*\"@example.com"] {
        refused(&lab, address, "550 5.1.1");
    }
    let ann = map(&lab, "ann@example.com");
    assert_eq!((&ann["outcome"], &ann["stream"]), (&"accepted".into(), &"example:ann".into()), "{ann}");
    assert!(ann["trace"].to_string().contains("user cn=Ann,dc=example,dc=com"), "{ann}");
    let nobody = map(&lab, "nobody@example.com");
    assert_eq!(nobody["outcome"], "refused", "{nobody}");
    assert!(nobody["trace"].to_string().contains("user lookup `corp`"), "{nobody}");

    let domain = checked(&lab, "example.com");
    assert_eq!(domain["check"]["reason"], "directory-validates", "{domain}");
    assert!(domain["notes"].to_string().contains("redundant"), "{domain}");
    let removed = ask(&lab, &["domain", "remove-verification-server", "example.com"]);
    assert_eq!(removed, "done");
    let domain = ask(&lab, &["domain", "show", "example.com"])["domains"][0].clone();
    assert_eq!((&domain["verification_server"], &domain["mx"]), (&Value::Null, &"mx.example.com".into()));
    assert!(!domain["notes"].to_string().contains("redundant"), "{domain}");
    assert_eq!(
        counted(&lab),
        [
            ("example:ann".to_owned(), 3),
            ("example:info@example.com".to_owned(), 1),
            ("example:sales@example.com".to_owned(), 1)
        ]
    );
    let counts = ask(&lab, &["provisioning"]);
    assert_eq!(counts["provisioning"]["domains"][0]["streams"], 3, "{counts}");
    assert_eq!(counts["provisioning"]["realms"][0]["streams"], 3, "{counts}");

    slapd.kill();
    accepted(&lab, "ann@example.com");
    refused(&lab, "bob@example.com", "451 4.4.3");
    refused(&lab, "carl@example.com", "451 4.4.3");
    let waiting = map(&lab, "carl@example.com");
    assert_eq!(waiting["outcome"], "deferred", "{waiting}");
    let lookup = ask(&lab, &["lookup", "list"])["lookups"][0].clone();
    assert!(!lookup["alarms"].as_array().unwrap().is_empty(), "{lookup}");
    slapd.restart(&lab);
    wait_for("the directory is asked again", || {
        (map(&lab, "carl@example.com")["outcome"] == "refused").then_some(())
    });
}

#[test]
fn a_password_is_tried_at_the_directory_and_not_without_end() {
    if !available(&["slapd"]) {
        return;
    }
    let lab = Lab::new();
    let authority = Authority::new();
    let mut slapd = Slapd::start(&lab, &authority.site(), &people());
    let _appliance = lab.start(&configuration(&authority));
    let from =
        |source: &str, password: &str| log_in(&lab, "ann@example.com", password, &["--source", source]);
    let ann = from("192.0.2.1", "ann-password");
    assert_eq!((&ann["accepted"], &ann["home_stream"]), (&true.into(), &"example:ann".into()), "{ann}");
    assert_eq!((&ann["realm"], &ann["role"]), (&"example".into(), &"end-user".into()), "{ann}");
    for password in ["", "Ann-password", "reader-secret"] {
        let wrong = from("192.0.2.1", password);
        assert_eq!(wrong["because"], "no such user, or a wrong password", "{wrong}");
    }
    let nobody = log_in(&lab, "nobody@example.com", "x", &["--source", "192.0.2.1"]);
    assert_eq!(nobody["because"], "no such user, or a wrong password", "{nobody}");

    for _ in 0..7 {
        let wrong = from("192.0.2.1", "wrong");
        assert_eq!(wrong["wait_seconds"], Value::Null, "{wrong}");
    }
    let wait = |login: &Value| login["wait_seconds"].as_u64().unwrap_or_default();
    let locked = from("192.0.2.1", "ann-password");
    assert!((20..=30).contains(&wait(&locked)), "the right password, too: {locked}");
    // Whoever has hardly tried still gets in, and others get no further by it.
    let owner = from("198.51.100.1", "ann-password");
    assert_eq!(owner["accepted"], true, "{owner}");
    let next = wait_for("the wait is over", || {
        let next = from("192.0.2.1", "wrong");
        (next["wait_seconds"] == Value::Null).then_some(next)
    });
    assert_eq!(next["because"], "no such user, or a wrong password", "{next}");
    let locked = from("192.0.2.1", "ann-password");
    assert!((45..=60).contains(&wait(&locked)), "each wait is longer: {locked}");

    slapd.kill();
    let away = from("198.51.100.1", "ann-password");
    assert!(away["because"].as_str().unwrap().contains("user lookup `corp`"), "{away}");
}
