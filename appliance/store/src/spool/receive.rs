//! Receiving a body: small ones wait in memory for their one commit, large ones are spilled as they come.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use bytes::{Bytes, BytesMut};

use super::{PIECE_BYTES, cut_tail, discard, note_spilled, put_piece, spilled};
use crate::{
    MessageId, Pending, Resource, StoreError,
    engine::Engine,
    message::NewMessage,
    queue::enqueue::{Enqueued, Parcel, enqueue},
    space::footprint,
    tables::Transaction,
    writer::Purpose,
};

/// A message that is being received. Dropped before [`SpoolWriter::commit`], it leaves nothing behind.
pub struct SpoolWriter {
    engine: Arc<Engine>,
    id: MessageId,
    size: u64,
    /// Full pieces that are not yet handed to the writer thread.
    pieces: Vec<Bytes>,
    /// The piece being filled.
    last: BytesMut,
    grant: Grant,
    /// Pieces handed to the writer thread.
    spilled: u32,
}

impl SpoolWriter {
    pub(crate) fn new(engine: Arc<Engine>, id: MessageId) -> Self {
        let grant = Grant { engine: engine.clone(), bytes: 0 };
        Self { engine, id, size: 0, pieces: Vec::new(), last: BytesMut::new(), grant, spilled: 0 }
    }

    /// The queue id, which the 250 reply and the `Received` field name.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends to the body. When it returns a [`Pending`], wait for it before writing more: that is how a fast
    /// sender is held back to the speed of the disk.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] beyond [`crate::Limits::message_bytes`]; [`Resource::Memory`] when all messages being
    /// received use too much together. The writer is of no use afterwards; drop it.
    pub fn write(&mut self, mut data: &[u8]) -> Result<Option<Pending<()>>, StoreError> {
        let limit = self.engine.limits().message_bytes;
        if self.size + data.len() as u64 > limit {
            return Err(StoreError::TooLarge { limit });
        }
        self.grant.add(data.len())?;
        self.size += data.len() as u64;
        while !data.is_empty() {
            let (now, rest) = data.split_at(data.len().min(PIECE_BYTES - self.last.len()));
            self.last.extend_from_slice(now);
            data = rest;
            if self.last.len() == PIECE_BYTES {
                self.pieces.push(self.last.split().freeze());
            }
        }
        let held = self.pieces.len() * PIECE_BYTES;
        Ok((held >= self.engine.limits().held_bytes.max(PIECE_BYTES)).then(|| self.spill()))
    }

    /// Makes the message durable with its deliveries, all or nothing. Answer the peer's end of data with 250
    /// when the [`Pending`] is `Ok`, and never before.
    ///
    /// # Errors
    /// [`Resource::Full`] (452 4.3.1), other [`Resource`]s (451), [`StoreError::Refused`] when `new` goes over a limit.
    pub fn commit(mut self, new: NewMessage) -> Pending<Enqueued> {
        self.pieces.extend(cut_tail(self.last.split().freeze()));
        let mut new = new;
        if let Err(error) = new.check(&self.engine.limits()) {
            return Pending::ready(Err(error));
        }
        let pieces = std::mem::take(&mut self.pieces);
        let grant = self.grant.take();
        let (id, size, before) = (self.id, self.size, self.spilled);
        let parcel = Parcel { id, size, spilled: before, pieces, new };
        self.engine.inbox.submit(&self.engine.limits(), Purpose::Accept, size as usize, move |transaction| {
            let _held = &grant;
            enqueue(transaction, &parcel)
        })
        // Dropping `self` queues a removal behind the commit: it finds something only if the commit was refused.
    }

    fn spill(&mut self) -> Pending<()> {
        let pieces = std::mem::take(&mut self.pieces);
        let grant = self.grant.take_bytes(pieces.iter().map(Bytes::len).sum());
        let (id, before) = (self.id, self.spilled);
        self.spilled += pieces.len() as u32;
        let bytes = pieces.len() * PIECE_BYTES;
        self.engine.inbox.submit(&self.engine.limits(), Purpose::Accept, bytes, move |transaction| {
            let _held = &grant;
            if spilled(transaction, id)? != before {
                return Err(Resource::Disk("an earlier part of the message was not written".into()).into());
            }
            transaction.space.admit(&transaction.state, pieces.iter().map(|p| footprint(p.len())).sum())?;
            for (number, piece) in (before..).zip(&pieces) {
                put_piece(transaction, id, number, piece)?;
            }
            note_spilled(transaction, id, before + pieces.len() as u32)
        })
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        if self.spilled > 0 {
            let raw = self.id.raw();
            // Whether it succeeds is nobody's concern: the next start sweeps.
            let removal = move |transaction: &mut Transaction<'_>| discard(transaction, raw).map(|_| ());
            drop(self.engine.inbox.submit(&self.engine.limits(), Purpose::Update, 0, removal));
        }
    }
}

impl fmt::Debug for SpoolWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpoolWriter({}, {} bytes)", self.id, self.size)
    }
}

/// Memory that is in use for bodies; given back when it is dropped.
struct Grant {
    engine: Arc<Engine>,
    bytes: u64,
}

impl Grant {
    fn add(&mut self, bytes: usize) -> Result<(), Resource> {
        let (bytes, limit) = (bytes as u64, self.engine.limits().writer_memory_bytes);
        let add = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= limit);
        let held = &self.engine.held_bytes;
        held.fetch_update(Ordering::AcqRel, Ordering::Acquire, add)
            .map_err(|_| Resource::Memory { limit })?;
        self.bytes += bytes;
        Ok(())
    }

    fn take(&mut self) -> Grant {
        self.take_bytes(self.bytes as usize)
    }

    fn take_bytes(&mut self, bytes: usize) -> Grant {
        let bytes = (bytes as u64).min(self.bytes);
        self.bytes -= bytes;
        Grant { engine: self.engine.clone(), bytes }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.engine.held_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
