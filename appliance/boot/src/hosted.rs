//! The appliance on a developer's machine: the same roles on a TAP device and a file.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use crate::role::Roles;

/// What `postern run` was asked for.
#[derive(Debug)]
pub struct Options {
    /// The TAP device; made if it does not exist.
    pub tap: String,
    /// The store's file; created if absent.
    pub disk: PathBuf,
    /// Size of a new file, or the new size of an old one if that is smaller; bytes.
    pub size: Option<u64>,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Where `postern ctl` connects, already bound.
    pub admin: Option<UnixListener>,
    pub roles: Roles,
}

/// Why it did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: another appliance has it open", path = .path.display())]
    InUse { path: PathBuf },
    #[error("{path}: {len} bytes, but a configuration may have {max}", path = .path.display())]
    ConfigTooLong { path: PathBuf, len: u64, max: u64 },
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
}
