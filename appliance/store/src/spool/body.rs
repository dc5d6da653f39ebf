//! Reading a body back, piece by piece.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{MessageId, StoreError, engine::Engine, tables::BODIES};

/// The body of a message, in pieces of at most [`super::PIECE_BYTES`]. Put header fields of your own before the first.
///
/// Each piece is read from a snapshot of its own: a slow next hop keeps no space from being used again. A body
/// never changes; when its message is purged meanwhile, the next piece is [`StoreError::NotFound`].
pub struct Body {
    engine: Arc<Engine>,
    id: MessageId,
    next: u32,
    pieces: u32,
    size: u64,
    read: u64,
}

impl Body {
    pub(crate) fn new(engine: Arc<Engine>, id: MessageId, pieces: u32, size: u64) -> Self {
        Self { engine, id, next: 0, pieces, size, read: 0 }
    }

    /// Bytes of the whole body.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn read_next(&mut self) -> Result<Bytes, StoreError> {
        let key = (self.id.raw(), self.next);
        let piece = self.engine.read(|snapshot| {
            let piece = snapshot.open_table(BODIES)?.get(key)?;
            Ok(piece.map(|bytes| Bytes::copy_from_slice(bytes.value())))
        })?;
        let piece = piece.ok_or_else(|| super::no_message(self.id))?;
        self.read += piece.len() as u64;
        let last = self.next + 1 == self.pieces;
        if last && self.read != self.size {
            let text = format!("message {} has {} bytes of {}", self.id, self.read, self.size);
            return Err(StoreError::Damaged(text));
        }
        Ok(piece)
    }
}

impl Iterator for Body {
    type Item = Result<Bytes, StoreError>;

    /// Reads the next piece; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.pieces {
            return None;
        }
        let piece = self.read_next();
        self.next = if piece.is_ok() { self.next + 1 } else { self.pieces };
        Some(piece)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, piece {} of {})", self.id, self.next, self.pieces)
    }
}
