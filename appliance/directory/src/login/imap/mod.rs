//! IMAP (RFC 9051, RFC 3501), as far as a login goes: CAPABILITY, STARTTLS, AUTHENTICATE PLAIN or LOGIN, LOGOUT.

mod login;
mod reply;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::{
    Credentials,
    mailbox::{Dialogue, Misbehaved, Next, Outcome, plain},
};
use reply::{Line, Status};

/// What the client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    StartTls,
    Capability,
    /// The command that carries the password, or its first piece.
    Login,
}

/// The client's side.
pub(super) struct Imap {
    credentials: Credentials,
    starttls: bool,
    stage: Stage,
    commands: u32,
    capabilities: Capabilities,
    /// What is left of the command, each piece to be sent when the server asks for it.
    pieces: VecDeque<Zeroizing<Vec<u8>>>,
}

/// What the server can do, as far as it matters.
#[derive(Debug, Clone, Copy, Default)]
struct Capabilities {
    auth_plain: bool,
    sasl_ir: bool,
    login_disabled: bool,
}

impl Imap {
    pub(super) fn new(credentials: Credentials, starttls: bool) -> Imap {
        Imap {
            credentials,
            starttls,
            stage: Stage::Greeting,
            commands: 0,
            capabilities: Capabilities::default(),
            pieces: VecDeque::new(),
        }
    }

    fn command(&mut self, stage: Stage, command: &[u8]) -> Next {
        self.stage = stage;
        Next::Say(self.tagged(command))
    }

    fn tagged(&mut self, command: &[u8]) -> Zeroizing<Vec<u8>> {
        self.commands += 1;
        let mut line = Zeroizing::new(format!("{} ", self.tag()).into_bytes());
        line.extend_from_slice(command);
        line
    }

    /// The tag of the last command.
    fn tag(&self) -> String {
        format!("p{}", self.commands)
    }

    fn untagged(&mut self, line: &[u8], word: &str, rest: &[u8]) -> Next {
        match (self.stage, word) {
            // RFC 9051 §7.1.5: the server is about to close.
            (_, "BYE") => Next::unavailable(rest),
            (Stage::Greeting, "OK") if self.starttls => self.command(Stage::StartTls, b"STARTTLS\r\n"),
            (Stage::Greeting, "OK") => self.command(Stage::Capability, b"CAPABILITY\r\n"),
            // RFC 9051 §7.1.4; also what an attacker says to keep us from STARTTLS.
            (Stage::Greeting, "PREAUTH") => Next::misbehaved(Misbehaved::Preauthenticated),
            (Stage::Greeting, _) => Next::unexpected(line),
            (Stage::Capability, "CAPABILITY") => {
                self.capabilities = Capabilities::read(rest);
                Next::Wait
            }
            _ => Next::Wait,
        }
    }

    fn completed(&mut self, line: &[u8], status: Status, text: &[u8]) -> Next {
        match (self.stage, status) {
            (Stage::Greeting, _) => Next::unexpected(line),
            (Stage::StartTls, Status::Ok) => Next::StartTls,
            (Stage::StartTls, _) => Next::misbehaved(Misbehaved::NoStartTls),
            (Stage::Capability, Status::Ok) => self.log_in(),
            (Stage::Capability, _) => Next::unexpected(line),
            (Stage::Login, status) => match reply::verdict(status, text) {
                Some(outcome) => self.end(outcome),
                None => Next::unexpected(line),
            },
        }
    }

    /// Chooses how to say the password.
    fn log_in(&mut self) -> Next {
        let capabilities = self.capabilities;
        if capabilities.auth_plain {
            let mut message = plain(&self.credentials);
            message.extend_from_slice(b"\r\n");
            if capabilities.sasl_ir {
                // RFC 4959 §3.
                let mut command = Zeroizing::new(b"AUTHENTICATE PLAIN ".to_vec());
                command.extend_from_slice(&message);
                return self.command(Stage::Login, &command);
            }
            self.pieces.push_back(message);
            return self.command(Stage::Login, b"AUTHENTICATE PLAIN\r\n");
        }
        // RFC 9051 §6.2.3: LOGIN must not be said then.
        if capabilities.login_disabled {
            return self.end(Outcome::BasicAuthOff);
        }
        self.pieces = login::pieces(&self.credentials);
        match self.pieces.pop_front() {
            Some(first) => self.command(Stage::Login, &first),
            None => Next::Wait,
        }
    }

    fn end(&mut self, outcome: Outcome) -> Next {
        let farewell = self.tagged(b"LOGOUT\r\n");
        Next::End(outcome, farewell)
    }
}

impl Dialogue for Imap {
    fn line(&mut self, line: &[u8]) -> Next {
        match reply::read(line, &self.tag()) {
            Some(Line::Untagged { word, rest }) => self.untagged(line, &word, rest),
            Some(Line::Completed { status, text }) => self.completed(line, status, text),
            // RFC 9051 §7.6: only where we have more to say.
            Some(Line::Continue) => match self.pieces.pop_front() {
                Some(piece) => Next::Say(piece),
                None => Next::unexpected(line),
            },
            None => Next::unexpected(line),
        }
    }

    fn secured(&mut self) -> Next {
        // RFC 9051 §6.2.1: what was learnt before is forgotten.
        self.command(Stage::Capability, b"CAPABILITY\r\n")
    }
}

impl Capabilities {
    fn read(words: &[u8]) -> Capabilities {
        let mut capabilities = Capabilities::default();
        for word in words.split(|octet| *octet == b' ') {
            match word.to_ascii_uppercase().as_slice() {
                b"AUTH=PLAIN" => capabilities.auth_plain = true,
                b"SASL-IR" => capabilities.sasl_ir = true,
                b"LOGINDISABLED" => capabilities.login_disabled = true,
                _ => {}
            }
        }
        capabilities
    }
}
