//! What is used, what is free, and what is kept back so that the disk is never met full.

use crate::{Limits, Resource, area::PAGE, tables::State};

/// The figures of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that the database can ever have.
    pub capacity: u64,
    /// Bytes that are in use, as the store reckons them: rounded up to what the database allocates.
    pub used: u64,
    pub free: u64,
    /// Accepting stops when less than this is free.
    pub reserve: u64,
    /// Whether a message would be accepted now.
    pub accepting: bool,
    pub messages: u64,
    pub deliveries: u64,
    pub streams: u64,
    pub valid_recipients: u64,
    pub spool_bytes: u64,
    pub queue_bytes: u64,
    pub log_bytes: u64,
    pub audit_bytes: u64,
    /// Records, directory copies, streams, counts and valid recipients.
    pub table_bytes: u64,
    /// Bytes of the disk that the database has taken so far; it gives back and takes again by itself.
    pub extent: u64,
}

/// The bounds that follow from the size of the disk, and those of the rows that mail makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) capacity: u64,
    pub(crate) reserve: u64,
    pub(crate) log_budget: u64,
    pub(crate) audit_budget: u64,
    pub(crate) streams: u64,
    pub(crate) counts: u64,
    pub(crate) cycles: usize,
    fixed: u64,
}

/// Bytes taken by the empty tables, both commit slots and what a commit frees only later.
const FIXED_BYTES: u64 = 1 << 20;
/// The allocator's state is a few bits a page, in a few generations: one part in this many.
const ALLOCATOR_PART: u64 = 512;

/// Above this a value has pages of its own, of which the number is a power of two.
const SHARED_PAGE_MAX: u64 = PAGE / 2;
/// What redb adds to a value, and a key of numbers; a longer key is counted with the value.
const ROW_OVERHEAD: u64 = 40;

/// Bytes of disk that a delivery will want while it waits: replies are kept with it. They are counted from the
/// beginning, so that a queue of which every delivery fails still fits.
pub(crate) fn reply_space(recipients: usize) -> u64 {
    const FIRST: u64 = 4096;
    const FURTHER: u64 = 512;
    FIRST + FURTHER * (recipients as u64).saturating_sub(1)
}

/// Bytes of disk for a value of `len` bytes with its key.
pub(crate) fn footprint(len: usize) -> u64 {
    let bytes = len as u64 + ROW_OVERHEAD;
    // B-tree pages are half full at worst.
    if bytes <= SHARED_PAGE_MAX { bytes * 2 } else { bytes.div_ceil(PAGE).next_power_of_two() * PAGE }
}

impl Space {
    pub(crate) fn new(capacity: u64, limits: &Limits) -> Self {
        let percent = |share: u8| (u128::from(capacity) * u128::from(share.min(100)) / 100) as u64;
        let absolute = limits.reserve_bytes.min(percent(limits.reserve_percent_max));
        Self {
            capacity,
            reserve: percent(limits.reserve_percent).max(absolute),
            log_budget: limits.log_bytes.unwrap_or_else(|| percent(10)),
            audit_budget: limits.audit_bytes.unwrap_or_else(|| percent(2)),
            streams: limits.streams as u64,
            counts: limits.counts as u64,
            cycles: limits.cycles,
            fixed: FIXED_BYTES + capacity / ALLOCATOR_PART,
        }
    }

    pub(crate) fn used(&self, state: &State) -> u64 {
        self.fixed
            + state.spool_bytes
            + state.queue_bytes
            + state.value_bytes
            + state.log.bytes
            + state.audit.bytes
            + state.tallies.bytes()
    }

    pub(crate) fn free(&self, state: &State) -> u64 {
        self.capacity.saturating_sub(self.used(state))
    }

    /// Whether `more` bytes can be accepted and leave the reserve alone.
    pub(crate) fn admit(&self, state: &State, more: u64) -> Result<(), Resource> {
        let free = self.free(state);
        if free.saturating_sub(more) < self.reserve {
            return Err(Resource::Full { free, reserve: self.reserve });
        }
        Ok(())
    }

    /// The same for what the queue itself owes, which may use the reserve but for what deletes need.
    pub(crate) fn admit_owed(&self, state: &State, more: u64) -> Result<(), Resource> {
        let free = self.free(state);
        if free.saturating_sub(more) < self.reserve / 4 {
            return Err(Resource::Full { free, reserve: self.reserve / 4 });
        }
        Ok(())
    }

    /// Whether the reserve is being used up: then texts are cut short and the log gives way.
    pub(crate) fn is_pressed(&self, state: &State) -> bool {
        self.free(state) < self.reserve / 2
    }

    /// The log's budget now: it gives way before queue updates are in want of space.
    pub(crate) fn log_budget(&self, state: &State) -> u64 {
        if self.is_pressed(state) {
            self.log_budget.min(state.log.bytes.saturating_sub(PAGE))
        } else {
            self.log_budget
        }
    }

    pub(crate) fn usage(&self, state: &State, extent: u64) -> Usage {
        Usage {
            capacity: self.capacity,
            used: self.used(state),
            free: self.free(state),
            reserve: self.reserve,
            accepting: self.admit(state, 0).is_ok(),
            messages: state.messages,
            deliveries: state.deliveries,
            streams: state.tallies.streams.rows,
            valid_recipients: state.tallies.valid_recipients.rows,
            spool_bytes: state.spool_bytes,
            queue_bytes: state.queue_bytes,
            log_bytes: state.log.bytes,
            audit_bytes: state.audit.bytes,
            table_bytes: state.tallies.bytes(),
            extent,
        }
    }
}
