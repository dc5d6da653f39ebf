use config_schema::user_lookup::mailbox::{Protocol, Security};

use crate::login::mailbox::{
    Misbehaved, Outcome, Unavailable,
    scripted::{Step, credentials, play_in_pieces},
};

fn play(security: Security, script: &[Step<'_>]) -> Option<Outcome> {
    crate::login::mailbox::scripted::play(Protocol::Pop3, security, &credentials("ann", "s3cret"), script)
}

const GREETING: Step<'_> = ("+OK ready <1.2@example>\r\n", "CAPA\r\n");
const QUIT: &str = "QUIT\r\n";

#[test]
fn auth_plain_with_the_command() {
    let script = [
        GREETING,
        ("+OK\r\nUSER\r\nsasl LOGIN plain\r\n.\r\n", "AUTH PLAIN AGFubgBzM2NyZXQ=\r\n"),
        ("+OK Logged in.\r\n", QUIT),
    ];
    assert_eq!(play(Security::Tls, &script), Some(Outcome::Ok));
}

#[test]
fn auth_plain_in_two_lines_where_one_would_be_too_long() {
    let password = "p".repeat(200);
    let answer = {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("{}\r\n", STANDARD.encode(format!("\0ann\0{password}")))
    };
    let script = [
        GREETING,
        ("+OK\r\nSASL PLAIN\r\n.\r\n", "AUTH PLAIN\r\n"),
        ("+ \r\n", &answer),
        ("-ERR [AUTH] no\r\n", QUIT),
    ];
    let who = credentials("ann", &password);
    let outcome = crate::login::mailbox::scripted::play(Protocol::Pop3, Security::Tls, &who, &script);
    assert_eq!(outcome, Some(Outcome::WrongPassword));
}

#[test]
fn user_and_pass_where_there_is_no_mechanism_or_no_list() {
    for list in ["+OK\r\nUSER\r\nUIDL\r\n.\r\n", "-ERR unknown command\r\n"] {
        let script =
            [GREETING, (list, "USER ann\r\n"), ("+OK\r\n", "PASS s3cret\r\n"), ("+OK 3 messages\r\n", QUIT)];
        assert_eq!(play(Security::Tls, &script), Some(Outcome::Ok));
    }
    let script = [GREETING, ("+OK\r\nSASL XOAUTH2\r\n.\r\n", QUIT)];
    assert_eq!(play(Security::Tls, &script), Some(Outcome::BasicAuthOff));
}

#[test]
fn stls_comes_before_everything() {
    let script = [
        ("+OK ready\r\n", "STLS\r\n"),
        ("+OK begin\r\n", "(TLS)CAPA\r\n"),
        ("+OK\r\nUSER\r\n.\r\n", "USER ann\r\n"),
        ("-ERR who?\r\n", QUIT),
    ];
    assert_eq!(play(Security::StartTls, &script), Some(Outcome::WrongPassword));
    let script = [("+OK ready\r\n", "STLS\r\n"), ("-ERR what?\r\n", "")];
    let expected = Some(Outcome::Misbehaved(Misbehaved::NoStartTls));
    assert_eq!(play(Security::StartTls, &script), expected);
    let script = [("+OK ready\r\n", "STLS\r\n"), ("+OK begin\r\n+OK\r\n", "")];
    let outcome =
        play_in_pieces(Protocol::Pop3, Security::StartTls, &credentials("a", "b"), &script, usize::MAX);
    assert_eq!(outcome, Some(Outcome::Misbehaved(Misbehaved::Injected)));
}

#[test]
fn refusals_are_sorted_by_whose_matter_they_are() {
    let said = |text: &str| Outcome::Unavailable(Unavailable::Said(text.into()));
    for (text, outcome) in [
        ("Logon failure: unknown user name or bad password.", Outcome::WrongPassword),
        ("[AUTH] no", Outcome::WrongPassword),
        ("[SYS/TEMP] later", said("[SYS/TEMP] later")),
        ("[sys/perm] broken", said("[sys/perm] broken")),
        ("[LOGIN-DELAY] too soon", said("[LOGIN-DELAY] too soon")),
        ("[IN-USE] locked", Outcome::Ok),
        ("[Error=\"LogonDenied-BasicAuthBlocked-\"]", Outcome::BasicAuthOff),
    ] {
        let line = format!("-ERR {text}\r\n");
        let script = [GREETING, ("-ERR\r\n", "USER ann\r\n"), ("+OK\r\n", "PASS s3cret\r\n"), (&line, QUIT)];
        assert_eq!(play(Security::Tls, &script), Some(outcome), "{text}");
    }
}

#[test]
fn what_has_no_place_is_told_and_never_a_login() {
    let unexpected = |text: &str| Outcome::Misbehaved(Misbehaved::Unexpected(text.into()));
    let list = ("+OK\r\nUSER\r\n.\r\n", "USER ann\r\n");
    for (script, outcome) in [
        (vec![("* OK imap\r\n", "")], unexpected("* OK imap")),
        (vec![("-ERR busy\r\n", "")], Outcome::Unavailable(Unavailable::Said("busy".into()))),
        (vec![("+ go\r\n", "")], unexpected("+ go")),
        (vec![GREETING, ("+OKAY\r\n", "")], unexpected("+OKAY")),
        (vec![GREETING, list, ("+ go\r\n", "")], unexpected("+ go")),
        (vec![GREETING, list, ("\r\n", "")], unexpected("")),
    ] {
        assert_eq!(play(Security::Tls, &script), Some(outcome), "{script:?}");
    }
}
