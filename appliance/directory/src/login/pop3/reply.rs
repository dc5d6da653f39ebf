//! What a POP3 server replies.

use super::super::mailbox::{Outcome, Unavailable, shown};

/// RFC 1939 §3, and RFC 5034 §4 for the last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'l> {
    Ok,
    Err(&'l [u8]),
    Continue,
}

pub(super) fn read(line: &[u8]) -> Option<Reply<'_>> {
    let mut words = line.splitn(2, |octet| *octet == b' ');
    let (first, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match first.to_ascii_uppercase().as_slice() {
        b"+OK" => Some(Reply::Ok),
        b"-ERR" => Some(Reply::Err(rest)),
        b"+" => Some(Reply::Continue),
        _ => None,
    }
}

/// What a refusal of the name or the password says.
pub(super) fn verdict(text: &[u8]) -> Outcome {
    let upper = text.to_ascii_uppercase();
    // Microsoft's reason, where it gives one.
    if upper.windows(BLOCKED.len()).any(|window| window == BLOCKED) {
        return Outcome::BasicAuthOff;
    }
    let code = upper.strip_prefix(b"[").and_then(|rest| rest.split(|octet| *octet == b']').next());
    match code {
        // RFC 2449 §8.1.2: the password was right, and somebody else is reading.
        Some(b"IN-USE") => Outcome::Ok,
        // RFC 2449 §8.1.1, RFC 3206 §4.
        Some(b"LOGIN-DELAY" | b"SYS/TEMP" | b"SYS/PERM") => {
            Outcome::Unavailable(Unavailable::Said(shown(text)))
        }
        // RFC 3206 §5, and servers without codes.
        _ => Outcome::WrongPassword,
    }
}

const BLOCKED: &[u8] = b"BASICAUTHBLOCKED";
