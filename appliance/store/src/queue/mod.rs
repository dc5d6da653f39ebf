//! The queue: which recipients of which message go where, and when it is tried next.

pub(crate) mod attempt;
pub(crate) mod enqueue;
pub(crate) mod read;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    DeliveryId, Limits, Timestamp,
    message::{Recipient, cut},
};

pub use attempt::Recorded;
pub use enqueue::Enqueued;
pub use read::{Deliveries, Due};

/// Longest destination key, in bytes: a route of eight host names of 255 bytes with ports.
pub const DESTINATION_MAX: usize = 2100;

/// Where a delivery goes, as the gateway names it: deliveries with equal keys share connections and limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination(Box<str>);

/// A text that cannot be a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a destination has 1 to {DESTINATION_MAX} bytes without control characters")]
pub struct DestinationError;

/// One entry of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub destination: Destination,
    pub recipients: Vec<Recipient>,
    /// Attempts made so far.
    pub attempts: u32,
    pub queued_at: Timestamp,
    /// Not tried before; [`Delivery::hold`] wins over it.
    pub next_attempt: Timestamp,
    /// When it is given up.
    pub expires: Timestamp,
    pub hold: Option<Hold>,
    /// The reply that decided the last attempt.
    pub last_reply: Option<Reply>,
    /// Whether the sender was told of the delay.
    pub delay_notified: bool,
}

/// Why an entry is not tried until it is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub reason: HoldReason,
    pub since: Timestamp,
    /// For people: what is wrong and what to do; cut to [`crate::Limits::reply_text_bytes`].
    pub text: Box<str>,
}

/// Who holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HoldReason {
    /// An administrator.
    Administrator,
    /// A fault of our configuration, such as a next hop that knows no connector for us: an alarm stands.
    Configuration,
    /// A domain suddenly refused every recipient.
    Breaker,
}

/// What a next hop answered, or what kept us from hearing an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The three digits; 0 when there was no reply.
    pub code: u16,
    /// RFC 3463, such as `(4, 7, 500)`.
    pub enhanced: Option<(u8, u16, u16)>,
    /// Cut to [`crate::Limits::reply_text_bytes`].
    pub text: Box<str>,
    /// The host that said it, or that could not be reached.
    pub host: Box<str>,
    pub at: Timestamp,
}

/// A delivery to be enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    pub destination: Destination,
    pub recipients: Vec<Recipient>,
    /// When it is tried first; the gateway may begin as soon as the write is acknowledged.
    pub next_attempt: Timestamp,
    pub expires: Timestamp,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptResult {
    pub id: DeliveryId,
    /// The new state of recipients, by their index in [`Delivery::recipients`]. Recipients that are not named
    /// keep theirs. When none is open any more the delivery is done: it leaves the queue, and with the last
    /// delivery of a message goes its body.
    pub recipients: Vec<(usize, crate::message::RecipientState)>,
    /// When it is tried next, if a recipient is still open.
    pub next_attempt: Timestamp,
    pub last_reply: Option<Reply>,
    pub hold: Option<Hold>,
    /// Set together with the notice of delay; it is never unset.
    pub delay_notified: bool,
    /// Whether this counts as an attempt; a connection that was refused by our own limits does not.
    pub counts: bool,
}

/// Longest name of a host in a [`Reply`], in bytes: a name of 253 with address and port.
const HOST_MAX: usize = 320;

impl Reply {
    pub(crate) fn check(&mut self, limits: &Limits) {
        cut(&mut self.text, limits.reply_text_bytes);
        cut(&mut self.host, HOST_MAX);
    }
}

impl Hold {
    pub(crate) fn check(&mut self, limits: &Limits) {
        cut(&mut self.text, limits.reply_text_bytes);
    }
}

impl Destination {
    pub fn new(key: &str) -> Result<Self, DestinationError> {
        let fits = (1..=DESTINATION_MAX).contains(&key.len()) && !key.contains(char::is_control);
        if fits { Ok(Self(key.into())) } else { Err(DestinationError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Destination {
    type Error = DestinationError;
    fn try_from(text: String) -> Result<Self, DestinationError> {
        Self::new(&text)
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> String {
        destination.0.into_string()
    }
}
