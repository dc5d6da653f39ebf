//! The spool: bodies, cut in pieces, from the first byte received until the last delivery is done.

mod body;
mod receive;

use serde::{Deserialize, Serialize};

use crate::{
    MessageId, StoreError,
    failure::Failure,
    message::Message,
    space::footprint,
    tables::{Transaction, decode, encode},
};

pub use body::Body;
pub use receive::SpoolWriter;

/// Bytes of a piece: with its key it fills a database page of 64 KiB.
pub const PIECE_BYTES: usize = (64 << 10) - 64;

/// The row of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) message: Message,
    /// How many pieces the body has, numbered from 0.
    pub(crate) pieces: u32,
}

pub(crate) fn put_piece(
    transaction: &mut Transaction<'_>,
    id: MessageId,
    number: u32,
    bytes: &[u8],
) -> Result<(), Failure> {
    transaction.bodies.put((id.raw(), number), bytes)?;
    transaction.state.spool_bytes += footprint(bytes.len());
    Ok(())
}

/// Notes how far a message is spilled, so that a power cut leaves no orphan.
pub(crate) fn note_spilled(
    transaction: &mut Transaction<'_>,
    id: MessageId,
    pieces: u32,
) -> Result<(), Failure> {
    transaction.spilled.put(id.raw(), &encode(&pieces))?;
    Ok(())
}

/// Pieces of a message that is still being received.
pub(crate) fn spilled(transaction: &Transaction<'_>, id: MessageId) -> Result<u32, Failure> {
    match transaction.spilled.get(id.raw())? {
        Some(bytes) => decode(&bytes, "the count of spilled pieces"),
        None => Ok(0),
    }
}

/// Removes what was spilled of a message that will never be committed; returns the bytes it took.
pub(crate) fn discard(transaction: &mut Transaction<'_>, raw: u64) -> Result<u64, Failure> {
    let pieces = spilled(transaction, MessageId::from_raw(raw))?;
    if transaction.spilled.remove(raw)?.is_none() {
        return Ok(0);
    }
    remove_pieces(transaction, raw, pieces)
}

/// Removes a message whose last delivery is done.
pub(crate) fn remove(transaction: &mut Transaction<'_>, id: MessageId) -> Result<(), Failure> {
    let Some(row) = transaction.messages.get(id.raw())? else { return Ok(()) };
    let stored: Stored = decode(&row, "a message")?;
    transaction.messages.remove(id.raw())?;
    transaction.state.spool_bytes = transaction.state.spool_bytes.saturating_sub(footprint(row.len()));
    transaction.state.messages = transaction.state.messages.saturating_sub(1);
    remove_pieces(transaction, id.raw(), stored.pieces)?;
    Ok(())
}

fn remove_pieces(transaction: &mut Transaction<'_>, raw: u64, pieces: u32) -> Result<u64, Failure> {
    let mut bytes = 0;
    for number in 0..pieces {
        bytes += transaction.bodies.remove((raw, number))?.map_or(0, footprint);
    }
    transaction.state.spool_bytes = transaction.state.spool_bytes.saturating_sub(bytes);
    Ok(bytes)
}

pub(crate) fn no_message(id: MessageId) -> StoreError {
    StoreError::not_found("message", id)
}
