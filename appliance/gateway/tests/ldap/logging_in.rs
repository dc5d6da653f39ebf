//! Logins.

use config_schema::Secret;
use directory::ldap::login::{Account, LoginAnswer};

use crate::asking::{people, served};
use crate::certificates::Authority;
use crate::slapd::{BASE, entry};
use crate::world;

fn ok(name: &str, stream: &str) -> LoginAnswer {
    LoginAnswer::Ok(Account { dn: format!("cn={name},{BASE}").into(), stream: stream.into() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_right_password_logs_in() {
    let authority = Authority::new();
    let people =
        people() + &entry("Open", "user", &[("sAMAccountName", "open"), ("mail", "open@example.com")]);
    let (_slapd, doors) = served(&authority, &people);
    let directory = world::directory(&doors, &authority, "");
    for (name, password, expected) in [
        ("ann", "ann-password", ok("Ann", "ann")),
        ("EXAMPLE\\Ann", "ann-password", ok("Ann", "ann")),
        ("ann@corp.example.com", "ann-password", ok("Ann", "ann")),
        ("Ann.Smith@example.com", "ann-password", ok("Ann", "ann")),
        ("bob", "bob-password", ok("Bob", "bob")),
        ("ann", "bob-password", LoginAnswer::WrongPassword),
        ("ann", "Ann-Password", LoginAnswer::WrongPassword),
        // A server says yes to a name without a password; we never ask it.
        ("ann", "", LoginAnswer::WrongPassword),
        // Nobody has set this one's.
        ("open", "anything", LoginAnswer::WrongPassword),
        ("nobody", "x", LoginAnswer::NoSuchUser),
        ("*", "ann-password", LoginAnswer::NoSuchUser),
        ("ann)(cn=*", "ann-password", LoginAnswer::NoSuchUser),
        ("sales", "x", LoginAnswer::NoSuchUser),
        ("cn=Ann,dc=example,dc=com", "ann-password", LoginAnswer::NoSuchUser),
    ] {
        assert_eq!(directory.log_in(name, Secret::new(password)).await, expected, "{name} {password}");
    }
    // Wrong passwords of users are no trouble of the directory's.
    assert_eq!(directory.standing().trouble, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_log_in_at_once() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "");
    let logins: Vec<_> = (0..40)
        .map(|n| {
            let directory = directory.clone();
            let (password, expected) = match n % 2 {
                0 => ("bob-password", ok("Bob", "bob")),
                _ => ("wrong", LoginAnswer::WrongPassword),
            };
            tokio::spawn(async move { (directory.log_in("bob", Secret::new(password)).await, expected) })
        })
        .collect();
    for login in logins {
        let (answer, expected) = login.await.unwrap();
        assert_eq!(answer, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_logs_in_while_no_server_can_be_asked() {
    let authority = Authority::new();
    let (mut slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "");
    assert_eq!(directory.log_in("ann", Secret::new("ann-password")).await, ok("Ann", "ann"));
    slapd.server.kill();
    let answer = directory.log_in("ann", Secret::new("ann-password")).await;
    assert!(matches!(answer, LoginAnswer::Unavailable { .. }), "{answer:?}");
}
