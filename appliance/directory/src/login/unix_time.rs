//! What time it is, for what is dated: codes, tokens, credentials that are remembered.

use serde::{Deserialize, Serialize};

/// Seconds since 1970, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnixTime(u64);

impl UnixTime {
    /// So many seconds since 1970.
    pub const fn from_seconds(seconds: u64) -> UnixTime {
        UnixTime(seconds)
    }

    /// Seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Seconds from `earlier` to this; 0 if it is not later.
    pub const fn since(self, earlier: UnixTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// So many seconds later.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> UnixTime {
        UnixTime(self.0.saturating_add(seconds))
    }
}
