//! What changes a delivery: the outcome of an attempt, and what an administrator asks for.

use super::{
    AttemptResult, Delivery, Enqueued, Hold,
    enqueue::{Parcel, enqueue_owed, put_delivery, remove_delivery},
};
use crate::{
    DeliveryId, Limits, StoreError, Timestamp,
    failure::Failure,
    log::Event,
    message::cut,
    tables::{Transaction, decode},
};

/// An attempt that is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Whether the delivery left the queue.
    pub done: bool,
    /// The notices that were enqueued with it, in the order in which they were given.
    pub notices: Vec<Enqueued>,
}

impl AttemptResult {
    pub(crate) fn check(&mut self, limits: &Limits) {
        for (_, state) in &mut self.recipients {
            state.check(limits);
        }
        if let Some(reply) = &mut self.last_reply {
            reply.check(limits);
        }
        if let Some(hold) = &mut self.hold {
            hold.check(limits);
        }
    }
}

/// Longest text of a reply that is kept while space is short, in bytes.
const SHORT_TEXT: usize = 80;

impl Delivery {
    fn shorten(&mut self) {
        use crate::message::RecipientState::{Deferred, Delivered, Failed, Waiting};
        let states = self.recipients.iter_mut().map(|recipient| &mut recipient.state);
        let replies = states.filter_map(|state| match state {
            Deferred(reply) | Delivered(reply) | Failed(reply) => Some(reply),
            Waiting => None,
        });
        replies.chain(&mut self.last_reply).for_each(|reply| cut(&mut reply.text, SHORT_TEXT));
    }
}

/// Records an attempt and enqueues the notices that follow from it, all or nothing.
pub(crate) fn record(
    transaction: &mut Transaction<'_>,
    result: &AttemptResult,
    notices: &[Parcel],
    events: &[Event],
) -> Result<Recorded, Failure> {
    let before = find(transaction, result.id)?;
    let mut delivery = before.clone();
    for (index, state) in &result.recipients {
        let recipient = delivery.recipients.get_mut(*index);
        let unknown = || StoreError::Refused(format!("delivery {} has no recipient {index}", result.id));
        recipient.ok_or_else(unknown)?.state = state.clone();
    }
    delivery.attempts = delivery.attempts.saturating_add(u32::from(result.counts));
    delivery.next_attempt = result.next_attempt;
    delivery.hold = result.hold.clone();
    delivery.last_reply = result.last_reply.clone().or(delivery.last_reply);
    delivery.delay_notified |= result.delay_notified;
    if transaction.space.is_pressed(&transaction.state) {
        delivery.shorten();
    }
    let done = !delivery.recipients.iter().any(|recipient| recipient.is_open());
    let notices = notices.iter().map(|parcel| enqueue_owed(transaction, parcel)).collect::<Result<_, _>>()?;
    if done {
        remove_delivery(transaction, &before)?;
    } else {
        put_delivery(transaction, Some(&before), &delivery)?;
    }
    transaction.events.extend(events.iter().cloned());
    Ok(Recorded { done, notices })
}

/// Tries a delivery at `now`, whatever its schedule and hold.
pub(crate) fn retry_now(
    transaction: &mut Transaction<'_>,
    id: DeliveryId,
    now: Timestamp,
) -> Result<(), Failure> {
    change(transaction, id, |delivery| {
        delivery.next_attempt = now;
        if let Some(hold) = delivery.hold.take() {
            // No clock runs against what is held.
            delivery.expires = delivery.expires.after(now.since(hold.since));
        }
    })
}

pub(crate) fn hold(transaction: &mut Transaction<'_>, id: DeliveryId, hold: &Hold) -> Result<(), Failure> {
    change(transaction, id, |delivery| delivery.hold = Some(hold.clone()))
}

pub(crate) fn purge(transaction: &mut Transaction<'_>, id: DeliveryId) -> Result<(), Failure> {
    let delivery = find(transaction, id)?;
    remove_delivery(transaction, &delivery)
}

fn change(
    transaction: &mut Transaction<'_>,
    id: DeliveryId,
    change: impl FnOnce(&mut Delivery),
) -> Result<(), Failure> {
    let before = find(transaction, id)?;
    let mut delivery = before.clone();
    change(&mut delivery);
    put_delivery(transaction, Some(&before), &delivery)
}

fn find(transaction: &Transaction<'_>, id: DeliveryId) -> Result<Delivery, Failure> {
    let row = transaction.queue.get((id.message.raw(), id.number))?;
    decode(&row.ok_or_else(|| StoreError::not_found("delivery", id))?, "a delivery")
}
