//! The receiving side: commands in, replies and questions out.
//!
//! [`Session`] is fed [`Input`]s and fills [`Actions`]. It decides everything that the protocol decides and asks
//! about all else with a [`Question`]; one [`Answer`] at a time lets it go on, whenever it comes.

mod body;
mod config;
mod dialogue;
mod line;
mod session;
mod state;
mod verb;

use bytes::Bytes;

pub use config::{Extensions, Limits, ServerConfig, Timeouts};
pub use session::Session;

use crate::{
    Time,
    address::{ForwardPath, Host, ReversePath},
    body_scanner::Violation,
    envelope::{BodyKind, MailParameters, RcptParameters},
    reply::Reply,
};

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the peer; inside TLS, when it is up. Only while [`Session::wants_read`], at most
    /// [`READ_MAX`] at a time.
    Bytes(&'a [u8]),
    /// The moment of the last [`Action::WakeAt`] has come. Too early is harmless.
    Timeout,
    /// The answer to the open [`Question`]; ignored if none is open, since it may come after the end.
    Answer(Answer),
    /// The handshake that [`Action::StartTls`] asked for is done.
    TlsDone,
    /// The handshake failed; the connection is to be closed.
    TlsFailed,
    /// The peer sent its end of stream, or the connection is lost.
    PeerClosed,
}

/// Octets that may be handed in at once: a reader's buffer.
pub const READ_MAX: usize = 64 * 1024;

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these octets.
    Write(Bytes),
    /// Everything before is to be sent in plain; then do the handshake and answer with [`Input::TlsDone`].
    StartTls,
    /// Decide, and answer with [`Input::Answer`]. One question is open at a time.
    Ask(Question),
    /// The next octets of the body: dots unstuffed, line ends CR LF, nothing else changed, checked so far.
    Body(Bytes),
    /// The transaction is over without a message: forget sender, recipients and body.
    Reset,
    /// Call with [`Input::Timeout`] at this moment; replaces the moment named before.
    WakeAt(Time),
    /// Send what was written and close. Read and drop what still comes for a moment, or the peer may lose the
    /// last reply to a TCP reset. A transaction that was under way is over. Nothing follows.
    Close(CloseReason),
}

/// What the session does not decide by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// May this peer speak at all? Asked first.
    Connect,
    /// EHLO or HELO.
    Helo(Helo),
    /// A sender; opens a transaction.
    Mail(Mail),
    /// A recipient.
    Rcpt(Rcpt),
    /// May the body come? [`Action::Body`] follows when accepted.
    Data,
    /// The body is whole and clean. Accept only what is durable: the reply gives the peer's copy free.
    EndOfMessage(EndOfMessage),
}

/// A greeting by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helo {
    /// The name it gives itself.
    pub name: ClientName,
    /// EHLO rather than HELO.
    pub extended: bool,
}

/// The name that a client gives itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientName {
    /// As RFC 5321 §4.1.4 wants it.
    Host(Host),
    /// Anything else: printable ASCII, up to [`CLIENT_NAME_MAX`] octets, without spaces.
    Other(Box<str>),
}

/// RFC 5321 §4.5.3.1.2: a domain's octets; a longer name is refused with 501.
pub const CLIENT_NAME_MAX: usize = 255;

/// `MAIL FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender.
    pub from: ReversePath,
    /// What it says about the message.
    pub parameters: MailParameters,
}

/// `RCPT TO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// The recipient.
    pub to: ForwardPath,
    /// What the sender says about it.
    pub parameters: RcptParameters,
}

/// A body that came whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndOfMessage {
    /// Octets handed out as [`Action::Body`].
    pub size: u64,
    /// What the octets are, whatever `BODY=` said: the next hop must be told the truth.
    pub kind: BodyKind,
    /// For the `with` clause of `Received`.
    pub protocol: Protocol,
}

/// How a message was transmitted (RFC 3848; RFC 6531 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the registry's")]
pub enum Protocol {
    Smtp,
    Esmtp,
    Esmtps,
    Utf8Smtp,
    Utf8Smtps,
}

/// The decision on a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with the usual reply.
    Accept,
    /// Yes, with this 2xx reply, such as one that names the stored message. Any other code becomes 250.
    AcceptWith(Reply),
    /// No, with this 4xx or 5xx reply; the session goes on. On [`Question::Connect`] it closes. Any other code
    /// becomes 451.
    Refuse(Reply),
    /// No: there is no such recipient. Counted; at [`Limits::unknown_recipients`] the session ends with 421.
    UnknownRecipient(Reply),
    /// Send this 4xx or 5xx reply and close.
    Close(Reply),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// QUIT.
    #[error("the peer said QUIT")]
    Quit,
    /// The peer closed, or the connection is lost.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// It was silent or slow too long.
    #[error("the peer was too slow: {0}")]
    Timeout(Waiting),
    /// It spoke before the banner.
    #[error("the peer spoke before the banner")]
    EarlyTalker,
    /// It sent more behind EHLO, HELO or DATA than may follow before our reply (RFC 2920 §3.1).
    #[error("the peer did not wait for a reply")]
    Unsynchronised,
    /// Plaintext came behind STARTTLS: someone between may have put it there (RFC 3207 §4.1.1).
    #[error("plaintext followed STARTTLS")]
    InjectedPlaintext,
    /// The body held what only smuggling or broken software sends.
    #[error("the body is refused: {0}")]
    Body(Violation),
    /// A command had a bare CR or LF.
    #[error("a command ended with something other than CR LF")]
    BareLineEnd,
    /// A command line went on and on.
    #[error("a command line went on without end")]
    EndlessLine,
    /// A body went on and on after it was too large.
    #[error("the body went on beyond every limit")]
    EndlessBody,
    /// [`Limits::bad_commands`].
    #[error("too many bad commands")]
    BadCommands,
    /// [`Limits::idle_commands`].
    #[error("too many commands that carry no mail")]
    IdleCommands,
    /// [`Limits::unknown_recipients`].
    #[error("too many unknown recipients")]
    UnknownRecipients,
    /// [`Limits::messages`].
    #[error("too many messages on one connection")]
    Messages,
    /// The answer to a question was to close.
    #[error("closed by decision")]
    Decision,
    /// A question stayed without an answer for [`Timeouts::answer`]: our fault.
    #[error("a question stayed unanswered")]
    Unanswered,
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    TlsFailed,
    /// More octets were handed in than [`Session::wants_read`] asked for: our fault.
    #[error("more input was handed in than was asked for")]
    Overrun,
}

/// What a session waited for when time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each is said by its text")]
pub enum Waiting {
    #[error("waiting for a command")]
    Command,
    #[error("waiting for a block of data")]
    DataBlock,
    #[error("waiting for the end of data")]
    DataEnd,
    #[error("waiting for the TLS handshake")]
    Tls,
}

impl Protocol {
    /// The keyword of the `with` clause.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
            Self::Esmtps => "ESMTPS",
            Self::Utf8Smtp => "UTF8SMTP",
            Self::Utf8Smtps => "UTF8SMTPS",
        }
    }
}

impl std::fmt::Display for ClientName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// What a session wants done, in order.
pub type Actions = crate::Actions<Action>;
