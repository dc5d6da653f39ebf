//! Why a message did not get through, by whose fault and where in the dialogue.

use crate::{
    body_scanner::Violation,
    reply::{Reply, ReplyError},
};

/// Why a transaction, or the whole connection, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server said no. What to make of it depends on code, text and stage.
    #[error("{stage}: {reply}")]
    Refused {
        /// Where.
        stage: Stage,
        /// What it said.
        reply: Reply,
    },
    /// Every recipient was refused; each has its own reply.
    #[error("every recipient was refused")]
    NoRecipients,
    /// The message needs what the server does not offer. It is not sent in a lesser form.
    #[error("the server does not offer {0}")]
    Unsupported(Need),
    /// The message is larger than the server said with SIZE. Nothing was sent.
    #[error("the server takes messages of up to {limit} octets")]
    TooLarge {
        /// Octets.
        limit: u64,
    },
    /// The server broke the protocol.
    #[error("{stage}: {fault}")]
    Peer {
        /// Where.
        stage: Stage,
        /// How.
        fault: PeerFault,
    },
    /// No reply in time.
    #[error("{0}: no reply in time")]
    Timeout(Stage),
    /// The connection ended. At [`Stage::EndOfData`] the server may have the message all the same.
    #[error("{0}: the connection ended")]
    Closed(Stage),
    /// TLS is required and the server does not offer it, or refused STARTTLS with this reply.
    #[error("TLS is required and not to be had")]
    TlsUnavailable(Option<Reply>),
    /// The handshake failed.
    #[error("the TLS handshake failed")]
    TlsFailed,
    /// Our own body holds what is never sent.
    #[error("the stored body holds {0}")]
    Body(Violation),
    /// Our own body has octets above 127 though it was announced as 7BIT.
    #[error("the stored body is not 7BIT as it was announced")]
    NotSevenBit,
    /// The caller could not read the body.
    #[error("the stored body could not be read")]
    BodyFailed,
    /// The caller handed in something that was not asked for; nothing was sent of it.
    #[error("not asked for: {0}")]
    Misuse(&'static str),
}

/// How a server broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// What it said is no reply.
    #[error("{0}")]
    Garbage(ReplyError),
    /// A reply that does not fit the command, such as 354 to MAIL.
    #[error("a reply out of place: {0}")]
    Unexpected(Reply),
    /// A reply nobody asked for, such as 250 to data before its end.
    #[error("a reply before its time: {0}")]
    Early(Reply),
    /// Plaintext after its 220 to STARTTLS: someone between may have put it there.
    #[error("plaintext followed the reply to STARTTLS")]
    InjectedPlaintext,
}

/// Where in the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(missing_docs, reason = "each is said by its text")]
pub enum Stage {
    #[error("greeting")]
    Greeting,
    #[error("EHLO")]
    Ehlo,
    #[error("HELO")]
    Helo,
    #[error("STARTTLS")]
    StartTls,
    #[error("TLS")]
    Tls,
    #[error("idle")]
    Idle,
    #[error("MAIL")]
    Mail,
    #[error("RCPT")]
    Rcpt,
    #[error("DATA")]
    Data,
    #[error("body")]
    Body,
    #[error("end of data")]
    EndOfData,
    #[error("RSET")]
    Rset,
    #[error("QUIT")]
    Quit,
}

/// An extension that a message needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Need {
    /// RFC 6152.
    #[error("8BITMIME")]
    EightBitMime,
    /// RFC 6531.
    #[error("SMTPUTF8")]
    SmtpUtf8,
}
