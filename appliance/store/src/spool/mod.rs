//! The spool: bodies, cut in pieces, from the first byte received until the last delivery is done.

mod body;
mod receive;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    MessageId, StoreError,
    area::PAGE,
    failure::Failure,
    message::Message,
    space::footprint,
    tables::{Transaction, decode, encode},
};

pub use body::Body;
pub use receive::SpoolWriter;

/// Bytes of a piece: with its key it fills a database page of 64 KiB.
pub const PIECE_BYTES: usize = (64 << 10) - 64;

/// A body's last piece is cut into no more than these, so that it fits pages with little waste.
const TAIL_PIECES_MAX: usize = 3;

/// Cuts what is left of a body so that the database's pages, whose sizes are powers of two, are well filled.
pub(crate) fn cut_tail(mut tail: Bytes) -> impl Iterator<Item = Bytes> {
    let mut left = TAIL_PIECES_MAX;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let whole = footprint(tail.len());
        let half = (whole / 2).saturating_sub(PAGE_OVERHEAD) as usize;
        // Below three quarters of a page, a page of half the size and a rest take less.
        let cut = left > 0 && whole > PAGE && half > 0 && (tail.len() as u64) < whole / 4 * 3;
        let piece = if cut { tail.split_to(half.min(tail.len())) } else { std::mem::take(&mut tail) };
        (!piece.is_empty()).then_some(piece)
    })
}

/// What a page holds besides the value: more than enough for its key and the page's header.
const PAGE_OVERHEAD: u64 = 64;

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
    // Nothing is written when there is nothing to do, so that no commit is made for it.
    if pieces == 0 {
        return Ok(0);
    }
    transaction.spilled.remove(raw)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_cut_to_fill_its_pages() {
        let lens = |len| cut_tail(Bytes::from(vec![0; len])).map(|piece| piece.len()).collect::<Vec<_>>();
        assert!(lens(0).is_empty());
        assert_eq!(lens(1), [1]);
        assert_eq!(lens(4000), [4000]);
        assert_eq!(lens(20_000), [16_320, 3_680]);
        assert_eq!(lens(30_000), [30_000]);
        for len in 1..PIECE_BYTES {
            let pieces = lens(len);
            assert_eq!(pieces.iter().sum::<usize>(), len);
            let taken: u64 = pieces.iter().map(|&piece| footprint(piece)).sum();
            assert!(taken <= footprint(len) && taken <= 8192 + len as u64 * 3 / 2, "{len} takes {taken}");
        }
    }
}
