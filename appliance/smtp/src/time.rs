//! The time that sessions are told.

use std::{ops::Add, time::Duration};

/// A point on the caller's monotonic clock: how long after a moment of the caller's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Duration);

impl Time {
    /// The moment that lies `elapsed` after the caller's beginning.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the caller's beginning this is.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; nothing if it is not later.
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    /// Saturates: a deadline too far to be written down never comes.
    fn add(self, wait: Duration) -> Time {
        Time(self.0.saturating_add(wait))
    }
}
