//! Logins at a real Dovecot over loopback, by both protocols and in every way that it offers.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod certificates;
mod client;
mod dovecot;
mod front;

use config_schema::{
    Secret,
    user_lookup::mailbox::{Protocol, Security},
};
use directory::login::{
    Credentials, UnixTime,
    cache::{CACHE_KEY, CredentialCache},
    local::Hashing,
    mailbox::{Misbehaved, Outcome, Unavailable},
};

use certificates::Certificates;
use client::log_in;
use dovecot::Dovecot;
use front::{Change, Front};

const IMAP_AND_POP3: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];

fn credentials(name: &str, password: &str) -> Credentials {
    Credentials::new(name, Secret::new(password)).unwrap()
}

#[tokio::test]
async fn dovecot_takes_right_passwords_and_no_others_however_they_are_said() {
    let certificates = Certificates::new();
    let Some(dovecot) = Dovecot::start(&certificates).await else { return };
    for protocol in IMAP_AND_POP3 {
        for security in [Security::Tls, Security::StartTls] {
            let (at, trust) = (dovecot.address(protocol, security), certificates.trust());
            for (name, password) in dovecot::USERS {
                let right = log_in(at, &trust, protocol, security, credentials(name, password));
                assert_eq!(right.await, Outcome::Ok, "{protocol:?} {security:?} {name}");
            }
            for (name, password) in [("ann@example.com", "S3cret"), ("nobody@example.com", "s3cret")] {
                let wrong = log_in(at, &trust, protocol, security, credentials(name, password));
                assert_eq!(wrong.await, Outcome::WrongPassword, "{protocol:?} {security:?} {name}");
            }
        }
    }
}

/// TLS ends before Dovecot, in `front`, which changes what it says: so each way to say a password is gone.
#[tokio::test]
async fn what_dovecot_offers_decides_how_the_password_is_said() {
    let certificates = Certificates::new();
    let Some(dovecot) = Dovecot::start(&certificates).await else { return };
    let users = dovecot::USERS;
    for protocol in IMAP_AND_POP3 {
        for change in [Change::Nothing, Change::NoInitialResponse, Change::NoMechanism] {
            let behind = dovecot.address(protocol, Security::Tls);
            let front = Front::inside_tls(&certificates, behind, change).await;
            for (name, password) in users {
                let (at, trust) = (front.address(), certificates.trust());
                let right = log_in(at, &trust, protocol, Security::Tls, credentials(name, password)).await;
                assert_eq!(right, Outcome::Ok, "{protocol:?} {change:?} {name}");
                let wrong = credentials(name, "wrong \"\\ \u{fc}");
                let wrong = log_in(at, &trust, protocol, Security::Tls, wrong).await;
                assert_eq!(wrong, Outcome::WrongPassword, "{protocol:?} {change:?} {name}");
            }
        }
    }
}

/// Dovecot with `ssl = required` says LOGINDISABLED where it sees no TLS, and there is none between it and `front`.
#[tokio::test]
async fn a_server_that_takes_no_passwords_is_told_from_a_wrong_password() {
    let certificates = Certificates::new();
    let Some(dovecot) = Dovecot::start(&certificates).await else { return };
    for protocol in IMAP_AND_POP3 {
        let front = Front::in_plain(&certificates, dovecot.address(protocol, Security::StartTls)).await;
        let who = credentials("ann@example.com", "s3cret");
        let outcome = log_in(front.address(), &certificates.trust(), protocol, Security::Tls, who).await;
        assert_eq!(outcome, Outcome::BasicAuthOff, "{protocol:?}");
    }
}

#[tokio::test]
async fn only_the_hosts_certificate_hears_a_password() {
    let certificates = Certificates::new();
    let Some(dovecot) = Dovecot::start(&certificates).await else { return };
    let foreign = Certificates::new();
    for protocol in IMAP_AND_POP3 {
        for security in [Security::Tls, Security::StartTls] {
            let at = dovecot.address(protocol, security);
            let who = || credentials("ann@example.com", "s3cret");
            for trust in [foreign.trust(), certificates.trust().for_host("other.example.com")] {
                let outcome = log_in(at, &trust, protocol, security, who()).await;
                assert_eq!(outcome, Outcome::Unavailable(Unavailable::Tls), "{protocol:?} {security:?}");
            }
        }
        // A port without TLS, and one that offers none.
        let plain = dovecot.address(protocol, Security::StartTls);
        let who = credentials("ann@example.com", "s3cret");
        let outcome = log_in(plain, &certificates.trust(), protocol, Security::Tls, who.clone()).await;
        assert_eq!(outcome, Outcome::Unavailable(Unavailable::Tls));
        let front = Front::refusing_tls(plain).await;
        let outcome = log_in(front.address(), &certificates.trust(), protocol, Security::StartTls, who).await;
        assert_eq!(outcome, Outcome::Misbehaved(Misbehaved::NoStartTls), "{protocol:?}");
    }
}

#[tokio::test]
async fn while_the_server_is_down_only_what_it_took_before_is_good() {
    let certificates = Certificates::new();
    let Some(dovecot) = Dovecot::start(&certificates).await else { return };
    let at = dovecot.address(Protocol::Imap, Security::Tls);
    let trust = certificates.trust();
    let (right, wrong) = (credentials("ann@example.com", "s3cret"), credentials("ann@example.com", "other"));
    let mut cache = CredentialCache::new(&[7; CACHE_KEY]);
    let permit = Hashing::default().permit().unwrap();
    let (lookup, now) = ("mailboxes".parse().unwrap(), UnixTime::from_seconds(1_700_000_000));

    assert_eq!(log_in(at, &trust, Protocol::Imap, Security::Tls, right.clone()).await, Outcome::Ok);
    cache.taken(&permit, &lookup, &right, 7, now);
    assert_eq!(
        log_in(at, &trust, Protocol::Imap, Security::Tls, wrong.clone()).await,
        Outcome::WrongPassword
    );
    cache.refused(&permit, &lookup, &wrong);

    dovecot.stop();
    let down = log_in(at, &trust, Protocol::Imap, Security::Tls, right.clone()).await;
    assert!(matches!(down, Outcome::Unavailable(_)), "{down:?}");
    assert!(cache.answer(&permit, &lookup, &right, 7, now.plus(86_400)));
    assert!(!cache.answer(&permit, &lookup, &wrong, 7, now.plus(86_400)));
    assert!(!cache.answer(&permit, &lookup, &right, 7, now.plus(7 * 86_400)));
}
