//! A mail server that says anything, cut anywhere: a login ends once, and never as right before TLS is up. The first
//! octet chooses protocol and security, the second the size of the pieces.
#![no_main]

use std::collections::VecDeque;

use config_schema::{
    Secret,
    user_lookup::mailbox::{Protocol, Security},
};
use directory::login::{
    Credentials,
    mailbox::{Action, Input, Outcome, Session},
};
use libfuzzer_sys::fuzz_target;
use smtp::Time;

fuzz_target!(|input: &[u8]| {
    let [how, piece, wire @ ..] = input else { return };
    let protocol = if how & 1 == 0 { Protocol::Imap } else { Protocol::Pop3 };
    let security = if how & 2 == 0 { Security::Tls } else { Security::StartTls };
    let password = if how & 4 == 0 { "s3cret" } else { "gehe\u{ed}m \"\\" };
    let who = Credentials::new("ann@example.com", Secret::new(password)).expect("credentials");
    let (mut session, actions) = Session::new(protocol, security, who, Time::default());
    let (mut tls, mut ends) = (false, 0);
    let mut todo: VecDeque<Action> = actions.into();
    let mut pieces = wire.chunks(usize::from(*piece).max(1));
    loop {
        while let Some(action) = todo.pop_front() {
            assert_eq!(ends, 0, "{action:?} after the end");
            match action {
                Action::StartTls => {
                    assert!(!tls);
                    tls = true;
                    todo.extend(session.handle(Time::default(), Input::TlsDone));
                }
                Action::Write(octets) => {
                    let text = String::from_utf8_lossy(&octets);
                    assert!(tls || !text.contains(password), "a password in plain");
                }
                Action::WakeAt(_) => {}
                Action::Done(outcome) => {
                    assert!(tls || outcome != Outcome::Ok);
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
});
