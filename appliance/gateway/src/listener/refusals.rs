//! How often refused connections are told to the log, so that a flood of them does not wash it out.

use std::sync::{Mutex, PoisonError};

use smtp::Time;

/// Refused connections that are logged in a second.
const SAID_A_SECOND: u64 = 10;

/// Counts what is said and what is not.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    second: u64,
    said: u64,
    unsaid: u64,
}

impl Refusals {
    /// Whether this one is told, and if so how many before it were not.
    pub(super) fn say(&self, now: Time) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.since_start().as_secs();
        if counts.second != second {
            counts.second = second;
            counts.said = 0;
        }
        if counts.said >= SAID_A_SECOND {
            counts.unsaid += 1;
            return None;
        }
        counts.said += 1;
        Some(std::mem::take(&mut counts.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_counted_not_written() {
        let at = |seconds| Time::from_start(Duration::from_secs(seconds));
        let refusals = Refusals::default();
        assert_eq!((0..1_000).filter_map(|_| refusals.say(at(1))).count(), 10);
        assert_eq!(refusals.say(at(2)), Some(990));
        assert_eq!(refusals.say(at(2)), Some(0));
    }
}
