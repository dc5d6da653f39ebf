//! Servers that cannot be trusted, that go away, and that come back.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use directory::answer::LookupAnswer;
use rcgen::{KeyPair, date_time_ymd};

use crate::asking::{look_up, people, served};
use crate::certificates::{self, Authority, Site};
use crate::slapd::{BASE, Slapd};
use crate::world::{self, Doors, FIRST, NAME, first};

/// A second address, at which the same server answers.
const SECOND: &str = "10.9.8.2";

/// A certificate whose last day is long past.
fn expired(authority: &Authority) -> Site {
    let mut params = certificates::params(NAME, first());
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    authority.sign(params)
}

/// One that nobody signed but itself.
fn self_signed() -> Site {
    let key = KeyPair::generate().unwrap();
    let certificate = certificates::params(NAME, first()).self_signed(&key).unwrap();
    Site { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// Changes entries as an administrator of the directory does.
pub(crate) fn modify(slapd: &Slapd, changes: &str) {
    let mut program = Command::new("ldapmodify");
    program.args(["-x", "-H", &format!("ldap://{}", slapd.plain), "-D"]);
    program.arg(format!("cn=admin,{BASE}")).args(["-w", "admin-secret"]);
    let child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("ldap-utils are not installed; `cargo postern test` installs them");
    child.stdin.take().unwrap().write_all(changes.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a directory says whose server shows `site`.
async fn refusal(authority: &Authority, site: &Site, security: &str) -> String {
    let slapd = Slapd::start(site, &people());
    let doors = Doors::default();
    doors.lead(FIRST, 636, slapd.tls);
    doors.lead(FIRST, 389, slapd.plain);
    let keys = format!("servers = \"{NAME}\"\nsecurity = \"{security}\"\n");
    let directory = world::directory(&doors, authority, &keys);
    let why = match look_up(&directory, "bob@example.com").await {
        LookupAnswer::Unavailable { why } => why.into_string(),
        other => panic!("{other:?}"),
    };
    let trouble = directory.standing().trouble.unwrap();
    assert_eq!(trouble.shown, "the server's certificate is not accepted, or it does not speak TLS");
    assert!(!why.contains("secret"), "{why}");

    // Whoever switches the check off has switched it off.
    let unchecked = world::directory(&doors, authority, &format!("{keys}verify-certificate = false\n"));
    assert!(matches!(look_up(&unchecked, "bob@example.com").await, LookupAnswer::Stream { .. }));
    why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_certificate_is_refused_and_the_reason_told() {
    let authority = Authority::new();
    for security in ["ldaps", "starttls"] {
        let expired = refusal(&authority, &expired(&authority), security).await;
        assert!(expired.to_lowercase().contains("expired"), "{expired}");
        let other = refusal(&authority, &authority.site("other.example.com", first()), security).await;
        assert!(other.contains("not valid for name") && other.contains("other.example.com"), "{other}");
        let own = refusal(&authority, &self_signed(), security).await;
        assert!(own.contains("UnknownIssuer") || own.contains("CaUsedAsEndEntity"), "{own}");
        let stranger = refusal(&authority, &Authority::new().site(NAME, first()), security).await;
        assert!(stranger.contains("UnknownIssuer") || stranger.contains("BadSignature"), "{stranger}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_where_there_is_none_and_none_where_there_is_tls_are_told() {
    let authority = Authority::new();
    let (slapd, doors) = served(&authority, &people());
    doors.lead(FIRST, 636, slapd.plain);
    doors.lead(FIRST, 389, slapd.tls);
    for security in ["ldaps", "starttls"] {
        let keys = format!("security = \"{security}\"\ntime-limit = \"20 s\"\n");
        let directory = world::directory(&doors, &authority, &keys);
        let answer = look_up(&directory, "bob@example.com").await;
        assert!(matches!(answer, LookupAnswer::Unavailable { .. }), "{security}: {answer:?}");
        assert!(directory.standing().trouble.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_is_waited_for_and_its_people_stay_real() {
    let authority = Authority::new();
    let (mut slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "known-for = \"1 s\"\nunknown-for = \"1 s\"\n");
    assert!(matches!(look_up(&directory, "bob@example.com").await, LookupAnswer::Stream { .. }));
    assert_eq!(look_up(&directory, "nobody@example.com").await, LookupAnswer::Unknown);
    slapd.server.kill();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // Known once: real for as long as nobody can be asked. Unknown once: nobody knows now.
    assert!(matches!(look_up(&directory, "bob@example.com").await, LookupAnswer::Stream { .. }));
    assert!(matches!(look_up(&directory, "nobody@example.com").await, LookupAnswer::Unavailable { .. }));
    assert!(matches!(look_up(&directory, "ann@example.com").await, LookupAnswer::Unavailable { .. }));
    assert_eq!(directory.standing().trouble.unwrap().shown, "the server cannot be reached");

    slapd.restart();
    let until = Instant::now() + Duration::from_secs(120);
    while !matches!(look_up(&directory, "ann@example.com").await, LookupAnswer::Stream { .. }) {
        assert!(Instant::now() < until, "{:?}", directory.standing());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(directory.standing().trouble, None);
    // What was changed meanwhile is seen.
    modify(&slapd, &format!("dn: cn=Bob,{BASE}\nchangetype: delete\n"));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(look_up(&directory, "bob@example.com").await, LookupAnswer::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_replaced_within_one_question() {
    let authority = Authority::new();
    let (mut slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "");
    assert!(matches!(look_up(&directory, "bob@example.com").await, LookupAnswer::Stream { .. }));
    slapd.restart();
    assert!(matches!(look_up(&directory, "ann@example.com").await, LookupAnswer::Stream { .. }));
    assert_eq!(doors.connections.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_server_answers_for_one_that_is_away() {
    let authority = Authority::new();
    let (slapd, doors) = served(&authority, &people());
    doors.lead(SECOND, 636, slapd.tls);
    // Another port of the first, where nobody listens, comes before it.
    let keys = "servers = [\"[10.9.8.1]:3269\", \"[10.9.8.1]\"]\n";
    let directory = world::directory(&doors, &authority, keys);
    assert!(matches!(look_up(&directory, "bob@example.com").await, LookupAnswer::Stream { .. }));
    assert_eq!(directory.standing().server.unwrap().to_string(), "[10.9.8.1]");
    // One whose certificate is another's is no better than one that is away.
    let keys = "servers = [\"[10.9.8.2]\", \"[10.9.8.1]\"]\n";
    let directory = world::directory(&doors, &authority, keys);
    assert!(matches!(look_up(&directory, "bob@example.com").await, LookupAnswer::Stream { .. }));
    assert_eq!(directory.standing().server.unwrap().to_string(), "[10.9.8.1]");
}
