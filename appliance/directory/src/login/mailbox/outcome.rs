//! What a conversation with a mail server came to.

use super::{LINE_MAX, LINES_MAX, TIME_MAX};

/// The outcome, sorted by whose matter it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server took name and password.
    Ok,
    /// The server refused them.
    WrongPassword,
    /// The server takes no passwords, whoever's: the user lookup has to be another one.
    BasicAuthOff,
    /// Nobody can say now; a password that is remembered may do.
    Unavailable(Unavailable),
    /// The server does not do what its protocol says, or is none of that protocol.
    Misbehaved(Misbehaved),
}

/// Why nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No connection was made; for the caller, who makes it.
    #[error("the server cannot be reached: {0}")]
    Unreachable(Box<str>),
    /// The conversation took longer than [`TIME_MAX`].
    #[error("the server did not answer within {} s", TIME_MAX.as_secs())]
    Timeout,
    /// The connection ended before there was an answer.
    #[error("the server closed the connection")]
    Closed,
    /// There is no TLS, or the certificate is not the host's.
    #[error("TLS failed, or the certificate is not the host's")]
    Tls,
    /// The server says that it cannot, for now.
    #[error("the server says: {0}")]
    Said(Box<str>),
}

/// What the server did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaved {
    /// It does not begin TLS, and nothing is said without.
    #[error("the server offers no STARTTLS")]
    NoStartTls,
    /// Octets came in plain between its leave to begin TLS and the handshake: somebody put them there.
    #[error("octets came in plain after STARTTLS")]
    Injected,
    /// It takes anybody without a password.
    #[error("the server takes every connection without a password")]
    Preauthenticated,
    /// A line longer than [`LINE_MAX`].
    #[error("a line of more than {LINE_MAX} bytes")]
    LongLine,
    /// More lines than [`LINES_MAX`].
    #[error("more than {LINES_MAX} lines")]
    ManyLines,
    /// Something that has no place where it stands.
    #[error("unexpected: {0}")]
    Unexpected(Box<str>),
}

/// Longest text of a server's that is shown, in characters.
const SHOWN_MAX: usize = 200;

/// What a server said, for people: one line of printable text.
pub(in crate::login) fn shown(text: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(text.get(..4 * SHOWN_MAX).unwrap_or(text));
    text.trim()
        .chars()
        .take(SHOWN_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect::<String>()
        .into()
}
