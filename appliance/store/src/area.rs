//! The database's part of the disk, and redb's view of it.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    Disk,
    header::{DATABASE_OFFSET, Header},
};

/// redb's page, to which every length is a multiple.
pub(crate) const PAGE: u64 = 4096;

/// What lies behind the header. It outlives the database handles that are opened on it one after another.
#[derive(Debug)]
pub(crate) struct Area {
    disk: Arc<dyn Disk>,
    header: Mutex<Header>,
    /// redb grows by doubling, which need not fit although less would: then the area is given whole.
    growth_refused: AtomicBool,
}

/// One database handle's access. Once fenced it fails, so that a handle given up never writes again.
#[derive(Debug)]
pub(crate) struct Backend {
    area: Arc<Area>,
    fenced: Arc<AtomicBool>,
}

/// Cuts a [`Backend`] off.
#[derive(Debug)]
pub(crate) struct Fence(Arc<AtomicBool>);

impl Area {
    pub(crate) fn new(disk: Arc<dyn Disk>, header: Header) -> Arc<Self> {
        Arc::new(Self { disk, header: Mutex::new(header), growth_refused: AtomicBool::new(false) })
    }

    pub(crate) fn backend(self: &Arc<Self>) -> (Backend, Fence) {
        let fenced = Arc::new(AtomicBool::new(false));
        (Backend { area: self.clone(), fenced: fenced.clone() }, Fence(fenced))
    }

    /// Bytes that the database can ever have.
    pub(crate) fn capacity(&self) -> u64 {
        self.disk.capacity().saturating_sub(DATABASE_OFFSET) / PAGE * PAGE
    }

    pub(crate) fn len(&self) -> u64 {
        self.header().len
    }

    pub(crate) fn header(&self) -> MutexGuard<'_, Header> {
        self.header.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the header on the disk.
    pub(crate) fn change_header(&self, change: impl FnOnce(&mut Header)) -> io::Result<()> {
        let mut header = self.header();
        let mut changed = *header;
        change(&mut changed);
        changed.write(&self.disk)?;
        *header = changed;
        Ok(())
    }

    /// Whether the last handle failed because its growth did not fit, and giving it the whole area helps.
    pub(crate) fn take_growth_refused(&self) -> bool {
        self.growth_refused.swap(false, Ordering::AcqRel) && self.len() < self.capacity()
    }

    /// Gives the database all there is. Only between two handles: redb reads the length when it opens.
    pub(crate) fn extend_to_capacity(&self) -> io::Result<()> {
        let capacity = self.capacity();
        self.disk.set_len(DATABASE_OFFSET + capacity)?;
        self.change_header(|header| header.len = capacity)
    }

    /// Before a failed disk is opened again: what the page cache holds may not be what the disk has.
    pub(crate) fn forget_cache(&self) {
        self.disk.forget_cache();
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.len();
        if len > self.capacity() {
            self.growth_refused.store(true, Ordering::Release);
            let text = format!("the database wants {len} bytes; there are {}", self.capacity());
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        // New space is not zeroed on a partition: redb writes a page whole before it reads it.
        if len > before {
            self.disk.set_len(DATABASE_OFFSET + len)?;
        }
        if len != before {
            self.change_header(|header| header.len = len)?;
        }
        // Last: the header that asks for less must be on the disk before the file is shorter.
        if len < before {
            self.disk.set_len(DATABASE_OFFSET + len)?;
        }
        Ok(())
    }

    fn check_range(&self, offset: u64, bytes: usize) -> io::Result<()> {
        match offset.checked_add(bytes as u64) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "beyond the end of the database")),
        }
    }
}

impl Fence {
    pub(crate) fn close(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Backend {
    fn check(&self) -> io::Result<()> {
        if self.fenced.load(Ordering::Acquire) {
            return Err(io::Error::other("this handle was given up"));
        }
        Ok(())
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.check()?;
        Ok(self.area.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.area.check_range(offset, out.len())?;
        self.area.disk.read_at(DATABASE_OFFSET + offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.area.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.area.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.area.check_range(offset, data.len())?;
        self.area.disk.write_at(DATABASE_OFFSET + offset, data)
    }
}
