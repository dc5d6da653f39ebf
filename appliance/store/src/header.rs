//! What lies in front of the database: two copies of a small block that says whose disk it is and how long
//! the database is.
//!
//! A change goes to the older copy and is flushed before anything relies on it, so a torn write leaves the
//! other copy. The database is never looked at when neither copy is whole.

use std::{io, sync::Arc};

use crate::{Disk, StoreError};

/// Where the database begins. The copies stand far apart, so that no erase block holds both.
pub(crate) const DATABASE_OFFSET: u64 = 64 << 10;
const COPY_OFFSETS: [u64; 2] = [0, 32 << 10];

const MAGIC: [u8; 16] = *b"postern store\r\n\0";
/// The version of this block; the tables have their own.
const BLOCK_VERSION: u32 = 1;
/// Magic, version, flags, generation, disk id, length, CRC-32: within one sector, which disks write whole.
const BLOCK_BYTES: usize = 16 + 4 + 4 + 8 + 16 + 8 + 4;

/// Bytes at both ends that must be zero before a disk is formatted: superblocks of file systems, RAID and
/// LVM labels lie there.
const BLANK_BYTES: u64 = 1 << 20;

/// Smallest disk, in bytes: below it the reserve and the rings leave nothing for mail.
pub(crate) const DISK_MIN: u64 = 8 << 20;

/// The block, as read or to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) disk_id: [u8; 16],
    /// Bytes of the database.
    pub(crate) len: u64,
    /// Whether the first tables were committed; before that, the database is made anew.
    pub(crate) formatted: bool,
    generation: u64,
}

/// What the two copies say.
pub(crate) enum Found {
    Ours(Header),
    /// Nothing, or the beginnings of a format that the power cut short.
    Blank,
}

impl Header {
    pub(crate) fn new(disk_id: [u8; 16]) -> Self {
        Self { disk_id, len: 0, formatted: false, generation: 0 }
    }

    /// Reads the newest whole copy.
    pub(crate) fn find(disk: &Arc<dyn Disk>) -> Result<Found, StoreError> {
        let len = disk.len().map_err(unreadable)?;
        let mut newest: Option<Header> = None;
        for offset in COPY_OFFSETS {
            let mut block = [0; BLOCK_BYTES];
            if offset + BLOCK_BYTES as u64 <= len {
                disk.read_at(offset, &mut block).map_err(unreadable)?;
            }
            let Some(header) = Self::decode(&block)? else { continue };
            if newest.is_none_or(|other| header.generation > other.generation) {
                newest = Some(header);
            }
        }
        match newest {
            Some(header) => Ok(Found::Ours(header)),
            None => check_blank(disk, len).map(|()| Found::Blank),
        }
    }

    /// Writes the next generation over the older copy and flushes it.
    pub(crate) fn write(&mut self, disk: &Arc<dyn Disk>) -> io::Result<()> {
        let next = Self { generation: self.generation + 1, ..*self };
        disk.write_at(COPY_OFFSETS[(next.generation % 2) as usize], &next.encode())?;
        disk.sync_data()?;
        *self = next;
        Ok(())
    }

    fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        block.extend(MAGIC);
        block.extend(BLOCK_VERSION.to_le_bytes());
        block.extend(u32::from(self.formatted).to_le_bytes());
        block.extend(self.generation.to_le_bytes());
        block.extend(self.disk_id);
        block.extend(self.len.to_le_bytes());
        block.extend(crc32fast::hash(&block).to_le_bytes());
        block.try_into().expect("the fields above add up to BLOCK_BYTES")
    }

    /// `None` when the block is not whole; an error when it is, but not for us to read.
    fn decode(block: &[u8; BLOCK_BYTES]) -> Result<Option<Self>, StoreError> {
        let (fields, crc) = block.split_at(BLOCK_BYTES - 4);
        if fields[..16] != MAGIC || crc32fast::hash(fields).to_le_bytes() != crc {
            return Ok(None);
        }
        let u32_at = |at: usize| u32::from_le_bytes(fields[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(fields[at..at + 8].try_into().expect("8 bytes"));
        if u32_at(16) > BLOCK_VERSION {
            return Err(StoreError::NewerFormat { found: u32_at(16), known: BLOCK_VERSION });
        }
        Ok(Some(Self {
            formatted: u32_at(20) & 1 == 1,
            generation: u64_at(24),
            disk_id: fields[32..48].try_into().expect("16 bytes"),
            len: u64_at(48),
        }))
    }
}

/// Refuses a disk that holds anything that we did not begin to write ourselves.
fn check_blank(disk: &Arc<dyn Disk>, len: u64) -> Result<(), StoreError> {
    let mut first = vec![0; len.min(BLANK_BYTES) as usize];
    disk.read_at(0, &mut first).map_err(unreadable)?;
    // A format that the power cut short leaves a part of the first block behind.
    let block = COPY_OFFSETS[1] as usize;
    if let Some(torn) = first.get_mut(block..block + BLOCK_BYTES)
        && torn.iter().zip(MAGIC).all(|(&found, magic)| found == 0 || found == magic)
    {
        torn.fill(0);
    }
    let mut last = vec![0; (len - first.len() as u64).min(BLANK_BYTES) as usize];
    disk.read_at(len - last.len() as u64, &mut last).map_err(unreadable)?;
    for (what, bytes, offset) in [("begins", first, 0), ("ends", last, len.saturating_sub(BLANK_BYTES))] {
        if let Some(at) = bytes.iter().position(|&byte| byte != 0) {
            let at = offset + at as u64;
            return Err(StoreError::ForeignDisk(format!("it {what} with unknown data, at byte {at}")));
        }
    }
    Ok(())
}

fn unreadable(error: io::Error) -> StoreError {
    crate::Resource::Disk(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::MemoryDisk;

    proptest! {
        #[test]
        fn no_block_of_bytes_panics(block in proptest::collection::vec(any::<u8>(), BLOCK_BYTES)) {
            prop_assert!(matches!(Header::decode(&block.try_into().unwrap()), Ok(None)));
        }
    }

    #[test]
    fn a_block_with_one_wrong_bit_is_not_whole() {
        let block = Header { len: 4096, ..Header::new([7; 16]) }.encode();
        assert_eq!(Header::decode(&block).unwrap().unwrap().len, 4096);
        for bit in 0..BLOCK_BYTES * 8 {
            let mut wrong = block;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Header::decode(&wrong), Ok(None)), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_block_is_named_so() {
        let mut block = Header::new([7; 16]).encode();
        block[16] = 9;
        let crc = crc32fast::hash(&block[..BLOCK_BYTES - 4]);
        block[BLOCK_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&block), Err(StoreError::NewerFormat { found: 9, known: BLOCK_VERSION }));
    }

    #[test]
    fn a_torn_change_leaves_the_other_copy() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(9 << 20));
        let mut header = Header::new([7; 16]);
        for len in [4096, 8192, 12_288] {
            let before = header;
            header.len = len;
            header.write(&disk).unwrap();
            let Ok(Found::Ours(found)) = Header::find(&disk) else { panic!("no header") };
            assert_eq!(found, header);
            if before.generation > 0 {
                let offset = COPY_OFFSETS[(header.generation % 2) as usize];
                let whole = header.encode();
                disk.write_at(offset + 30, &[0xFF; 8]).unwrap();
                let Ok(Found::Ours(found)) = Header::find(&disk) else { panic!("no header") };
                assert_eq!(found, before);
                disk.write_at(offset, &whole).unwrap();
            }
        }
    }
}
