//! Giving up rights, for ever.

use std::io;

use rustix::process::{self, DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{self, CapabilitySet, CapabilitySets, Gid, Uid};

/// Highest capability number that a 64-bit set can name.
const CAPABILITIES: u32 = 64;

/// What a process may use of the machine; what is not named here is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open descriptors.
    pub descriptors: u64,
    /// Longest file that may be written, bytes; block devices and sockets do not count.
    pub file_size: Option<u64>,
}

/// Sets both the soft and the hard limit; no core file in any case.
///
/// Without the right to raise it, the hard limit that is there stays.
pub fn limit(limits: Limits) -> io::Result<()> {
    set_limit(Resource::Core, 0)?;
    if let Some(bytes) = limits.file_size {
        set_limit(Resource::Fsize, bytes)?;
    }
    match set_limit(Resource::Nofile, limits.descriptors) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let hard = process::getrlimit(Resource::Nofile).maximum;
            set_limit(Resource::Nofile, hard.unwrap_or(limits.descriptors).min(limits.descriptors))
        }
        other => other,
    }
}

/// A session of its own: the terminal's signals do not reach it.
pub fn leave_session() -> io::Result<()> {
    process::setsid()?;
    Ok(())
}

/// Ends this process when its parent does. A change of user takes that back, so it comes after.
pub fn die_with_parent() -> io::Result<()> {
    Ok(process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// No file can give rights any more, and seccomp needs no right.
pub fn no_new_privileges() -> io::Result<()> {
    Ok(thread::set_no_new_privs(true)?)
}

/// No core dump, no ptrace by others of the same user, `/proc/self` belongs to root.
pub fn not_dumpable() -> io::Result<()> {
    Ok(process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Nothing can give a capability back. Needs CAP_SETPCAP.
pub fn empty_bounding_set() -> io::Result<()> {
    for number in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no capability of this number, nor a higher one.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Becomes user and group `id`, of no other group. Needs CAP_SETGID and CAP_SETUID; for a process of one thread.
pub fn become_user(id: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(gid, gid, gid)?;
    thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Whether this process runs as root, so that it can change its user.
pub fn is_root() -> bool {
    process::geteuid().is_root()
}

/// Empties the effective, permitted, inheritable and ambient sets, and reads them back.
pub fn drop_capabilities() -> io::Result<()> {
    thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    let left = thread::capabilities(None)?;
    if left.effective.is_empty() && left.permitted.is_empty() && left.inheritable.is_empty() {
        Ok(())
    } else {
        Err(io::Error::other(format!("capabilities are left: {left:?}")))
    }
}

fn set_limit(resource: Resource, value: u64) -> io::Result<()> {
    Ok(process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}
