//! Who may log in: by a mail server's word, by passwords that are kept here, and by one-time codes beside them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use config_schema::{Secret, TotpSecret, password};
use serde_json::Value;

use crate::{
    certificates::Authority,
    configuration::with_domains,
    control::{ask, control, log_in},
    dovecot::{Dovecot, IMAPS, POP3S},
    lab::{HOST, Lab, text},
    requirements::available,
};

const WRONG: &str = "no such user, or a wrong password";

fn hash(password: &str) -> String {
    password::hash(&Secret::new(password)).unwrap().expose().to_owned()
}

/// The code that an authenticator shows now (RFC 6238 §4), `later` steps from now.
fn code(secret: &TotpSecret, later: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30 + later;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret.key());
    let tag = hmac::sign(&key, &now.to_be_bytes());
    let tag = tag.as_ref();
    // RFC 4226 §5.3.
    let offset = usize::from(tag[tag.len() - 1] & 0xf);
    let number = u32::from_be_bytes(tag[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn because(login: &Value) -> &str {
    login["because"].as_str().unwrap()
}

#[test]
fn a_mail_server_checks_passwords_by_imap_and_is_outlived() {
    a_mail_server_checks_passwords_and_is_outlived("imap", IMAPS);
}

#[test]
fn a_mail_server_checks_passwords_by_pop3_and_is_outlived() {
    a_mail_server_checks_passwords_and_is_outlived("pop3", POP3S);
}

fn a_mail_server_checks_passwords_and_is_outlived(method: &str, port: u16) {
    if !available(&["dovecot"]) {
        return;
    }
    let lab = Lab::new();
    let authority = Authority::new();
    let users = [("ann@example.com", "a \"long\" s3cret"), ("bob@example.com", "bob-password")];
    let dovecot = Dovecot::start(&lab, &authority.site(), &users);
    let lookup = format!(
        r#"authentication = "mailboxes"

[[user-lookup]]
name = "mailboxes"
realm = "example"
method = "{method}"
servers = ["[{HOST}]:{port}"]
lower-case = true
cache-days = 7

[[user]]
name = "bob@example.com"
realm = "example"
role = "realm-administrator"
read-only = true
lookup = "mailboxes"
streams = ["example:sales@example.com"]
"#
    );
    let configuration = with_domains(&[("example.com", 2526)], &authority.trusted()) + &lookup;
    let appliance = lab.start(&configuration);
    let ann = log_in(&lab, "Ann@Example.com", "a \"long\" s3cret", &[]);
    assert_eq!(
        (&ann["accepted"], &ann["home_stream"], &ann["role"]),
        (&true.into(), &"example:ann@example.com".into(), &"end-user".into()),
        "{ann}"
    );
    let bob = log_in(&lab, "bob@example.com", "bob-password", &[]);
    assert_eq!(bob["role"], "realm-administrator, read only", "{bob}");
    assert_eq!(bob["streams"][0], "example:sales@example.com", "{bob}");
    for (user, password) in [
        ("ann@example.com", "bob-password"),
        ("ann@example.com", ""),
        ("carl@example.com", "bob-password"),
        ("ann@example.org", "a \"long\" s3cret"),
        ("ann", "a \"long\" s3cret"),
    ] {
        let wrong = log_in(&lab, user, password, &[]);
        assert_eq!(because(&wrong), WRONG, "{user}: {wrong}");
    }

    // The good password is remembered while the server is away, also over a restart.
    drop(dovecot);
    assert!(appliance.stop().success());
    let _appliance = lab.start(&configuration);
    let ann = log_in(&lab, "ann@example.com", "a \"long\" s3cret", &[]);
    assert!(ann["accepted"] == true && because(&ann).contains("took this password lately"), "{ann}");
    let wrong = log_in(&lab, "ann@example.com", "another", &[]);
    assert!(because(&wrong).contains("user lookup `mailboxes`"), "not `wrong`, since nobody looked: {wrong}");

    // A server with a certificate of another authority is told no password.
    let _impostor = Dovecot::start(&lab, &Authority::new().site(), &[("carl@example.com", "x")]);
    let carl = log_in(&lab, "carl@example.com", "x", &[]);
    assert!(because(&carl).contains("user lookup `mailboxes`"), "{carl}");
}

#[test]
fn passwords_kept_here_with_codes_beside_them() {
    if !available(&[]) {
        return;
    }
    let lab = Lab::new();
    let users = format!(
        r#"
[[realm]]
name = "closed"
suspended = true

[[user]]
name = "ann@example.com"
realm = "example"
password-hash = "{}"

[[user]]
name = "eve@example.com"
realm = "closed"
password-hash = "{}"

[[administrator]]
name = "root"
password-hash = "{}"

[[administrator]]
name = "auditor"
password-hash = "{}"
read-only = true
"#,
        hash("ann-password"),
        hash("eve-password"),
        hash("root-password"),
        hash("auditor-password")
    );
    let configuration = with_domains(&[("example.com", 2526)], "") + &users;
    let appliance = lab.start(&configuration);
    let ann = |more: &[&str]| log_in(&lab, "ann@example.com", "ann-password", more);
    assert_eq!(ann(&[])["accepted"], true);
    assert_eq!(because(&log_in(&lab, "ann@example.com", "root-password", &[])), WRONG);
    for (name, role) in
        [("root", "appliance-administrator"), ("auditor", "appliance-administrator, read only")]
    {
        let administrator = log_in(&lab, name, &format!("{name}-password"), &[]);
        assert_eq!(administrator["role"], role, "{administrator}");
        assert_eq!(because(&log_in(&lab, name, "ann-password", &[])), WRONG);
    }
    // Nobody of a suspended realm gets in.
    let eve = log_in(&lab, "eve@example.com", "eve-password", &[]);
    assert_eq!(because(&eve), "the realm is suspended", "{eve}");

    let offer = ask(&lab, &["login", "enrol", "ann@example.com"]);
    let url = offer["enrolment"]["url"].as_str().unwrap();
    let key = url.split_once("secret=").unwrap().1.split('&').next().unwrap();
    let secret = TotpSecret::parse(key).unwrap();
    // What is offered counts only when a code has shown that it arrived.
    assert_eq!(ann(&[])["accepted"], true);
    let wrong = control(&lab, &["login", "confirm", "ann@example.com", "000000"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong));
    let confirmed = ask(&lab, &["login", "confirm", "ann@example.com", &code(&secret, 0)]);
    let recovery = confirmed["enrolment"]["recovery_codes"].as_array().unwrap().clone();
    let recovery = recovery[0].as_str().unwrap();
    assert_eq!(because(&ann(&[])), "a one-time code is asked for");
    let used = code(&secret, 1);
    assert_eq!(ann(&["--code", &used])["accepted"], true);
    let again = "the one-time code is wrong or was used before";
    assert_eq!(because(&ann(&["--code", &used])), again);
    assert!(because(&ann(&["--code", recovery])).ends_with("and a recovery code"));

    // All of that is durable.
    assert!(appliance.stop().success());
    let _appliance = lab.start(&configuration);
    assert_eq!(because(&ann(&["--code", recovery])), again);
    assert_eq!(because(&ann(&["--code", &used])), again);
    assert_eq!(ask(&lab, &["login", "reset", "ann@example.com"]), "done");
    assert_eq!(ann(&[])["accepted"], true);
}
