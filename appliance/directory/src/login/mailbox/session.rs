//! What every conversation has: lines, TLS before anything secret, one deadline, an end.

use std::time::Duration;

use config_schema::user_lookup::mailbox::{Protocol, Security};
use smtp::Time;
use zeroize::Zeroizing;

use super::{Action, Input, Misbehaved, Outcome, Unavailable, outcome::shown};
use crate::login::{Credentials, imap::Imap, pop3::Pop3};

/// Longest line of a server, in bytes; RFC 2683 §3.2.1.5 has 8,000 for IMAP, RFC 2449 §4 has 512 for POP3.
pub const LINE_MAX: usize = 8_192;
/// Lines of a whole conversation.
pub const LINES_MAX: usize = 500;
/// How long a whole conversation may take. Some servers make a wrong password wait for a quarter of a minute.
pub const TIME_MAX: Duration = Duration::from_secs(45);

/// What is said in one protocol.
pub(in crate::login) trait Dialogue {
    /// Takes a line without its end.
    fn line(&mut self, line: &[u8]) -> Next;
    /// TLS is up after the server allowed it.
    fn secured(&mut self) -> Next;
}

/// What a dialogue wants after a line.
pub(in crate::login) enum Next {
    /// The next line.
    Wait,
    /// This said, and the next line.
    Say(Zeroizing<Vec<u8>>),
    /// TLS.
    StartTls,
    /// The end, after these last words.
    End(Outcome, Zeroizing<Vec<u8>>),
}

impl Next {
    /// The end without a farewell: whoever misbehaves gets none.
    pub(in crate::login) fn misbehaved(why: Misbehaved) -> Next {
        Next::End(Outcome::Misbehaved(why), Zeroizing::default())
    }

    pub(in crate::login) fn unexpected(line: &[u8]) -> Next {
        Next::misbehaved(Misbehaved::Unexpected(shown(line)))
    }

    pub(in crate::login) fn unavailable(text: &[u8]) -> Next {
        Next::End(Outcome::Unavailable(Unavailable::Said(shown(text))), Zeroizing::default())
    }
}

/// One conversation. The connection is just established and nothing was read from it.
pub struct Session {
    dialogue: Box<dyn Dialogue + Send>,
    state: State,
    deadline: Time,
    line: Vec<u8>,
    lines: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// TLS from the first byte; the server speaks after it.
    TlsFirst,
    /// TLS that the server allowed.
    Tls,
    Talking,
    Done,
}

impl Session {
    /// Begins; the actions are the first things to do.
    pub fn new(
        protocol: Protocol,
        security: Security,
        credentials: Credentials,
        now: Time,
    ) -> (Session, Vec<Action>) {
        let starttls = security == Security::StartTls;
        let dialogue: Box<dyn Dialogue + Send> = match protocol {
            Protocol::Imap => Box::new(Imap::new(credentials, starttls)),
            Protocol::Pop3 => Box::new(Pop3::new(credentials, starttls)),
        };
        let deadline = now + TIME_MAX;
        let state = if starttls { State::Talking } else { State::TlsFirst };
        let mut actions = vec![Action::WakeAt(deadline)];
        if !starttls {
            actions.push(Action::StartTls);
        }
        (Session { dialogue, state, deadline, line: Vec::new(), lines: 0 }, actions)
    }

    /// Takes one input; returns what is to be done.
    pub fn handle(&mut self, now: Time, input: Input<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        match (self.state, input) {
            (State::Done, _) => {}
            (_, Input::Timeout) if now < self.deadline => {}
            (_, Input::Timeout) => self.end(Outcome::Unavailable(Unavailable::Timeout), &mut actions),
            (_, Input::PeerClosed) => self.end(Outcome::Unavailable(Unavailable::Closed), &mut actions),
            (State::TlsFirst | State::Tls, Input::TlsFailed) => {
                self.end(Outcome::Unavailable(Unavailable::Tls), &mut actions);
            }
            (State::TlsFirst, Input::TlsDone) => self.state = State::Talking,
            (State::Tls, Input::TlsDone) => {
                self.state = State::Talking;
                let next = self.dialogue.secured();
                self.go_on(next, true, &mut actions);
            }
            // RFC 8314 §3, RFC 9051 §11.2, RFC 2595 §4: what comes in plain now is not from the server we shake
            // hands with.
            (State::TlsFirst | State::Tls, Input::Bytes(octets)) if !octets.is_empty() => {
                self.end(Outcome::Misbehaved(Misbehaved::Injected), &mut actions);
            }
            (State::Talking, Input::Bytes(octets)) => self.bytes(octets, &mut actions),
            _ => {}
        }
        actions
    }

    /// Whether octets are to be read: not during the handshake, and not after the end.
    pub fn wants_read(&self) -> bool {
        self.state == State::Talking
    }

    fn bytes(&mut self, octets: &[u8], actions: &mut Vec<Action>) {
        for (at, octet) in octets.iter().enumerate() {
            if *octet != b'\n' {
                self.line.push(*octet);
                if self.line.len() > LINE_MAX {
                    return self.end(Outcome::Misbehaved(Misbehaved::LongLine), actions);
                }
                continue;
            }
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.lines += 1;
            if self.lines > LINES_MAX {
                return self.end(Outcome::Misbehaved(Misbehaved::ManyLines), actions);
            }
            let next = self.dialogue.line(&line);
            let last = at + 1 == octets.len();
            self.go_on(next, last, actions);
            if self.state != State::Talking {
                return;
            }
        }
    }

    /// Does what the dialogue wants; `last`: no octets are left that came with the line.
    fn go_on(&mut self, next: Next, last: bool, actions: &mut Vec<Action>) {
        match next {
            Next::Wait => {}
            Next::Say(octets) => actions.push(Action::Write(octets)),
            Next::StartTls if !last => self.end(Outcome::Misbehaved(Misbehaved::Injected), actions),
            Next::StartTls => {
                self.state = State::Tls;
                actions.push(Action::StartTls);
            }
            Next::End(outcome, farewell) => {
                if !farewell.is_empty() {
                    actions.push(Action::Write(farewell));
                }
                self.end(outcome, actions);
            }
        }
    }

    fn end(&mut self, outcome: Outcome, actions: &mut Vec<Action>) {
        self.state = State::Done;
        actions.push(Action::Done(outcome));
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The dialogue has the password in it.
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}
