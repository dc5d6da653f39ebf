//! The sending side: messages in, commands out, and for each recipient what became of it.
//!
//! [`Session`] opens the dialogue by itself (greeting, EHLO, STARTTLS, EHLO) and says [`Action::Ready`]. Then one
//! [`Transaction`] at a time is handed in, by [`Input::Deliver`] or [`Input::Probe`]; each ends with
//! [`Action::Done`] and, while the connection is good for more, with [`Action::Ready`] again.

mod config;
mod extensions;
mod failure;
mod opening;
mod outgoing;
mod session;
mod transaction;

use bytes::Bytes;

use crate::{
    Time,
    address::{ForwardPath, ReversePath},
    envelope::{MailParameters, RcptParameters},
    reply::Reply,
};
pub use config::{ClientConfig, Timeouts, TlsPolicy};
pub use extensions::Extensions;
pub use failure::{Failure, Need, PeerFault, Stage};
pub use session::Session;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the server; inside TLS, when it is up. Only while [`Session::wants_read`].
    Bytes(&'a [u8]),
    /// The moment of the last [`Action::WakeAt`] has come. Too early is harmless.
    Timeout,
    /// The handshake that [`Action::StartTls`] asked for is done, and the certificate satisfies the caller.
    TlsDone,
    /// The handshake failed, or the certificate did not satisfy.
    TlsFailed,
    /// The server sent its end of stream, or the connection is lost.
    PeerClosed,
    /// Send this message; only after [`Action::Ready`]. Whatever happens, one [`Action::Done`] answers it.
    Deliver(Transaction),
    /// Ask about these recipients, send nothing: MAIL, RCPT…, RSET; only after [`Action::Ready`].
    Probe(Transaction),
    /// The next octets of the body after [`Action::WantBody`], lines ending in CR LF, dots not stuffed. Hand in
    /// when what was to be written before has been.
    Body {
        /// The octets; up to [`BODY_CHUNK_MAX`].
        chunk: Bytes,
        /// Whether nothing follows.
        last: bool,
    },
    /// The body cannot be read: give the transaction up, so that the server sees no end of data.
    BodyFailed,
    /// Say QUIT and close; in a transaction, after it.
    Quit,
}

/// Octets of the body that may be handed in at once.
pub const BODY_CHUNK_MAX: usize = 1024 * 1024;

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these octets.
    Write(Bytes),
    /// Everything before is to be sent in plain; then do the handshake and answer with [`Input::TlsDone`].
    StartTls,
    /// A transaction may be handed in.
    Ready,
    /// Hand in the next piece of the body.
    WantBody,
    /// The transaction is over; this became of it.
    Done(Outcome),
    /// Call with [`Input::Timeout`] at this moment; replaces the moment named before.
    WakeAt(Time),
    /// Close the connection, after what was written. `Ok` after QUIT. A transaction that was under way has got
    /// its [`Action::Done`] before. Nothing follows.
    Close(Result<(), Failure>),
}

/// A message's envelope for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The sender.
    pub from: ReversePath,
    /// `size` is the body's octets, `body` and `smtputf8` what it needs of the server; RET and ENVID are passed on
    /// where the server offers DSN.
    pub parameters: MailParameters,
    /// The recipients, at least one. A server may take no more than 100 at once (RFC 5321 §4.5.3.1.8).
    pub recipients: Vec<Recipient>,
}

/// One recipient of a [`Transaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Where to.
    pub to: ForwardPath,
    /// NOTIFY and ORCPT, passed on where the server offers DSN.
    pub parameters: RcptParameters,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the server said to each recipient, in their order; `None` where it did not come to that.
    pub recipients: Vec<Option<Reply>>,
    /// The last reply to the message, by which all recipients with a 2xx reply were delivered; of a probe, the
    /// reply to RSET. Otherwise why it did not come to that: it holds for every recipient whose own reply is not
    /// a 4xx or 5xx.
    pub result: Result<Reply, Failure>,
    /// Whether DSN was offered, so that the next hop answers for NOTIFY from here on (RFC 3461 §5.2.2).
    pub dsn: bool,
}

/// What a session wants done, in order.
pub type Actions = crate::Actions<Action>;
