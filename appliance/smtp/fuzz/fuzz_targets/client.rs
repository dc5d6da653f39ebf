//! A server that says anything, cut anywhere, to a client that delivers: each transaction has one outcome, and a
//! message counts as sent only after its end was. The first octet is the size of the pieces.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use config_schema::name::DomainName;
use libfuzzer_sys::fuzz_target;
use smtp::{
    Time,
    client::{Action, Actions, ClientConfig, Input, Recipient, Session, Transaction},
    envelope::{MailParameters, RcptParameters},
};

fuzz_target!(|input: &[u8]| {
    let Some((&piece, wire)) = input.split_first() else { return };
    let config = ClientConfig::new(DomainName::parse("out.example.org").expect("a name"));
    let mut actions = Actions::new();
    let mut session = Session::new(Arc::new(config), Time::default(), &mut actions);
    let mut client = Client { open: 0, ended: false, closed: false };
    client.perform(&mut session, &mut actions);
    for piece in wire.chunks(usize::from(piece).max(1)) {
        if session.is_closed() {
            break;
        }
        session.handle(Time::default(), Input::Bytes(piece), &mut actions);
        client.perform(&mut session, &mut actions);
    }
    session.handle(Time::default(), Input::PeerClosed, &mut actions);
    client.perform(&mut session, &mut actions);
    assert_eq!(client.open, 0, "a transaction without an outcome");
});

struct Client {
    open: u32,
    ended: bool,
    closed: bool,
}

impl Client {
    fn perform(&mut self, session: &mut Session, actions: &mut Actions) {
        while let Some(action) = actions.pop() {
            assert!(!self.closed || matches!(action, Action::Done(_)), "{action:?} after the end");
            match action {
                Action::Ready => {
                    (self.open, self.ended) = (self.open + 1, false);
                    session.handle(Time::default(), Input::Deliver(message()), actions);
                }
                Action::WantBody => {
                    self.ended = true;
                    let body = Input::Body { chunk: Bytes::from_static(b".\r\n"), last: true };
                    session.handle(Time::default(), body, actions);
                }
                Action::Done(outcome) => {
                    self.open -= 1;
                    assert!(outcome.result.is_err() || self.ended, "sent without a body");
                }
                Action::StartTls => session.handle(Time::default(), Input::TlsDone, actions),
                Action::Close(_) => self.closed = true,
                Action::Write(_) | Action::WakeAt(_) => {}
            }
        }
    }
}

fn message() -> Transaction {
    let recipient =
        |to: &str| Recipient { to: to.parse().expect("a path"), parameters: RcptParameters::default() };
    Transaction {
        from: "<a@b.example>".parse().expect("a path"),
        parameters: MailParameters::default(),
        recipients: vec![recipient("<c@example.com>"), recipient("<d@example.com>")],
    }
}
