//! What an IMAP server says, line by line.

use super::super::mailbox::{Outcome, Unavailable, shown};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// `* WORD …`.
    Untagged { word: String, rest: &'l [u8] },
    /// `TAG OK|NO|BAD …`, for the last command.
    Completed { status: Status, text: &'l [u8] },
    /// `+ …`.
    Continue,
}

/// RFC 9051 §7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
}

/// `None`: no line of the protocol, or the end of a command that was not said.
pub(super) fn read<'l>(line: &'l [u8], tag: &str) -> Option<Line<'l>> {
    let (first, rest) = word(line);
    match first {
        b"*" => {
            let (word, rest) = word(rest);
            Some(Line::Untagged { word: String::from_utf8(word.to_ascii_uppercase()).ok()?, rest })
        }
        b"+" => Some(Line::Continue),
        _ if first == tag.as_bytes() => {
            let (status, text) = word(rest);
            let status = match status.to_ascii_uppercase().as_slice() {
                b"OK" => Status::Ok,
                b"NO" => Status::No,
                b"BAD" => Status::Bad,
                _ => return None,
            };
            Some(Line::Completed { status, text })
        }
        _ => None,
    }
}

fn word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|octet| *octet == b' ') {
        Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
        None => (line, &[]),
    }
}

/// What the end of AUTHENTICATE or LOGIN says of the password. `None`: nothing.
pub(super) fn verdict(status: Status, text: &[u8]) -> Option<Outcome> {
    match status {
        Status::Ok => return Some(Outcome::Ok),
        // RFC 9051 §7.1.3: we said something wrong, which is not a matter of the password.
        Status::Bad => return None,
        Status::No => {}
    }
    let upper = text.to_ascii_uppercase();
    // Microsoft's reason, where it gives one.
    if upper.windows(BLOCKED.len()).any(|window| window == BLOCKED) {
        return Some(Outcome::BasicAuthOff);
    }
    let code = upper.strip_prefix(b"[").unwrap_or_default();
    let code = code.split(|octet| *octet == b' ' || *octet == b']').next().unwrap_or_default();
    Some(match code {
        // RFC 5530 §3.
        b"UNAVAILABLE" | b"INUSE" | b"LIMIT" | b"SERVERBUG" | b"CONTACTADMIN" => {
            Outcome::Unavailable(Unavailable::Said(shown(text)))
        }
        // It wants no password over a way that it holds for plain; ours is TLS already.
        b"PRIVACYREQUIRED" => Outcome::BasicAuthOff,
        // AUTHENTICATIONFAILED, AUTHORIZATIONFAILED, EXPIRED, and servers without codes.
        _ => Outcome::WrongPassword,
    })
}

const BLOCKED: &[u8] = b"BASICAUTHBLOCKED";
