//! Zeros in the place of what was there.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Written at a time where the kernel does not do it itself, bytes.
const PIECE: usize = 1 << 20;

/// Zeroes `range` of a disk or a file. Disks that can do it are told to, which costs a thin one no room.
pub(crate) fn zero(file: &File, range: Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, range.start, range.end - range.start) {
        Ok(()) => Ok(()),
        // EINVAL: a range that does not end with a block.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, range),
        Err(error) => Err(error.into()),
    }
}

fn write_zeros(file: &File, range: Range<u64>) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    let mut at = range.start;
    while at < range.end {
        let piece = zeros.len().min(usize::try_from(range.end - at).unwrap_or(PIECE));
        file.write_all_at(zeros.get(..piece).unwrap_or_default(), at)?;
        at += piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_zero_and_nothing_else_is() {
        for zero in [zero, write_zeros] {
            let file = tempfile::tempfile().unwrap();
            let len = 3 * PIECE;
            file.write_all_at(&vec![0xaa; len], 0).unwrap();
            let range = 100..(2 * PIECE + 7);
            zero(&file, range.start as u64..range.end as u64).unwrap();
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, 0).unwrap();
            let wrong = bytes
                .iter()
                .enumerate()
                .position(|(at, &byte)| byte != if range.contains(&at) { 0 } else { 0xaa });
            assert_eq!(wrong, None);
            assert_eq!(file.metadata().unwrap().len(), len as u64);
        }
    }
}
