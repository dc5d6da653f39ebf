use std::time::Duration;

use config_schema::{
    RealmName,
    user_lookup::mailbox::{Mailbox, Protocol, Security},
};
use proptest::prelude::*;
use smtp::Time;

use super::{scripted::credentials, *};

fn at(time: Duration) -> Time {
    Time::from_start(time)
}

fn session(protocol: Protocol, security: Security) -> Session {
    Session::new(protocol, security, credentials("ann", "s3cret"), Time::default()).0
}

const BOTH: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];

fn done(actions: &[Action]) -> Option<&Outcome> {
    actions.iter().find_map(|action| match action {
        Action::Done(outcome) => Some(outcome),
        _ => None,
    })
}

#[test]
fn a_conversation_ends_in_time_wherever_it_stands() {
    for protocol in BOTH {
        for security in [Security::Tls, Security::StartTls] {
            let (mut session, actions) =
                Session::new(protocol, security, credentials("ann", "s3cret"), at(Duration::from_secs(7)));
            let deadline = at(Duration::from_secs(7) + TIME_MAX);
            assert_eq!(actions[0], Action::WakeAt(deadline));
            let early = at(Duration::from_secs(7) + TIME_MAX - Duration::from_millis(1));
            assert!(session.handle(early, Input::Timeout).is_empty());
            let actions = session.handle(deadline, Input::Timeout);
            assert_eq!(actions, [Action::Done(Outcome::Unavailable(Unavailable::Timeout))]);
            assert!(session.handle(deadline, Input::Timeout).is_empty(), "after the end");
            assert!(!session.wants_read());
        }
    }
}

#[test]
fn a_drip_of_octets_does_not_make_it_longer() {
    let mut session = session(Protocol::Imap, Security::Tls);
    session.handle(Time::default(), Input::TlsDone);
    for second in 0..TIME_MAX.as_secs() {
        assert_eq!(session.handle(at(Duration::from_secs(second)), Input::Bytes(b"*")), []);
        assert_eq!(session.handle(at(Duration::from_secs(second)), Input::Timeout), []);
    }
    let actions = session.handle(at(TIME_MAX), Input::Timeout);
    assert_eq!(done(&actions), Some(&Outcome::Unavailable(Unavailable::Timeout)));
}

#[test]
fn the_end_of_the_connection_or_of_tls_is_no_answer() {
    for protocol in BOTH {
        let mut closed = session(protocol, Security::Tls);
        let actions = closed.handle(Time::default(), Input::PeerClosed);
        assert_eq!(done(&actions), Some(&Outcome::Unavailable(Unavailable::Closed)));
        let mut failed = session(protocol, Security::Tls);
        let actions = failed.handle(Time::default(), Input::TlsFailed);
        assert_eq!(done(&actions), Some(&Outcome::Unavailable(Unavailable::Tls)));
        let mut early = session(protocol, Security::Tls);
        let actions = early.handle(Time::default(), Input::Bytes(b"* OK\r\n"));
        assert_eq!(done(&actions), Some(&Outcome::Misbehaved(Misbehaved::Injected)));
    }
}

#[test]
fn lines_are_bounded_in_length_and_number() {
    let open = || {
        let mut session = session(Protocol::Imap, Security::Tls);
        session.handle(Time::default(), Input::TlsDone);
        session.handle(Time::default(), Input::Bytes(b"* OK\r\n"));
        session
    };
    let line = |length: usize| [b"* ".as_slice(), &vec![b'x'; length - 3], b"\r\n"].concat();
    assert_eq!(open().handle(Time::default(), Input::Bytes(&line(LINE_MAX))), []);
    let actions = open().handle(Time::default(), Input::Bytes(&line(LINE_MAX + 1)));
    assert_eq!(done(&actions), Some(&Outcome::Misbehaved(Misbehaved::LongLine)));
    let lines = |count: usize| b"* X\r\n".repeat(count);
    assert_eq!(open().handle(Time::default(), Input::Bytes(&lines(LINES_MAX - 1))), []);
    let actions = open().handle(Time::default(), Input::Bytes(&lines(LINES_MAX)));
    assert_eq!(done(&actions), Some(&Outcome::Misbehaved(Misbehaved::ManyLines)));
}

#[test]
fn names_follow_the_lookup() {
    let mut mailbox = Mailbox {
        protocol: Protocol::Imap,
        servers: vec!["imap.example.com".parse().unwrap()],
        security: Security::Tls,
        strip_domain: false,
        lower_case: false,
        lower_case_stream: true,
        strip_domain_from_stream: false,
        cache_days: 0,
    };
    let stream =
        |mailbox: &Mailbox| home_stream(mailbox, "Ann@Example.com", RealmName::base()).unwrap().to_string();
    assert_eq!(login_name(&mailbox, "Ann@Example.com"), "Ann@Example.com");
    assert_eq!(stream(&mailbox), "base:ann@example.com");
    (mailbox.strip_domain, mailbox.strip_domain_from_stream) = (true, true);
    assert_eq!(login_name(&mailbox, "Ann@Example.com"), "Ann");
    assert_eq!(stream(&mailbox), "base:ann");
    mailbox.lower_case = true;
    assert_eq!(login_name(&mailbox, "Ann"), "ann");
    assert!(home_stream(&mailbox, "@example.com", RealmName::base()).is_err());
}

/// Pieces of what servers say, in any order.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"* OK hello\r\n".to_vec()),
        Just(b"* CAPABILITY AUTH=PLAIN SASL-IR\r\n".to_vec()),
        Just(b"p1 OK\r\n".to_vec()),
        Just(b"p2 OK\r\n".to_vec()),
        Just(b"p3 OK\r\n".to_vec()),
        Just(b"p2 NO\r\n".to_vec()),
        Just(b"+ \r\n".to_vec()),
        Just(b"+OK\r\n".to_vec()),
        Just(b"USER\r\n".to_vec()),
        Just(b"SASL PLAIN\r\n".to_vec()),
        Just(b".\r\n".to_vec()),
        Just(b"-ERR [AUTH]\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

/// Whether the password, in any of its forms, is among what is written.
fn tells_the_password(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets);
    text.contains("s3cret") || text.contains("AGFubgBzM2NyZXQ=")
}

proptest! {
    #[test]
    fn there_is_one_end_and_no_password_without_tls(
        wire in words(),
        piece in 1usize..40,
        imap in any::<bool>(),
        starttls in any::<bool>(),
        tls_works in any::<bool>(),
    ) {
        let protocol = if imap { Protocol::Imap } else { Protocol::Pop3 };
        let security = if starttls { Security::StartTls } else { Security::Tls };
        let (mut session, actions) = Session::new(protocol, security, credentials("ann", "s3cret"), Time::default());
        let (mut tls, mut ends) = (false, 0);
        let mut todo: std::collections::VecDeque<Action> = actions.into();
        let mut pieces = wire.chunks(piece);
        loop {
            while let Some(action) = todo.pop_front() {
                prop_assert_eq!(ends, 0, "{:?} after the end", action);
                match action {
                    Action::StartTls => {
                        prop_assert!(!tls);
                        tls = tls_works;
                        let input = if tls_works { Input::TlsDone } else { Input::TlsFailed };
                        todo.extend(session.handle(Time::default(), input));
                    }
                    Action::Write(octets) => prop_assert!(tls || !tells_the_password(&octets)),
                    Action::WakeAt(time) => prop_assert_eq!(time, at(TIME_MAX)),
                    Action::Done(outcome) => {
                        prop_assert!(tls || outcome != Outcome::Ok);
                        ends += 1;
                    }
                }
            }
            match pieces.next() {
                Some(piece) => todo.extend(session.handle(Time::default(), Input::Bytes(piece))),
                None if ends == 0 => todo.extend(session.handle(Time::default(), Input::PeerClosed)),
                None => break,
            }
        }
        prop_assert_eq!(ends, 1);
    }

    #[test]
    fn how_the_wire_is_cut_changes_nothing(wire in words(), piece in 1usize..40, imap in any::<bool>()) {
        let protocol = if imap { Protocol::Imap } else { Protocol::Pop3 };
        let run = |piece: usize| {
            let mut session = session(protocol, Security::Tls);
            let mut actions = session.handle(Time::default(), Input::TlsDone);
            for piece in wire.chunks(piece) {
                actions.extend(session.handle(Time::default(), Input::Bytes(piece)));
            }
            actions.extend(session.handle(Time::default(), Input::PeerClosed));
            actions
        };
        prop_assert_eq!(run(piece), run(usize::MAX));
    }
}
