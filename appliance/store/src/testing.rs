//! A disk in memory that fails, and that loses its power, when a test says so.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::Disk;

/// What a disk writes whole, in bytes.
const SECTOR: usize = 512;

/// A disk in memory with a cache that a power cut loses. Its middle is full of old garbage, as a partition is
/// that was used before.
#[derive(Debug)]
pub struct MemoryDisk(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What survives a power cut.
    durable: Vec<u8>,
    /// What is read: `durable` with the writes that are not yet flushed.
    cached: Vec<u8>,
    unflushed: Vec<(usize, Vec<u8>)>,
    operations: u64,
    flushes: u64,
    bytes_written: u64,
    /// From this operation on everything fails, as if the power were off.
    cut_at: Option<u64>,
    /// Operations of this kind fail while the count, from the first, is within the range.
    fault: Option<Fault>,
}

/// Operations that fail with EIO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub kind: Operation,
    /// How many of that kind still succeed.
    pub after: u64,
    /// How many then fail.
    pub count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Sync,
}

impl MemoryDisk {
    /// A disk of `bytes` that can be formatted.
    pub fn new(bytes: usize) -> Self {
        const BLANK: usize = 1 << 20;
        let mut content = vec![0; bytes];
        let mut random = Random::new(bytes as u64);
        for chunk in content.chunks_mut(8).skip(BLANK / 8).take(bytes.saturating_sub(2 * BLANK) / 8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
        Self::with_content(content)
    }

    /// A disk that holds `content`.
    pub fn with_content(content: Vec<u8>) -> Self {
        Self(Mutex::new(State {
            cached: content.clone(),
            durable: content,
            unflushed: Vec::new(),
            operations: 0,
            flushes: 0,
            bytes_written: 0,
            cut_at: None,
            fault: None,
        }))
    }

    /// Cuts the power at the `operation`th write, resize or flush from now.
    pub fn cut_power_after(&self, operations: u64) {
        let mut state = self.lock();
        state.cut_at = Some(state.operations + operations);
    }

    /// Lets operations fail, or none.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// Writes, resizes and flushes so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    pub fn flushes(&self) -> u64 {
        self.lock().flushes
    }

    pub fn bytes_written(&self) -> u64 {
        self.lock().bytes_written
    }

    /// The disk as it is found when the power is back: any sectors of what was not flushed were written, any
    /// others not, by `seed`.
    pub fn after_power_cut(&self, seed: u64) -> MemoryDisk {
        let state = self.lock();
        let mut random = Random::new(seed);
        // From hardly anything to nearly all.
        let chance = random.next() % 101;
        let mut content = state.durable.clone();
        for (offset, data) in &state.unflushed {
            // Sectors of the disk, wherever the write begins in one.
            let mut at = 0;
            while at < data.len() {
                let end = data.len().min(at + SECTOR - (offset + at) % SECTOR);
                if random.next() % 100 < chance {
                    content[offset + at..offset + end].copy_from_slice(&data[at..end]);
                }
                at = end;
            }
        }
        Self::with_content(content)
    }

    /// All that was written, flushed or not.
    pub fn content(&self) -> Vec<u8> {
        self.lock().cached.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&mut self, kind: Operation) -> io::Result<()> {
        if kind != Operation::Read {
            self.operations += 1;
        }
        if self.cut_at.is_some_and(|at| self.operations > at) {
            return Err(io::Error::other("the power is off"));
        }
        match &mut self.fault {
            Some(fault) if fault.kind == kind && fault.after > 0 => fault.after -= 1,
            Some(fault) if fault.kind == kind && fault.count > 0 => {
                fault.count -= 1;
                return Err(io::Error::other("EIO by the test"));
            }
            _ => {}
        }
        Ok(())
    }

    fn range(&self, offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
        let at = offset as usize;
        if at + len > self.cached.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "beyond the end of the disk"));
        }
        Ok(at..at + len)
    }
}

impl Disk for MemoryDisk {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.check(Operation::Read)?;
        let range = state.range(offset, out.len())?;
        out.copy_from_slice(&state.cached[range]);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.check(Operation::Write)?;
        let range = state.range(offset, data.len())?;
        state.cached[range].copy_from_slice(data);
        state.unflushed.push((offset as usize, data.to_vec()));
        state.bytes_written += data.len() as u64;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.check(Operation::Sync)?;
        for (offset, data) in std::mem::take(&mut state.unflushed) {
            state.durable[offset..offset + data.len()].copy_from_slice(&data);
        }
        state.flushes += 1;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().cached.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let state = self.lock();
        state.range(len, 0).map(|_| ())
    }

    fn capacity(&self) -> u64 {
        self.lock().cached.len() as u64
    }
}

/// SplitMix64: the same numbers for the same seed, everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
