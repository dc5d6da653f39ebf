//! How many connections a destination bears: halved when it complains, one more after quiet minutes.

use std::time::Duration;

use smtp::Time;

/// How long a destination must be quiet before it gets one connection more.
pub(super) const QUIET: Duration = Duration::from_secs(180);
/// Complaints that come together are one: connections opened before it are still to hear of it.
const TOGETHER: Duration = Duration::from_secs(5);

/// The number of connections to one destination, or to all front ends of Microsoft 365 together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What is allowed at most.
    most: u32,
    allowed: u32,
    changed: Time,
    complained: Option<Time>,
}

impl Pace {
    pub(super) fn new(most: u32, now: Time) -> Pace {
        let most = most.max(1);
        Pace { most, allowed: most, changed: now, complained: None }
    }

    /// Takes over a changed setting.
    pub(super) fn set_most(&mut self, most: u32, now: Time) {
        let most = most.max(1);
        if most != self.most {
            *self = Pace { most, allowed: self.allowed.min(most), changed: now, ..*self };
        }
    }

    /// Whether all connections are allowed, so that nothing is to be remembered.
    pub(super) fn is_full(&mut self, now: Time) -> bool {
        self.allowed(now) == self.most
    }

    /// How many connections are allowed at `now`; one at least.
    pub(super) fn allowed(&mut self, now: Time) -> u32 {
        while self.allowed < self.most && now.since(self.changed) >= QUIET {
            self.allowed += 1;
            self.changed = self.changed + QUIET;
        }
        self.allowed
    }

    /// The destination said that it is too much, or closed.
    pub(super) fn complaint(&mut self, now: Time) {
        self.allowed(now);
        if self.complained.is_none_or(|before| now.since(before) >= TOGETHER) {
            self.allowed = (self.allowed / 2).max(1);
            self.complained = Some(now);
        }
        self.changed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn complaints_halve_and_quiet_minutes_add_one() {
        let mut pace = Pace::new(5, at(0));
        pace.complaint(at(0));
        pace.complaint(at(1));
        assert_eq!(pace.allowed(at(1)), 2);
        pace.complaint(at(10));
        pace.complaint(at(20));
        pace.complaint(at(30));
        assert_eq!(pace.allowed(at(30)), 1);
        assert_eq!(pace.allowed(at(30) + QUIET), 2);
        assert_eq!(pace.allowed(at(30) + QUIET * 3), 4);
        assert_eq!(pace.allowed(at(30) + QUIET * 30), 5);
    }
}
