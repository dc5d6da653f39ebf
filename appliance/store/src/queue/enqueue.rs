//! Enqueueing: a message and all its deliveries, at once.

use bytes::Bytes;

use super::{Delivery, Destination};
use crate::{
    DeliveryId, MessageId, Resource,
    failure::Failure,
    message::{Message, NewMessage},
    space::{footprint, reply_space},
    spool::{self, PIECE_BYTES, Stored},
    stream::{self, StreamMail},
    tables::{Transaction, encode},
};

/// A message that is durable now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued {
    pub id: MessageId,
    /// In the order in which they were given.
    pub deliveries: Vec<DeliveryId>,
}

/// A message on its way to the writer thread.
pub(crate) struct Parcel {
    pub(crate) id: MessageId,
    pub(crate) size: u64,
    /// Pieces that were written before.
    pub(crate) spilled: u32,
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) new: NewMessage,
}

/// About what the rows of a message and a delivery take.
const ROWS_BYTES: usize = 600;

impl Parcel {
    /// A message that is whole in memory.
    pub(crate) fn whole(id: MessageId, new: NewMessage, body: &Bytes) -> Self {
        let size = body.len() as u64;
        let full = body.len() / PIECE_BYTES;
        let pieces = (0..full).map(|number| body.slice(number * PIECE_BYTES..(number + 1) * PIECE_BYTES));
        let pieces = pieces.chain(spool::cut_tail(body.slice(full * PIECE_BYTES..))).collect();
        Self { id, size, spilled: 0, pieces, new }
    }

    fn disk_bytes(&self) -> u64 {
        let bodies: u64 = self.pieces.iter().map(|piece| footprint(piece.len())).sum();
        let deliveries = self.new.deliveries.iter();
        // The rows themselves are small beside what is set aside for replies.
        let replies: u64 = deliveries.map(|delivery| reply_space(delivery.recipients.len())).sum();
        let streams: u64 = self.new.streams.iter().map(StreamMail::disk_bytes).sum();
        bodies + replies + streams + footprint(ROWS_BYTES)
    }
}

/// Writes what arrived from outside, unless that would touch the reserve.
pub(crate) fn enqueue(transaction: &mut Transaction<'_>, parcel: &Parcel) -> Result<Enqueued, Failure> {
    transaction.space.admit(&transaction.state, parcel.disk_bytes())?;
    put(transaction, parcel)
}

/// Writes what the queue itself owes, such as a notice: that may use the reserve.
pub(crate) fn enqueue_owed(transaction: &mut Transaction<'_>, parcel: &Parcel) -> Result<Enqueued, Failure> {
    transaction.space.admit_owed(&transaction.state, parcel.disk_bytes())?;
    put(transaction, parcel)
}

fn put(transaction: &mut Transaction<'_>, parcel: &Parcel) -> Result<Enqueued, Failure> {
    if spool::spilled(transaction, parcel.id)? != parcel.spilled {
        return Err(Resource::Disk("a part of the message was not written".into()).into());
    }
    for (number, piece) in (parcel.spilled..).zip(&parcel.pieces) {
        spool::put_piece(transaction, parcel.id, number, piece)?;
    }
    if parcel.spilled > 0 {
        transaction.spilled.remove(parcel.id.raw())?;
    }
    let message = Message {
        id: parcel.id,
        envelope: parcel.new.envelope.clone(),
        source: parcel.new.source.clone(),
        received_at: parcel.new.received_at,
        size: parcel.size,
    };
    let row = encode(&Stored { message, pieces: parcel.spilled + parcel.pieces.len() as u32 });
    transaction.messages.put(parcel.id.raw(), &row)?;
    let state = &mut transaction.state;
    state.spool_bytes += footprint(row.len());
    state.messages += 1;
    state.last_message = state.last_message.max(parcel.id.raw());
    let deliveries = put_deliveries(transaction, parcel)?;
    stream::note_mail(transaction, &parcel.new.streams, parcel.new.received_at)?;
    transaction.events.extend(parcel.new.events.iter().cloned());
    Ok(Enqueued { id: parcel.id, deliveries })
}

fn put_deliveries(transaction: &mut Transaction<'_>, parcel: &Parcel) -> Result<Vec<DeliveryId>, Failure> {
    let mut ids = Vec::with_capacity(parcel.new.deliveries.len());
    for (number, new) in (0..=u16::MAX).zip(&parcel.new.deliveries) {
        let id = DeliveryId { message: parcel.id, number };
        let delivery = Delivery {
            id,
            destination: Destination::clone(&new.destination),
            recipients: new.recipients.clone(),
            attempts: 0,
            queued_at: parcel.new.received_at,
            next_attempt: new.next_attempt,
            expires: new.expires,
            hold: None,
            last_reply: None,
            delay_notified: false,
        };
        put_delivery(transaction, None, &delivery)?;
        ids.push(id);
    }
    Ok(ids)
}

/// Writes a delivery over what it was `before`, and its place in the schedule.
pub(crate) fn put_delivery(
    transaction: &mut Transaction<'_>,
    before: Option<&Delivery>,
    delivery: &Delivery,
) -> Result<(), Failure> {
    let row = encode(delivery);
    let old = transaction.queue.put((delivery.id.message.raw(), delivery.id.number), &row)?;
    let state = &mut transaction.state;
    state.queue_bytes += footprint(row.len());
    match old {
        Some(len) => state.queue_bytes = state.queue_bytes.saturating_sub(footprint(len)),
        None => {
            state.deliveries += 1;
            state.queue_bytes += footprint(0) + reply_space(delivery.recipients.len());
        }
    }
    let (was, is) = (before.and_then(scheduled), scheduled(delivery));
    if was != is {
        if let Some(key) = was {
            transaction.schedule.remove(key)?;
        }
        if let Some(key) = is {
            transaction.schedule.put(key, &[])?;
        }
    }
    Ok(())
}

/// Removes a delivery, and with a message's last one the message.
pub(crate) fn remove_delivery(transaction: &mut Transaction<'_>, delivery: &Delivery) -> Result<(), Failure> {
    let raw = delivery.id.message.raw();
    if let Some(key) = scheduled(delivery) {
        transaction.schedule.remove(key)?;
    }
    if let Some(len) = transaction.queue.remove((raw, delivery.id.number))? {
        let state = &mut transaction.state;
        let freed = footprint(len) + footprint(0) + reply_space(delivery.recipients.len());
        state.queue_bytes = state.queue_bytes.saturating_sub(freed);
        state.deliveries = state.deliveries.saturating_sub(1);
    }
    if transaction.queue.is_empty_in((raw, 0)..=(raw, u16::MAX))? {
        spool::remove(transaction, delivery.id.message)?;
    }
    Ok(())
}

/// Where a delivery stands in the schedule; what is held stands nowhere.
fn scheduled(delivery: &Delivery) -> Option<(u64, u64, u16)> {
    let key = (delivery.next_attempt.unix_micros(), delivery.id.message.raw(), delivery.id.number);
    delivery.hold.is_none().then_some(key)
}
