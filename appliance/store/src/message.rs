//! A message as it is kept: its envelope and where it came from.

use std::{borrow::Cow, net::SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smtp::{
    address::{ForwardPath, ReversePath},
    envelope::{MailParameters, RcptParameters},
};

use crate::{
    Limits, MessageId, SessionId, StoreError, Timestamp,
    log::{Event, bounded},
    queue::NewDelivery,
    stream::{self, StreamMail},
};

/// Longest name that a peer gave itself in EHLO and that is kept, in bytes (RFC 5321 §4.5.3.1.2).
pub const HELO_MAX: usize = 255;

/// Everything known of a message but its body and its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    pub envelope: Envelope,
    pub source: Source,
    pub received_at: Timestamp,
    /// Bytes of the body as it is stored: header section and text, dots not stuffed.
    pub size: u64,
}

/// What the sender said with `MAIL FROM`. The recipients stand in the message's deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub from: ReversePath,
    pub parameters: MailParameters,
}

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// From a peer by SMTP.
    Smtp {
        session: SessionId,
        peer: SocketAddr,
        /// What it called itself, cut to [`HELO_MAX`].
        helo: Box<str>,
        /// Whether TLS was on.
        tls: bool,
    },
    /// Written by this appliance, such as a delivery status notification about `about`.
    Local { about: Option<MessageId> },
}

/// One recipient of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub to: ForwardPath,
    pub parameters: RcptParameters,
    pub state: RecipientState,
}

/// How far a recipient is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RecipientState {
    /// Not yet delivered; the reply is the last one heard about this recipient, if any.
    #[default]
    Waiting,
    /// The last attempt failed for the moment.
    Deferred(crate::queue::Reply),
    /// The next hop took responsibility.
    Delivered(crate::queue::Reply),
    /// Given up; the sender was told, unless it did not want to be.
    Failed(crate::queue::Reply),
}

/// A message to be enqueued, without its body.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub envelope: Envelope,
    pub source: Source,
    pub received_at: Timestamp,
    /// One at least; each recipient stands in one of them.
    pub deliveries: Vec<NewDelivery>,
    /// Written in the same commit.
    pub events: Vec<Event>,
    /// The streams that it is for, noted in the same commit; a stream is counted once for each domain.
    pub streams: Vec<StreamMail>,
}

/// A whole message of our own, such as a delivery status notification.
#[derive(Debug, Clone)]
pub struct Notice {
    pub message: NewMessage,
    /// At most [`Limits::held_bytes`].
    pub body: Bytes,
}

impl NewMessage {
    /// Refuses what goes over a limit; cuts what is only for people.
    pub(crate) fn check(&mut self, limits: &Limits) -> Result<(), StoreError> {
        if let Source::Smtp { helo, .. } = &mut self.source {
            cut(helo, HELO_MAX);
        }
        let recipients: usize = self.deliveries.iter().map(|delivery| delivery.recipients.len()).sum();
        if recipients > limits.recipients {
            let text = format!("{recipients} recipients; a message may have {}", limits.recipients);
            return Err(StoreError::Refused(text));
        }
        if self.deliveries.is_empty() || self.deliveries.iter().any(|delivery| delivery.recipients.is_empty())
        {
            return Err(StoreError::Refused("a message or a delivery without a recipient".into()));
        }
        for recipient in self.deliveries.iter_mut().flat_map(|delivery| &mut delivery.recipients) {
            recipient.state.check(limits);
        }
        stream::check_mails(&mut self.streams, limits)
    }
}

impl Notice {
    pub(crate) fn check(&mut self, limits: &Limits) -> Result<(), StoreError> {
        if self.body.len() > limits.held_bytes {
            return Err(StoreError::TooLarge { limit: limits.held_bytes as u64 });
        }
        self.message.check(limits)
    }
}

impl RecipientState {
    pub(crate) fn check(&mut self, limits: &Limits) {
        if let Self::Deferred(reply) | Self::Delivered(reply) | Self::Failed(reply) = self {
            reply.check(limits);
        }
    }
}

/// Cuts a text for people to at most `max` bytes.
pub(crate) fn cut(text: &mut Box<str>, max: usize) {
    if text.len() > max {
        *text = bounded(Cow::Owned(text.to_string()), max).into();
    }
}

impl Recipient {
    /// A recipient who waits for the first attempt.
    pub fn new(to: ForwardPath, parameters: RcptParameters) -> Self {
        Self { to, parameters, state: RecipientState::Waiting }
    }

    /// Whether an attempt is still to be made.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, RecipientState::Waiting | RecipientState::Deferred(_))
    }
}
