//! A server that says what a test has written down.

use config_schema::{
    Secret,
    user_lookup::mailbox::{Protocol, Security},
};
use smtp::Time;

use super::{Action, Input, Outcome, Session};
use crate::login::Credentials;

/// A step of a script: the server says the first, upon which the client has to say the second.
pub(in crate::login) type Step<'s> = (&'s str, &'s str);

/// What the client says where TLS is to begin.
const TLS: &str = "(TLS)";

pub(in crate::login) fn credentials(name: &str, password: &str) -> Credentials {
    Credentials::new(name, Secret::new(password)).expect("credentials")
}

/// Plays a script, cut into pieces of `piece` octets; what came of it.
pub(in crate::login) fn play_in_pieces(
    protocol: Protocol,
    security: Security,
    who: &Credentials,
    script: &[Step<'_>],
    piece: usize,
) -> Option<Outcome> {
    let (mut session, mut actions) = Session::new(protocol, security, who.clone(), Time::default());
    let mut outcome = None;
    if security == Security::Tls {
        assert_eq!(said(&mut actions, &mut outcome), TLS);
        actions = session.handle(Time::default(), Input::TlsDone);
    }
    for (server, client) in script {
        for piece in server.as_bytes().chunks(piece) {
            assert!(outcome.is_some() || session.wants_read(), "before {server:?}");
            actions.extend(session.handle(Time::default(), Input::Bytes(piece)));
        }
        let mut words = said(&mut actions, &mut outcome);
        if words == TLS || words.ends_with(TLS) {
            assert!(!session.wants_read());
            actions = session.handle(Time::default(), Input::TlsDone);
            words += &said(&mut actions, &mut outcome);
        }
        assert_eq!(words, *client, "after {server:?}");
    }
    outcome
}

pub(in crate::login) fn play(
    protocol: Protocol,
    security: Security,
    who: &Credentials,
    script: &[Step<'_>],
) -> Option<Outcome> {
    let whole = play_in_pieces(protocol, security, who, script, usize::MAX);
    assert_eq!(play_in_pieces(protocol, security, who, script, 1), whole, "octet by octet");
    whole
}

/// What the client says, with `TLS` where it wants the handshake.
fn said(actions: &mut Vec<Action>, outcome: &mut Option<Outcome>) -> String {
    let mut words = String::new();
    for action in actions.drain(..) {
        assert!(outcome.is_none(), "{action:?} after the end");
        match action {
            Action::Write(octets) => words += std::str::from_utf8(&octets).expect("text"),
            Action::StartTls => words += TLS,
            Action::WakeAt(_) => {}
            Action::Done(done) => *outcome = Some(done),
        }
    }
    words
}
