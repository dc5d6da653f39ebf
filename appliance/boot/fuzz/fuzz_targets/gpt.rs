//! A hostile partition table: no panic; growing never moves the data partition's start, never shrinks it, leaves a table
//! that reads back, and has nothing left to do the second time. The first byte tells which checksums are made right.
#![no_main]

use std::io;

use boot::disk::Disk;
use boot::gpt::Table;
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;
/// Blocks of the disk; the input is its first 34, then its last 33.
const BLOCKS: usize = 4096;
const FIRST: usize = 34 * BLOCK;
const LAST: usize = 33 * BLOCK;

struct Ram(Vec<u8>);

impl Disk for Ram {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn block_size(&self) -> u64 {
        BLOCK as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = self.0.get(offset as usize..end as usize).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0.get_mut(offset as usize..end as usize).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&flags, input)) = input.split_first() else { return };
    let mut disk = Ram(vec![0; BLOCKS * BLOCK]);
    let len = disk.0.len();
    let first = input.len().min(FIRST);
    disk.0[..first].copy_from_slice(&input[..first]);
    let rest = &input[first..input.len().min(FIRST + LAST)];
    disk.0[len - LAST..len - LAST + rest.len()].copy_from_slice(rest);
    if flags & 1 != 0 {
        seal(&mut disk.0, BLOCK);
    }
    if flags & 2 != 0 {
        seal(&mut disk.0, len - BLOCK);
    }
    let Ok(mut table) = Table::read(&mut disk) else { return };
    let before = table.data(BLOCK as u64);
    if table.grow(&mut disk).is_err() {
        return;
    }
    let (before, after) = (before, table.data(BLOCK as u64));
    if let (Some(before), Some(after)) = (before, after) {
        assert_eq!((before.number, before.start), (after.number, after.start));
        assert!(after.len >= before.len);
    }
    let mut again = Table::read(&mut disk).expect("a table that was just written");
    assert_eq!(again.data(BLOCK as u64), after);
    assert!(!again.grow(&mut disk).expect("what worked once"));
});

/// Makes a header's checksums right, as far as its numbers allow.
fn seal(disk: &mut [u8], at: usize) {
    let u32_at = |disk: &[u8], at: usize| u32::from_le_bytes([disk[at], disk[at + 1], disk[at + 2], disk[at + 3]]);
    disk[at..at + 8].copy_from_slice(b"EFI PART");
    let start = u32_at(disk, at + 72) as usize * BLOCK;
    let entries = (u32_at(disk, at + 80) as usize).saturating_mul(128);
    if let Some(entries) = disk.get(start..start.saturating_add(entries)) {
        let sum = crc32fast::hash(entries);
        disk[at + 88..at + 92].copy_from_slice(&sum.to_le_bytes());
    }
    disk[at + 12..at + 16].copy_from_slice(&92_u32.to_le_bytes());
    disk[at + 16..at + 20].fill(0);
    let sum = crc32fast::hash(&disk[at..at + 92]);
    disk[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
}
