//! POP3 (RFC 1939), as far as a login goes: CAPA, STLS, AUTH PLAIN or USER and PASS, QUIT.

mod reply;
#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use super::{
    Credentials,
    mailbox::{Dialogue, Misbehaved, Next, Outcome, plain},
};
use reply::Reply;

/// Longest command with its end (RFC 2449 §4); what is longer is said in two lines.
const COMMAND_MAX: usize = 255;

/// What the client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Stls,
    Capa,
    /// The lines of the list, up to the dot.
    Capabilities,
    /// Leave to send the message that did not fit into the command.
    Auth,
    User,
    /// The reply to the password.
    Password,
}

/// The client's side.
pub(super) struct Pop3 {
    credentials: Credentials,
    starttls: bool,
    stage: Stage,
    capabilities: Capabilities,
}

/// What the server can do, as far as it matters.
#[derive(Debug, Clone, Copy, Default)]
struct Capabilities {
    sasl_plain: bool,
    user: bool,
}

impl Pop3 {
    pub(super) fn new(credentials: Credentials, starttls: bool) -> Pop3 {
        Pop3 { credentials, starttls, stage: Stage::Greeting, capabilities: Capabilities::default() }
    }

    fn command(&mut self, stage: Stage, parts: &[&[u8]]) -> Next {
        self.stage = stage;
        let mut line = Zeroizing::new(parts.concat());
        line.extend_from_slice(b"\r\n");
        Next::Say(line)
    }

    fn capability(&mut self, line: &[u8]) -> Next {
        // RFC 1939 §3: a dot alone ends a list.
        if line == b"." {
            return self.log_in();
        }
        let upper = line.to_ascii_uppercase();
        let mut words = upper.split(|octet| *octet == b' ');
        match words.next() {
            Some(b"USER") => self.capabilities.user = true,
            Some(b"SASL") => self.capabilities.sasl_plain = words.any(|mechanism| mechanism == b"PLAIN"),
            _ => {}
        }
        Next::Wait
    }

    /// Chooses how to say the password.
    fn log_in(&mut self) -> Next {
        if self.capabilities.sasl_plain {
            let message = plain(&self.credentials);
            // RFC 5034 §4: with the command, if the line holds it.
            if b"AUTH PLAIN ".len() + message.len() + 2 <= COMMAND_MAX {
                return self.command(Stage::Password, &[b"AUTH PLAIN ", &message]);
            }
            return self.command(Stage::Auth, &[b"AUTH PLAIN"]);
        }
        if self.capabilities.user {
            let name = self.credentials.name().to_owned();
            return self.command(Stage::User, &[b"USER ", name.as_bytes()]);
        }
        Pop3::end(Outcome::BasicAuthOff)
    }

    fn reply(&mut self, line: &[u8], reply: Reply<'_>) -> Next {
        match (self.stage, reply) {
            (Stage::Greeting, Reply::Ok) if self.starttls => self.command(Stage::Stls, &[b"STLS"]),
            (Stage::Greeting, Reply::Ok) => self.command(Stage::Capa, &[b"CAPA"]),
            (Stage::Greeting, Reply::Err(text)) => Next::unavailable(text),
            (Stage::Stls, Reply::Ok) => Next::StartTls,
            (Stage::Stls, Reply::Err(_)) => Next::misbehaved(Misbehaved::NoStartTls),
            (Stage::Capa, Reply::Ok) => {
                self.stage = Stage::Capabilities;
                Next::Wait
            }
            // RFC 2449 §5: a server that knows no CAPA has what RFC 1939 has.
            (Stage::Capa, Reply::Err(_)) => {
                self.capabilities.user = true;
                self.log_in()
            }
            (Stage::Auth, Reply::Continue) => {
                let message = plain(&self.credentials);
                self.command(Stage::Password, &[&message])
            }
            (Stage::User, Reply::Ok) => {
                let password = self.credentials.password().clone();
                self.command(Stage::Password, &[b"PASS ", password.expose().as_bytes()])
            }
            (Stage::Password, Reply::Ok) => Pop3::end(Outcome::Ok),
            (Stage::Auth | Stage::User | Stage::Password, Reply::Err(text)) => {
                Pop3::end(reply::verdict(text))
            }
            _ => Next::unexpected(line),
        }
    }

    fn end(outcome: Outcome) -> Next {
        Next::End(outcome, Zeroizing::new(b"QUIT\r\n".to_vec()))
    }
}

impl Dialogue for Pop3 {
    fn line(&mut self, line: &[u8]) -> Next {
        if self.stage == Stage::Capabilities {
            return self.capability(line);
        }
        match reply::read(line) {
            Some(reply) => self.reply(line, reply),
            None => Next::unexpected(line),
        }
    }

    fn secured(&mut self) -> Next {
        // RFC 2595 §4: what was learnt before is forgotten.
        self.command(Stage::Capa, &[b"CAPA"])
    }
}
