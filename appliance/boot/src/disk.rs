//! Whole disks, as bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where a partition table lies.
pub trait Disk {
    /// Bytes.
    fn size(&self) -> u64;
    /// Logical block, bytes: the table's unit.
    fn block_size(&self) -> u64;
    /// Fills `buffer` from `offset`, or fails.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// What was written survives a power cut from here on.
    fn sync(&mut self) -> io::Result<()>;
}

/// A block device's node.
#[derive(Debug)]
pub(crate) struct BlockDevice {
    pub(crate) file: File,
    size: u64,
    block_size: u64,
}

impl BlockDevice {
    pub(crate) fn open(path: &Path, write: bool) -> io::Result<BlockDevice> {
        let file = File::options().read(true).write(write).open(path)?;
        let size = sys::block::len(&file)?;
        let block_size = sys::block::block_size(&file)?.into();
        Ok(BlockDevice { file, size, block_size })
    }
}

impl Disk for BlockDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u64 {
        self.block_size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}
