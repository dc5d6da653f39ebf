//! Why a directory was not read into its copy.

use directory::{copy::CopyFull, ldap::sync::SyncFault};
use store::{StoreError, log::FaultClass};

use super::keeper::READ;
use crate::directory::ldap::ReadFault;

/// Why a read came to nothing; the copy is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Read(#[from] ReadFault),
    #[error(transparent)]
    Full(#[from] CopyFull),
    #[error("the directory was not read to its end within {} min", READ.as_secs() / 60)]
    Slow,
    /// Nobody, where nobody was known before, either.
    #[error("no entry with an address below `base`")]
    Nobody,
    /// What was read is in use, but a restart would lose it.
    #[error("the copy cannot be kept on the disk: {0}")]
    NotKept(#[from] StoreError),
}

impl Fault {
    /// Whose it is. Peers' faults pass: they are an alarm only when they last.
    pub(super) fn class(&self) -> FaultClass {
        match self {
            Fault::Read(ReadFault::Sync(SyncFault::Cut(_) | SyncFault::TooMany)) | Fault::Nobody => {
                FaultClass::Configuration
            }
            Fault::Read(_) | Fault::Slow => FaultClass::Peer,
            Fault::Full(_) | Fault::NotKept(_) => FaultClass::Resource,
        }
    }
}
