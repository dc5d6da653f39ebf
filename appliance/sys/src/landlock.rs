//! Landlock with an empty rule set: no path can be opened, made or changed, whatever seccomp lets through.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What the kernel could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlock {
    /// Everything that this version of the interface can forbid is forbidden.
    Enforced { version: u32 },
    /// The kernel has no Landlock, or it was switched off at boot. The image's kernel has it.
    Absent,
}

/// Forbids this process and its children all access by path. Needs `no_new_privs`.
///
/// Descriptors that are open keep their rights.
pub fn forbid_all() -> io::Result<Landlock> {
    let Some(version) = version()? else { return Ok(Landlock::Absent) };
    let attributes = Attributes {
        filesystem: match version {
            1 => (1 << 13) - 1,
            2 => (1 << 14) - 1,
            3 | 4 => (1 << 15) - 1,
            _ => (1 << 16) - 1,
        },
        network: if version >= 4 { 0b11 } else { 0 },
        scoped: if version >= 6 { 0b11 } else { 0 },
    };
    // An older kernel knows a shorter structure, and takes a longer one only if the rest is zero.
    // SAFETY: the pointer and the size describe `attributes`, which outlives the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size_of::<Attributes>(), 0)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just made, fits a descriptor, and nothing else owns it.
    let rules = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // SAFETY: takes a descriptor and flags; touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) } {
        0 => Ok(Landlock::Enforced { version }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct Attributes {
    filesystem: u64,
    network: u64,
    scoped: u64,
}

const CREATE_RULESET_VERSION: u32 = 1;

fn version() -> io::Result<Option<u32>> {
    // SAFETY: with this flag the kernel wants a null pointer and size 0, and only answers a number.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<Attributes>(),
            0,
            CREATE_RULESET_VERSION,
        )
    };
    if answer > 0 {
        return Ok(u32::try_from(answer).ok());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EOPNOTSUPP) => Ok(None),
        _ => Err(error),
    }
}
