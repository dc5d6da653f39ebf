//! Where a session stands, as types: a command that may not come in a state finds no function that takes it.

use std::time::Duration;

use crate::{
    Time,
    body_scanner::BodyScanner,
    envelope::{BodyKind, MailParameters},
    reply::Reply,
    server::{Helo, ServerConfig, Waiting},
};

/// Where a session stands between two inputs.
#[derive(Debug)]
pub(super) enum State {
    /// A question is open; input waits.
    Asked(Asked),
    /// No transaction.
    Ready,
    /// A sender, no recipient yet.
    Mail(Transaction),
    /// At least one recipient.
    Rcpt(Transaction),
    /// Between 354 and the end of data.
    Data(Body),
    /// Between the first BDAT and the last.
    Bdat(Bdat),
    /// Octets of a BDAT that came out of order; then the reply, then what was before.
    Discard { left: u64, reply: Reply, then: Box<State> },
    /// Between our 220 and the end of the handshake.
    TlsPending,
    /// Nothing more is read or said.
    Closing,
}

/// An open question, with what its answer leads on from.
#[derive(Debug)]
pub(super) enum Asked {
    Connect,
    /// What stood before is over whatever the answer is (RFC 5321 §4.1.4).
    Helo(Helo),
    Mail(Transaction),
    Rcpt(Transaction),
    /// DATA, or the first BDAT with its chunk.
    Data(Transaction, Option<Chunk>),
    EndOfMessage,
}

/// What the session itself remembers of an envelope; the rest is the caller's.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) parameters: MailParameters,
    /// Recipients that were accepted.
    pub(super) recipients: u32,
}

/// A body that is coming.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) transaction: Transaction,
    pub(super) scanner: BodyScanner,
    /// Octets handed out.
    pub(super) size: u64,
    pub(super) kind: BodyKind,
    /// Octets that came after the body was refused.
    pub(super) discarded: u64,
    /// Why the body is refused at its end, if it is.
    pub(super) refusal: Option<Reply>,
    pub(super) started: Time,
}

/// A body that comes in chunks.
#[derive(Debug)]
pub(super) struct Bdat {
    pub(super) body: Body,
    /// The chunk that is coming; `None` between two commands.
    pub(super) chunk: Option<Chunk>,
}

/// The argument of BDAT.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) size: u64,
    pub(super) left: u64,
    pub(super) last: bool,
}

impl State {
    /// Until when the peer, or the answer, is waited for; `None` when nothing is.
    pub(super) fn deadline(&self, config: &ServerConfig, now: Time) -> Option<Time> {
        let times = &config.timeouts;
        let until = |wait: Duration| Some(now + wait);
        match self {
            Self::Asked(Asked::EndOfMessage) => until(times.end_of_message),
            Self::Asked(Asked::Connect) => until(times.banner),
            Self::Asked(_) => until(times.answer),
            Self::Ready | Self::Mail(_) | Self::Rcpt(_) => until(times.command),
            Self::Data(body) => Some((now + times.data_block).min(body.started + times.data)),
            Self::Bdat(bdat) => {
                let wait = if bdat.chunk.is_some() { times.data_block } else { times.command };
                Some((now + wait).min(bdat.body.started + times.data))
            }
            Self::Discard { .. } => until(times.data_block),
            Self::TlsPending => until(times.tls),
            Self::Closing => None,
        }
    }

    /// What the session waits for; `None` while it is our turn.
    pub(super) fn waiting(&self, config: &ServerConfig, now: Time) -> Option<Waiting> {
        let of = |body: &Body, else_: Waiting| {
            let over = now >= body.started + config.timeouts.data;
            Some(if over { Waiting::DataEnd } else { else_ })
        };
        match self {
            Self::Asked(_) | Self::Closing => None,
            Self::Ready | Self::Mail(_) | Self::Rcpt(_) => Some(Waiting::Command),
            Self::Data(body) => of(body, Waiting::DataBlock),
            Self::Bdat(Bdat { body, chunk: Some(_) }) => of(body, Waiting::DataBlock),
            Self::Bdat(Bdat { body, chunk: None }) => of(body, Waiting::Command),
            Self::Discard { .. } => Some(Waiting::DataBlock),
            Self::TlsPending => Some(Waiting::Tls),
        }
    }

    /// Whether octets now are part of a body rather than of a command.
    pub(super) fn takes_body(&self) -> bool {
        match self {
            Self::Data(_) | Self::Discard { .. } => true,
            Self::Bdat(bdat) => bdat.chunk.is_some(),
            _ => false,
        }
    }

    /// Whether a transaction would be lost by going to `Ready`.
    pub(super) fn in_transaction(&self) -> bool {
        matches!(self, Self::Mail(_) | Self::Rcpt(_) | Self::Data(_) | Self::Bdat(_))
    }
}

impl Body {
    pub(super) fn new(transaction: Transaction, scanner: BodyScanner, started: Time) -> Self {
        Self { transaction, scanner, size: 0, kind: BodyKind::SevenBit, discarded: 0, refusal: None, started }
    }
}
