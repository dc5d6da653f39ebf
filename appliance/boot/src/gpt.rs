//! The partition table (UEFI 2.10 §5.3): found by either header's checksum, and our partition grown to the disk's end.
//!
//! The table exists twice. It is changed one copy at a time, each flushed before the other is touched, so that a power
//! cut at any write leaves one copy whole.

use std::io;

use crate::disk::Disk;

/// Type of the data partition: 8a1b7a3e-5f2c-4d0e-9c57-706f73746e31, the first three fields little-endian.
pub const DATA_TYPE: [u8; 16] =
    [0x3e, 0x7a, 0x1b, 0x8a, 0x2c, 0x5f, 0x0e, 0x4d, 0x9c, 0x57, 0x70, 0x6f, 0x73, 0x74, 0x6e, 0x31];

/// A table whose checksums hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    source: Source,
    header: Header,
    /// The array of entries as it lies on the disk.
    entries: Vec<u8>,
}

/// A partition's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// As the kernel counts: 1 is the first entry.
    pub number: u32,
    /// Bytes from the disk's start.
    pub start: u64,
    pub len: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum GptError {
    #[error("no partition table: {primary}; at the end, {backup}")]
    NoTable { primary: HeaderError, backup: HeaderError },
    #[error("a block of {0} bytes is no disk's")]
    BlockSize(u64),
    #[error("another partition lies behind the data partition")]
    NotLast,
    #[error("the disk is smaller than its partitions")]
    TooSmall,
    #[error("no data partition")]
    NoData,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a header does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("there is no header")]
    Signature,
    #[error("the header's size is impossible")]
    Size,
    #[error("the header's checksum is wrong")]
    Checksum,
    #[error("the header is another block's")]
    Elsewhere,
    #[error("the entries lie outside the disk, or are too many")]
    Entries,
    #[error("the entries' checksum is wrong")]
    EntriesChecksum,
    #[error("it cannot be read")]
    Unreadable,
}

/// Bytes of an entry; the specification allows larger ones, which nobody makes.
const ENTRY_SIZE: usize = 128;
/// Entries that are read; 128 are usual.
const ENTRIES_MAX: u32 = 1024;
/// Bytes of a header that mean something.
const HEADER_SIZE: usize = 92;
/// The largest logical block of any disk.
const BLOCK_MAX: u64 = 4096;
/// The data partition's end is a multiple of it, bytes.
const END_ALIGNMENT: u64 = 1 << 20;

/// Which copy a table was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Primary,
    Backup,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    own: u64,
    other: u64,
    first_usable: u64,
    last_usable: u64,
    disk: [u8; 16],
    entries: u64,
    count: u32,
}

impl Table {
    /// Reads the table at the disk's start, or the one at its end, or the one at the end that the disk had before it
    /// was enlarged.
    pub fn read(disk: &mut dyn Disk) -> Result<Table, GptError> {
        let block = disk.block_size();
        if !(512..=BLOCK_MAX).contains(&block) || !block.is_power_of_two() {
            return Err(GptError::BlockSize(block));
        }
        let primary = match Table::read_at(disk, 1, Source::Primary) {
            Ok(table) => return Ok(table),
            Err(error) => error,
        };
        let last = (disk.size() / block).saturating_sub(1);
        let backup = match Table::read_at(disk, last, Source::Backup) {
            Ok(table) => return Ok(table),
            Err(error) => error,
        };
        if let Some(former) = former_last(disk)
            && let Ok(table) = Table::read_at(disk, former, Source::Backup)
        {
            return Ok(table);
        }
        Err(GptError::NoTable { primary, backup })
    }

    /// The data partition, if there is one.
    pub fn data(&self, block_size: u64) -> Option<Partition> {
        let (index, first, last) = self.find_data()?;
        let len = last.checked_sub(first)?.checked_add(1)?.checked_mul(block_size)?;
        Some(Partition { number: index + 1, start: first.checked_mul(block_size)?, len })
    }

    /// Grows the data partition to the disk's end, and repairs whichever copy of the table is not as it should be.
    /// Whether anything was written.
    pub fn grow(&mut self, disk: &mut dyn Disk) -> Result<bool, GptError> {
        let (primary, backup, entries) = self.wanted(disk)?;
        let mut copies = [(primary.clone(), Source::Primary), (backup, Source::Backup)];
        if self.source == Source::Primary {
            // The copy that was read stays until the other is whole.
            copies.reverse();
        }
        let mut written = false;
        for (header, source) in copies {
            if Table::read_at(disk, header.own, source)
                .is_ok_and(|t| t.header == header && t.entries == entries)
            {
                continue;
            }
            let block = disk.block_size();
            disk.write_at(header.entries * block, &entries)?;
            disk.sync()?;
            disk.write_at(header.own * block, &header.to_bytes(&entries, block))?;
            disk.sync()?;
            written = true;
        }
        // Last: until here it tells where the former backup is.
        written |= grow_protective(disk)?;
        *self = Table { source: Source::Primary, header: primary, entries };
        Ok(written)
    }

    fn read_at(disk: &mut dyn Disk, lba: u64, source: Source) -> Result<Table, HeaderError> {
        let block = disk.block_size();
        let blocks = disk.size() / block;
        if lba >= blocks {
            return Err(HeaderError::Unreadable);
        }
        let mut bytes = vec![0; block as usize];
        disk.read_at(lba * block, &mut bytes).map_err(|_| HeaderError::Unreadable)?;
        let (header, checksum) = Header::parse(&bytes)?;
        if header.own != lba {
            return Err(HeaderError::Elsewhere);
        }
        let len = header.count as usize * ENTRY_SIZE;
        let end = header.entries.checked_add((len as u64).div_ceil(block)).ok_or(HeaderError::Entries)?;
        if header.entries < 2 || end > blocks || header.first_usable > header.last_usable {
            return Err(HeaderError::Entries);
        }
        let mut entries = vec![0; len];
        disk.read_at(header.entries * block, &mut entries).map_err(|_| HeaderError::Unreadable)?;
        if crc32fast::hash(&entries) != checksum {
            return Err(HeaderError::EntriesChecksum);
        }
        Ok(Table { source, header, entries })
    }

    /// Index, first and last block.
    fn find_data(&self) -> Option<(u32, u64, u64)> {
        let (entries, _) = self.entries.as_chunks::<ENTRY_SIZE>();
        let index = entries.iter().position(|entry| entry.starts_with(&DATA_TYPE))?;
        let entry = entries.get(index)?;
        Some((u32::try_from(index).ok()?, u64_at(entry, 32), u64_at(entry, 40)))
    }

    /// Both headers and the entries as they should be on this disk.
    fn wanted(&self, disk: &dyn Disk) -> Result<(Header, Header, Vec<u8>), GptError> {
        let block = disk.block_size();
        let last = (disk.size() / block).saturating_sub(1);
        let array = (self.entries.len() as u64).div_ceil(block);
        let last_usable = last.saturating_sub(array + 1);
        let (index, first, old_end) = self.find_data().ok_or(GptError::NoData)?;
        if self.ends().any(|end| end > old_end) {
            return Err(GptError::NotLast);
        }
        // The backup would be written into the data.
        if old_end > last_usable || self.header.first_usable > last_usable {
            return Err(GptError::TooSmall);
        }
        let end = ((last_usable + 1) * block / END_ALIGNMENT * END_ALIGNMENT / block).saturating_sub(1);
        let mut entries = self.entries.clone();
        if end > old_end && first <= old_end {
            let at = index as usize * ENTRY_SIZE + 40;
            if let Some(field) = entries.get_mut(at..at + 8) {
                field.copy_from_slice(&end.to_le_bytes());
            }
        }
        let primary_entries = if self.source == Source::Primary { self.header.entries } else { 2 };
        let primary =
            Header { own: 1, other: last, last_usable, entries: primary_entries, ..self.header.clone() };
        let backup = Header { own: last, other: 1, entries: last_usable + 1, ..primary.clone() };
        Ok((primary, backup, entries))
    }

    /// Last blocks of all partitions.
    fn ends(&self) -> impl Iterator<Item = u64> {
        let (entries, _) = self.entries.as_chunks::<ENTRY_SIZE>();
        entries.iter().filter(|entry| !entry.starts_with(&[0; 16])).map(|entry| u64_at(entry, 40))
    }
}

impl Header {
    /// With the entries' checksum.
    fn parse(bytes: &[u8]) -> Result<(Header, u32), HeaderError> {
        if !bytes.starts_with(b"EFI PART") {
            return Err(HeaderError::Signature);
        }
        let size = u32_at(bytes, 12) as usize;
        let covered = bytes.get(..size).filter(|_| size >= HEADER_SIZE).ok_or(HeaderError::Size)?;
        let mut covered = covered.to_vec();
        // UEFI 2.10 table 5-5: computed with the field itself as zero.
        covered[16..20].fill(0);
        if crc32fast::hash(&covered) != u32_at(bytes, 16) {
            return Err(HeaderError::Checksum);
        }
        let count = u32_at(bytes, 80);
        if u32_at(bytes, 84) as usize != ENTRY_SIZE || !(1..=ENTRIES_MAX).contains(&count) {
            return Err(HeaderError::Entries);
        }
        let mut disk = [0; 16];
        disk.copy_from_slice(&bytes[56..72]);
        let header = Header {
            own: u64_at(bytes, 24),
            other: u64_at(bytes, 32),
            first_usable: u64_at(bytes, 40),
            last_usable: u64_at(bytes, 48),
            disk,
            entries: u64_at(bytes, 72),
            count,
        };
        Ok((header, u32_at(bytes, 88)))
    }

    /// A whole block.
    fn to_bytes(&self, entries: &[u8], block: u64) -> Vec<u8> {
        let mut bytes = b"EFI PART\x00\x00\x01\x00".to_vec();
        bytes.extend((HEADER_SIZE as u32).to_le_bytes());
        // The checksum, put in below, and a reserved field.
        bytes.extend([0; 8]);
        for lba in [self.own, self.other, self.first_usable, self.last_usable] {
            bytes.extend(lba.to_le_bytes());
        }
        bytes.extend(self.disk);
        bytes.extend(self.entries.to_le_bytes());
        bytes.extend(self.count.to_le_bytes());
        bytes.extend((ENTRY_SIZE as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(entries).to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        bytes.resize(block as usize, 0);
        bytes
    }
}

/// The last block of the disk that the protective MBR covers: the old end of a disk that was enlarged.
fn former_last(disk: &mut dyn Disk) -> Option<u64> {
    let mut mbr = [0; 512];
    disk.read_at(0, &mut mbr).ok()?;
    let at = protective(&mbr)?;
    Some(u32_at(&mbr, at + 12).into())
}

/// Where the protective entry (type EEh, from block 1) lies in the MBR.
fn protective(mbr: &[u8; 512]) -> Option<usize> {
    let places = [446, 462, 478, 494];
    places
        .into_iter()
        .find(|&at| mbr.ends_with(&[0x55, 0xaa]) && mbr[at + 4] == 0xee && u32_at(mbr, at + 8) == 1)
}

/// UEFI 2.10 §5.2.3: the size of the disk less one block, or the largest number.
fn grow_protective(disk: &mut dyn Disk) -> io::Result<bool> {
    let block = disk.block_size();
    let mut first = vec![0; block as usize];
    disk.read_at(0, &mut first)?;
    let size = u32::try_from(disk.size() / block - 1).unwrap_or(u32::MAX);
    let Some(mbr) = first.first_chunk::<512>() else { return Ok(false) };
    let Some(at) = protective(mbr) else { return Ok(false) };
    if u32_at(&first, at + 12) == size {
        return Ok(false);
    }
    first[at + 12..at + 16].copy_from_slice(&size.to_le_bytes());
    disk.write_at(0, &first)?;
    disk.sync()?;
    Ok(true)
}

/// 0 where the bytes are not there; callers have checked the length.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u64::from_le_bytes(*field))
}

#[cfg(test)]
mod tests;
