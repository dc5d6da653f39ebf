//! What is shown of the store's things: texts and times, as JSON carries them.

use serde::{Deserialize, Serialize};
use store::{
    MessageId, Timestamp,
    log::{Event, FaultClass},
    message::{Message, Recipient, RecipientState, Source},
    queue::{Delivery, Reply},
};

/// One entry of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryView {
    pub delivery: String,
    pub message: String,
    pub sender: String,
    pub client: Option<String>,
    pub size: u64,
    pub destination: String,
    pub recipients: Vec<RecipientView>,
    pub attempts: u32,
    pub queued_at: String,
    pub next_attempt: String,
    pub expires: String,
    /// Why it is held, if it is.
    pub held: Option<String>,
    pub last_reply: Option<ReplyView>,
}

/// One recipient of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientView {
    pub address: String,
    /// `waiting`, `deferred`, `delivered` or `failed`.
    pub state: String,
    pub reply: Option<ReplyView>,
}

/// What a next hop said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyView {
    /// 0 when there was no reply; the text then says what happened instead.
    pub code: u16,
    pub enhanced: Option<String>,
    pub text: String,
    pub host: String,
    pub at: String,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    pub at: String,
    pub kind: String,
    pub session: Option<String>,
    pub message: Option<String>,
    pub delivery: Option<String>,
    /// Whose fault it was: `peer`, `configuration`, `resource` or `bug`.
    pub fault: Option<String>,
    pub fields: Vec<(String, String)>,
}

/// RFC 3339 in UTC, to the millisecond.
pub fn time(at: Timestamp) -> String {
    let micros = i64::try_from(at.unix_micros()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => "never".to_owned(),
    }
}

/// Reads RFC 3339.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond()).ok().map(Timestamp::from_unix_micros)
}

impl DeliveryView {
    pub(crate) fn new(message: Option<&Message>, delivery: &Delivery) -> DeliveryView {
        let id: MessageId = delivery.id.message;
        DeliveryView {
            delivery: delivery.id.to_string(),
            message: id.to_string(),
            sender: message.map_or_else(String::new, |message| message.envelope.from.to_string()),
            client: message.and_then(client),
            size: message.map_or(0, |message| message.size),
            destination: delivery.destination.to_string(),
            recipients: delivery.recipients.iter().map(RecipientView::new).collect(),
            attempts: delivery.attempts,
            queued_at: time(delivery.queued_at),
            next_attempt: time(delivery.next_attempt),
            expires: time(delivery.expires),
            held: delivery.hold.as_ref().map(|hold| hold.text.to_string()),
            last_reply: delivery.last_reply.as_ref().map(ReplyView::new),
        }
    }
}

fn client(message: &Message) -> Option<String> {
    match &message.source {
        Source::Smtp { peer, .. } => Some(peer.ip().to_string()),
        Source::Local { .. } => None,
    }
}

impl RecipientView {
    fn new(recipient: &Recipient) -> RecipientView {
        let (state, reply) = match &recipient.state {
            RecipientState::Waiting => ("waiting", None),
            RecipientState::Deferred(reply) => ("deferred", Some(reply)),
            RecipientState::Delivered(reply) => ("delivered", Some(reply)),
            RecipientState::Failed(reply) => ("failed", Some(reply)),
        };
        let address = recipient.to.to_string();
        RecipientView { address, state: state.to_owned(), reply: reply.map(ReplyView::new) }
    }
}

impl ReplyView {
    fn new(reply: &Reply) -> ReplyView {
        ReplyView {
            code: reply.code,
            enhanced: reply.enhanced.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}")),
            text: reply.text.to_string(),
            host: reply.host.to_string(),
            at: time(reply.at),
        }
    }
}

impl EventView {
    pub(crate) fn new(event: &Event) -> EventView {
        let fault = event.fault.map(|fault| match fault {
            FaultClass::Peer => "peer",
            FaultClass::Configuration => "configuration",
            FaultClass::Resource => "resource",
            FaultClass::Bug => "bug",
        });
        let fields = event.fields.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        EventView {
            at: time(event.at),
            kind: event.kind.to_string(),
            session: event.session.map(|id| id.to_string()),
            message: event.message.map(|id| id.to_string()),
            delivery: event.delivery.map(|id| id.to_string()),
            fault: fault.map(str::to_owned),
            fields: fields.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_in_utc_and_read_back() {
        let at = Timestamp::from_unix_micros(1_795_000_000_123_000);
        assert_eq!(time(at), "2026-11-18T11:06:40.123Z");
        assert_eq!(parse_time(&time(at)), Some(at));
        assert_eq!(parse_time("2026-11-18T12:06:40.123+01:00"), Some(at));
        assert_eq!(parse_time("yesterday"), None);
        assert_eq!(time(Timestamp::MAX), "never");
    }
}
