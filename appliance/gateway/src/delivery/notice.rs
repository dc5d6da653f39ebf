//! From a conclusion to the notices that are enqueued with it.

use bytes::Bytes;
use config_schema::Config;
use smtp::{
    address::{ForwardPath, ReversePath},
    envelope::{BodyKind, MailParameters, Notify, RcptParameters, Return},
};
use store::{
    Store, Timestamp,
    message::{Envelope, Message, NewMessage, Notice, Recipient, RecipientState, Source},
    queue::{Delivery, NewDelivery, Reply},
    spool::Body,
};

use super::fate::Conclusion;
use crate::{
    dsn::{self, Action, Facts, Reported},
    recipient,
};

/// Writes the notices that `conclusion` calls for; none for a null sender.
pub(super) fn write(
    store: &Store,
    config: &Config,
    delivery: &Delivery,
    message: &Message,
    conclusion: &Conclusion,
    now: Timestamp,
) -> Vec<Notice> {
    if conclusion.notices.is_empty() || message.envelope.from.address().is_none() {
        return Vec::new();
    }
    let original = beginning(store, message);
    let mut notices = Vec::new();
    for (action, indices) in &conclusion.notices {
        for indices in indices.chunks(dsn::RECIPIENTS_MAX) {
            let reported: Vec<Reported<'_>> = indices
                .iter()
                .filter_map(|index| {
                    let recipient = delivery.recipients.get(*index)?;
                    Some(Reported { recipient, reply: reply_of(conclusion, *index)? })
                })
                .collect();
            let name = format!("{}-{}-{}", delivery.id, now.unix_micros(), notices.len());
            let facts = Facts {
                hostname: &config.network.hostname,
                name: &name,
                now,
                message,
                original: &original,
                action: *action,
                recipients: &reported,
            };
            notices.extend(dsn::compose(&facts).and_then(|notice| enqueueable(notice, config, message, now)));
        }
    }
    notices
}

/// The reply that was recorded for a recipient.
fn reply_of(conclusion: &Conclusion, index: usize) -> Option<&Reply> {
    let state = conclusion.record.recipients.iter().find(|(known, _)| *known == index)?;
    match &state.1 {
        RecipientState::Deferred(reply)
        | RecipientState::Delivered(reply)
        | RecipientState::Failed(reply) => Some(reply),
        RecipientState::Waiting => None,
    }
}

/// The body if it may be returned whole, else its beginning; nothing if it cannot be read, for a notice without it is
/// better than none.
fn beginning(store: &Store, message: &Message) -> Vec<u8> {
    let whole =
        message.envelope.parameters.ret == Some(Return::Full) && message.size <= dsn::ORIGINAL_MAX as u64;
    let pieces = if whole { usize::MAX } else { 1 };
    let read = |body: Body| body.take(pieces).collect::<Result<Vec<Bytes>, _>>();
    store.body(message.id).and_then(read).map(|pieces| pieces.concat()).unwrap_or_default()
}

fn enqueueable(notice: dsn::Notice, config: &Config, about: &Message, now: Timestamp) -> Option<Notice> {
    let destination = recipient::destination(notice.to.host());
    // RFC 3461 §6.1: a notice goes from the null sender, and no notice is made about it.
    let parameters = RcptParameters { notify: Some(Notify::Never), orcpt: None };
    let to = Recipient::new(ForwardPath::Address(notice.to), parameters);
    let body = if notice.body.is_ascii() { BodyKind::SevenBit } else { BodyKind::EightBitMime };
    let parameters = MailParameters { body, smtputf8: notice.smtputf8, ..MailParameters::default() };
    let delivery = NewDelivery {
        destination,
        recipients: vec![to],
        next_attempt: now,
        expires: now.after(config.delivery.lifetime.duration()),
    };
    let message = NewMessage {
        envelope: Envelope { from: ReversePath::Null, parameters },
        source: Source::Local { about: Some(about.id) },
        received_at: now,
        deliveries: vec![delivery],
        events: Vec::new(),
        streams: Vec::new(),
    };
    Some(Notice { message, body: notice.body.into() })
}

/// What the event log calls an action.
pub(super) fn name(action: Action) -> &'static str {
    match action {
        Action::Failed => "failed",
        Action::Delayed { .. } => "delayed",
        Action::Relayed => "relayed",
    }
}
