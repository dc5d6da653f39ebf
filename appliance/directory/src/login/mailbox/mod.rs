//! Asks a mail server whether it takes a password: one conversation, over TLS only, with one [`Outcome`].
//!
//! What is common to both protocols; what is said stands in the folders `imap` and `pop3`.

mod name;
mod outcome;
mod plain;
#[cfg(test)]
pub(in crate::login) mod scripted;
mod session;
#[cfg(test)]
mod tests;

use smtp::Time;
use zeroize::Zeroizing;

pub use name::{home_stream, login_name};
pub(super) use outcome::shown;
pub use outcome::{Misbehaved, Outcome, Unavailable};
pub(super) use plain::plain;
pub(super) use session::{Dialogue, Next};
pub use session::{LINE_MAX, LINES_MAX, Session, TIME_MAX};

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the server; inside TLS, when it is up. Only while [`Session::wants_read`].
    Bytes(&'a [u8]),
    /// The moment of [`Action::WakeAt`] has come. Too early is harmless.
    Timeout,
    /// The handshake that [`Action::StartTls`] asked for is done, and the certificate is the host's.
    TlsDone,
    /// The handshake failed, or the certificate is not the host's.
    TlsFailed,
    /// The server sent its end of stream, or the connection is lost.
    PeerClosed,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these octets; a password may be among them.
    Write(Zeroizing<Vec<u8>>),
    /// Everything before is to be sent in plain; then do the handshake, with the host's name checked, and answer with
    /// [`Input::TlsDone`].
    StartTls,
    /// Call with [`Input::Timeout`] at this moment.
    WakeAt(Time),
    /// This came of it; close the connection after what was written. Nothing follows.
    Done(Outcome),
}
