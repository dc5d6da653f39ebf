use config_schema::user_lookup::mailbox::{Protocol, Security};

use crate::login::mailbox::{
    Misbehaved, Outcome, Unavailable,
    scripted::{Step, credentials},
};

fn play(security: Security, script: &[Step<'_>]) -> Option<Outcome> {
    crate::login::mailbox::scripted::play(Protocol::Imap, security, &credentials("ann", "s3cret"), script)
}

const GREETING: Step<'_> = ("* OK ready\r\n", "p1 CAPABILITY\r\n");
/// `NUL ann NUL s3cret`.
const PLAIN: &str = "AGFubgBzM2NyZXQ=";

#[test]
fn authenticate_with_an_initial_response() {
    let script = [
        GREETING,
        (
            "* CAPABILITY IMAP4rev1 auth=plain SASL-IR LOGINDISABLED\r\np1 OK done\r\n",
            "p2 AUTHENTICATE PLAIN AGFubgBzM2NyZXQ=\r\n",
        ),
        ("* CAPABILITY IMAP4rev1\r\np2 OK [CAPABILITY IMAP4rev1] Logged in\r\n", "p3 LOGOUT\r\n"),
    ];
    assert_eq!(play(Security::Tls, &script), Some(Outcome::Ok));
}

#[test]
fn authenticate_without_an_initial_response() {
    let answer = format!("{PLAIN}\r\n");
    let script = [
        GREETING,
        ("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\np1 OK done\r\n", "p2 AUTHENTICATE PLAIN\r\n"),
        ("+ \r\n", &answer),
        ("p2 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", "p3 LOGOUT\r\n"),
    ];
    assert_eq!(play(Security::Tls, &script), Some(Outcome::WrongPassword));
}

#[test]
fn login_where_there_is_no_mechanism() {
    let script = [
        GREETING,
        ("* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\np1 OK done\r\n", "p2 LOGIN \"ann\" \"s3cret\"\r\n"),
        ("p2 OK Logged in\r\n", "p3 LOGOUT\r\n"),
    ];
    assert_eq!(play(Security::Tls, &script), Some(Outcome::Ok));
}

#[test]
fn login_quotes_and_sends_literals_where_quoting_does_not_do() {
    let login = |name: &str, password: &str, script: &[Step<'_>]| {
        let whole = [&[GREETING, ("p1 OK\r\n", script[0].0)][..], &script[1..]].concat();
        let who = credentials(name, password);
        crate::login::mailbox::scripted::play(Protocol::Imap, Security::Tls, &who, &whole)
    };
    let done: Step<'_> = ("p2 OK\r\n", "p3 LOGOUT\r\n");
    let ok = Some(Outcome::Ok);
    assert_eq!(login("a\\nn", "s\"e c", &[("p2 LOGIN \"a\\\\nn\" \"s\\\"e c\"\r\n", ""), done]), ok);
    assert_eq!(
        login(
            "ann",
            "gehe\u{ed}m",
            &[("p2 LOGIN \"ann\" {7}\r\n", ""), ("+ go\r\n", "gehe\u{ed}m\r\n"), done]
        ),
        ok
    );
    assert_eq!(
        login(
            "j\u{f6}rg",
            "\u{fc}",
            &[("p2 LOGIN {5}\r\n", ""), ("+\r\n", "j\u{f6}rg {2}\r\n"), ("+ \r\n", "\u{fc}\r\n"), done]
        ),
        ok
    );
    let long = "x".repeat(257);
    let line = format!("{long}\r\n");
    assert_eq!(login("ann", &long, &[("p2 LOGIN \"ann\" {257}\r\n", ""), ("+ \r\n", &line), done]), ok);
}

#[test]
fn starttls_comes_before_everything_and_what_was_offered_before_is_forgotten() {
    let script = [
        ("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n", "p1 STARTTLS\r\n"),
        ("p1 OK begin\r\n", "(TLS)p2 CAPABILITY\r\n"),
        ("* CAPABILITY IMAP4rev1 LOGINDISABLED\r\np2 OK\r\n", "p3 LOGOUT\r\n"),
    ];
    assert_eq!(play(Security::StartTls, &script), Some(Outcome::BasicAuthOff));
}

#[test]
fn without_starttls_nothing_is_said() {
    for refusal in ["p1 NO not here\r\n", "p1 BAD unknown\r\n"] {
        let script = [("* OK ready\r\n", "p1 STARTTLS\r\n"), (refusal, "")];
        let expected = Some(Outcome::Misbehaved(Misbehaved::NoStartTls));
        assert_eq!(play(Security::StartTls, &script), expected);
    }
}

#[test]
fn what_is_put_in_behind_starttls_ends_it() {
    let script = [("* OK ready\r\n", "p1 STARTTLS\r\n"), ("p1 OK begin\r\np2 OK you are in\r\n", "")];
    let who = credentials("ann", "s3cret");
    let outcome = crate::login::mailbox::scripted::play_in_pieces(
        Protocol::Imap,
        Security::StartTls,
        &who,
        &script,
        usize::MAX,
    );
    assert_eq!(outcome, Some(Outcome::Misbehaved(Misbehaved::Injected)));
}

#[test]
fn a_server_that_takes_anybody_proves_nothing() {
    for security in [Security::Tls, Security::StartTls] {
        let script = [("* PREAUTH welcome\r\n", "")];
        assert_eq!(play(security, &script), Some(Outcome::Misbehaved(Misbehaved::Preauthenticated)));
    }
}

#[test]
fn refusals_are_sorted_by_whose_matter_they_are() {
    let said = |text: &str| Some(Outcome::Unavailable(Unavailable::Said(text.into())));
    for (reply, outcome) in [
        ("NO LOGIN failed.", Some(Outcome::WrongPassword)),
        ("NO [EXPIRED] change it", Some(Outcome::WrongPassword)),
        ("NO [AUTHORIZATIONFAILED] no", Some(Outcome::WrongPassword)),
        ("NO [UNAVAILABLE] later", said("[UNAVAILABLE] later")),
        ("NO [InUse] later", said("[InUse] later")),
        ("NO [SERVERBUG]\tsorry", said("[SERVERBUG]?sorry")),
        ("NO [Error=\"LogonDenied-BasicAuthBlocked\"] LOGIN failed", Some(Outcome::BasicAuthOff)),
        ("NO [PRIVACYREQUIRED] no", Some(Outcome::BasicAuthOff)),
    ] {
        let line = format!("p2 {reply}\r\n");
        let script = [GREETING, ("p1 OK\r\n", "p2 LOGIN \"ann\" \"s3cret\"\r\n"), (&line, "p3 LOGOUT\r\n")];
        assert_eq!(play(Security::Tls, &script), outcome, "{reply}");
    }
}

#[test]
fn what_has_no_place_is_told_and_never_a_login() {
    let login = ("p1 OK\r\n", "p2 LOGIN \"ann\" \"s3cret\"\r\n");
    let unexpected = |text: &str| Outcome::Misbehaved(Misbehaved::Unexpected(text.into()));
    let bye = |text: &str| Outcome::Unavailable(Unavailable::Said(text.into()));
    for (script, outcome) in [
        (vec![("HTTP/1.1 400 Bad Request\r\n", "")], unexpected("HTTP/1.1 400 Bad Request")),
        (vec![("* CAPABILITY X\r\n", "")], unexpected("* CAPABILITY X")),
        (vec![("* BYE too busy\r\n", "")], bye("too busy")),
        (vec![("p0 OK early\r\n", "")], unexpected("p0 OK early")),
        (vec![GREETING, ("p1 NO\r\n", "")], unexpected("p1 NO")),
        (vec![GREETING, ("p2 OK\r\n", "")], unexpected("p2 OK")),
        (vec![GREETING, ("+ go\r\n", "")], unexpected("+ go")),
        (vec![GREETING, login, ("p2 MAYBE\r\n", "")], unexpected("p2 MAYBE")),
        (vec![GREETING, login, ("p2 BAD syntax\r\n", "")], unexpected("p2 BAD syntax")),
        (vec![GREETING, login, ("+ more\r\n", "")], unexpected("+ more")),
        (vec![GREETING, login, ("p3 OK\r\n", "")], unexpected("p3 OK")),
        (vec![GREETING, login, ("* BYE idle\r\n", "")], bye("idle")),
        (vec![GREETING, login, ("\r\n", "")], unexpected("")),
        (vec![GREETING, login, ("p22 OK\r\n", "")], unexpected("p22 OK")),
    ] {
        assert_eq!(play(Security::Tls, &script), Some(outcome), "{script:?}");
    }
}
