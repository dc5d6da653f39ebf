//! Any octets, cut anywhere, to a server that says yes to everything: what it hands out is clean, bounded and in
//! order, and nothing follows its end. The first octet is the size of the pieces.
#![no_main]

use std::sync::Arc;

use config_schema::name::DomainName;
use libfuzzer_sys::fuzz_target;
use smtp::{
    Time,
    server::{Action, Actions, Answer, Input, Question, ServerConfig, Session},
};

fuzz_target!(|input: &[u8]| {
    let Some((&piece, wire)) = input.split_first() else { return };
    let mut config = ServerConfig::new(DomainName::parse("mx.example.com").expect("a name"));
    config.extensions.starttls = true;
    config.limits.message_size = 1000;
    let mut server = Server { actions: Actions::new(), body: Vec::new(), in_data: false, closed: false };
    let mut session = Session::new(Arc::new(config), Time::default(), &mut server.actions);
    server.perform(&mut session);
    for piece in wire.chunks(usize::from(piece).max(1)) {
        if session.is_closed() {
            return;
        }
        session.handle(Time::default(), Input::Bytes(piece), &mut server.actions);
        server.perform(&mut session);
    }
});

struct Server {
    actions: Actions,
    body: Vec<u8>,
    in_data: bool,
    closed: bool,
}

impl Server {
    fn perform(&mut self, session: &mut Session) {
        while let Some(action) = self.actions.pop() {
            assert!(!self.closed, "{action:?} after the end");
            match action {
                Action::Ask(question) => {
                    self.decide(&question);
                    session.handle(Time::default(), Input::Answer(Answer::Accept), &mut self.actions);
                }
                Action::Body(octets) => {
                    assert!(self.in_data, "a body nobody asked about");
                    self.body.extend_from_slice(&octets);
                }
                Action::Reset => self.end(),
                Action::StartTls => session.handle(Time::default(), Input::TlsDone, &mut self.actions),
                Action::Close(_) => self.closed = true,
                Action::Write(octets) => assert!(octets.ends_with(b"\r\n") && octets.is_ascii()),
                Action::WakeAt(_) => {}
            }
        }
    }

    fn decide(&mut self, question: &Question) {
        match question {
            Question::Data => self.in_data = true,
            Question::EndOfMessage(end) => {
                assert_eq!(end.size, self.body.len() as u64);
                assert!(end.size <= 1000 && !self.body.contains(&0));
                let text = String::from_utf8_lossy(&self.body).replace("\r\n", "");
                assert!(!text.contains(['\r', '\n']), "a bare CR or LF got through");
                self.end();
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        self.in_data = false;
        self.body.clear();
    }
}
