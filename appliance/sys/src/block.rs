//! Block devices: their size, and what the kernel believes about their partitions.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Size of the device in bytes.
pub fn len(device: &File) -> io::Result<u64> {
    let mut bytes = 0_u64;
    // SAFETY: the request writes one u64.
    answer(unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64 as _, &raw mut bytes) })?;
    Ok(bytes)
}

/// Logical block size in bytes: the unit of a partition table.
pub fn block_size(device: &File) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int.
    answer(unsafe { libc::ioctl(device.as_raw_fd(), BLKSSZGET as _, &raw mut bytes) })?;
    u32::try_from(bytes).map_err(io::Error::other)
}

/// Tells the kernel that partition `number` of `disk` now has this extent, in bytes, while it is in use.
pub fn resize_partition(disk: &File, number: u32, start: u64, len: u64) -> io::Result<()> {
    let wide = |value: u64| i64::try_from(value).map_err(io::Error::other);
    let mut partition = Partition {
        start: wide(start)?,
        length: wide(len)?,
        number: libc::c_int::try_from(number).map_err(io::Error::other)?,
        names: [0; 128],
    };
    let mut request = Request {
        operation: BLKPG_RESIZE_PARTITION,
        flags: 0,
        len: size_of::<Partition>() as libc::c_int,
        data: &raw mut partition,
    };
    // SAFETY: the request reads `request` and the structure that it points to; both outlive the call.
    answer(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG as _, &raw mut request) })
}

/// `_IOR(0x12, 114, size_t)`.
const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;
/// `_IO(0x12, 104)`.
const BLKSSZGET: libc::c_ulong = 0x1268;
/// `_IO(0x12, 105)`.
const BLKPG: libc::c_ulong = 0x1269;
const BLKPG_RESIZE_PARTITION: libc::c_int = 3;

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Request {
    operation: libc::c_int,
    flags: libc::c_int,
    len: libc::c_int,
    data: *mut Partition,
}

/// `struct blkpg_partition`.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: libc::c_int,
    names: [u8; 128],
}

fn answer(code: libc::c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
