//! The tries of one account, source or device within the last hour.

use std::collections::VecDeque;

use smtp::Time;

use super::{WAIT, WINDOW};

/// Waits that grow: 30 s doubled seven times is beyond an hour.
const GROWTH: usize = 8;

/// When tries were made, the oldest first; never more than the budget and [`GROWTH`].
#[derive(Debug, Default)]
pub(super) struct Bucket(VecDeque<Time>);

impl Bucket {
    /// Forgets what no longer counts.
    pub(super) fn settle(&mut self, now: Time) {
        while self.0.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// Tries that count, after [`settle`](Self::settle).
    pub(super) fn recent(&self) -> usize {
        self.0.len()
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<Time> {
        self.0.back().copied()
    }

    /// From when on the next one may be made, after [`settle`](Self::settle).
    pub(super) fn free_at(&self, now: Time, budget: usize) -> Time {
        let (Some(beyond), Some(last)) = (self.recent().checked_sub(budget), self.last()) else { return now };
        let doubled = u32::try_from(beyond.min(GROWTH)).unwrap_or(0);
        last + WAIT.saturating_mul(1 << doubled).min(WINDOW)
    }

    pub(super) fn count(&mut self, now: Time, budget: usize) {
        self.0.push_back(now);
        while self.0.len() > budget + GROWTH {
            self.0.pop_front();
        }
    }

    pub(super) fn take_back(&mut self, at: Time) {
        if let Some(found) = self.0.iter().rposition(|one| *one == at) {
            self.0.remove(found);
        }
    }
}
