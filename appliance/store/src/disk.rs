//! What the store lies on: a partition, a file, or a disk of a test.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
};

/// Positioned bytes with an explicit flush. All methods may be called from several threads.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Fills `out` from `offset`; an error if that reaches beyond [`Disk::len`].
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data` at `offset`; an error if that reaches beyond [`Disk::len`].
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Returns when everything written before survives a power cut.
    fn sync_data(&self) -> io::Result<()>;
    /// Bytes that can be read and written now.
    fn len(&self) -> io::Result<u64>;
    /// Changes [`Disk::len`] up to [`Disk::capacity`]. A disk of fixed size only checks.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Bytes that there can ever be.
    fn capacity(&self) -> u64;
    /// Drops what a cache holds of the disk, before it is opened again after a failure.
    fn forget_cache(&self) {}
    /// Whether nothing can be read or written.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A partition: a part of a block device, by offset and length. No lock is taken: PID 1 opens it once.
#[derive(Debug)]
pub struct PartitionDisk {
    device: File,
    offset: u64,
    len: u64,
}

/// A file that grows up to a fixed capacity.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    capacity: u64,
}

impl PartitionDisk {
    /// `offset` and `len` in bytes; an error if the device ends before.
    pub fn new(device: File, offset: u64, len: u64) -> io::Result<Self> {
        let size = (&device).seek(SeekFrom::End(0))?;
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(Self { device, offset, len }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a partition of {len} bytes at {offset} does not fit a device of {size} bytes"),
            )),
        }
    }
}

impl Disk for PartitionDisk {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        check_range(offset, out.len(), self.len)?;
        self.device.read_exact_at(out, self.offset + offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_range(offset, data.len(), self.len)?;
        self.device.write_all_at(data, self.offset + offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.device.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check_range(len, 0, self.len)
    }

    fn forget_cache(&self) {
        forget_cache(&self.device);
    }

    fn capacity(&self) -> u64 {
        self.len
    }
}

impl FileDisk {
    /// Opens `path`, creates it if absent. `capacity` bounds its growth, in bytes; a file that is larger keeps
    /// its size.
    pub fn open(path: &Path, capacity: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Self::new(file, capacity)
    }

    /// The same from an open file, as a role gets it.
    pub fn new(file: File, capacity: u64) -> io::Result<Self> {
        let capacity = capacity.max(file.metadata()?.len());
        Ok(Self { file, capacity })
    }

    /// Excludes every other process that asks the same way, until the file is closed.
    pub fn lock(&self) -> io::Result<()> {
        self.file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another process has the file open")
            }
            std::fs::TryLockError::Error(error) => error,
        })
    }
}

impl Disk for FileDisk {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        check_range(offset, data.len(), self.capacity)?;
        self.file.write_all_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check_range(len, 0, self.capacity)?;
        self.file.set_len(len)
    }

    fn forget_cache(&self) {
        forget_cache(&self.file);
    }

    fn capacity(&self) -> u64 {
        self.capacity
    }
}

/// After a failed flush Linux marks pages clean that never reached the disk; dropping them makes the next read
/// tell the truth.
fn forget_cache(file: &File) {
    // Advice only: where it cannot be given, the database's checksums still tell.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

fn check_range(offset: u64, bytes: usize, len: u64) -> io::Result<()> {
    match offset.checked_add(bytes as u64) {
        Some(end) if end <= len => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("{bytes} bytes at {offset} reach beyond the disk's {len} bytes"),
        )),
    }
}
