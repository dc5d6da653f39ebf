//! A domain that suddenly refuses everybody is out of step with its directory: its mail waits instead of bouncing.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use store::{Timestamp, queue::Destination};

/// How long an accepted address counts as known to be good.
const KNOWN: Duration = Duration::from_secs(7 * 86_400);
/// Refusals are judged by what else happened within this time.
const WINDOW: Duration = Duration::from_secs(600);
/// Destinations that are remembered; the one that was seen first is forgotten for another.
const DESTINATIONS_MAX: usize = 1_024;
/// Good addresses remembered of each.
const ADDRESSES_MAX: usize = 4_096;

/// What is remembered of all destinations.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    destinations: HashMap<Destination, Seen>,
    order: VecDeque<Destination>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By a hash of the address: when it last took mail.
    good: HashMap<u64, Timestamp>,
    last_accepted: Option<Timestamp>,
}

impl Breaker {
    /// A recipient, by the hash of the address, took mail.
    pub(super) fn accepted(&mut self, destination: &Destination, address: u64, now: Timestamp) {
        let seen = self.seen(destination);
        seen.last_accepted = Some(now);
        if seen.good.len() >= ADDRESSES_MAX && !seen.good.contains_key(&address) {
            let oldest = seen.good.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address);
            oldest.map(|address| seen.good.remove(&address));
        }
        seen.good.insert(address, now);
    }

    /// Whether the refusal of an unknown recipient is to be doubted: the address took mail within the last week,
    /// and nobody else of the domain has been accepted for ten minutes.
    pub(super) fn doubts(&mut self, destination: &Destination, address: u64, now: Timestamp) -> bool {
        let Some(seen) = self.destinations.get(destination) else { return false };
        let good = seen.good.get(&address).is_some_and(|at| now.since(*at) <= KNOWN);
        let others = seen.last_accepted.is_some_and(|at| now.since(at) <= WINDOW);
        good && !others
    }

    fn seen(&mut self, destination: &Destination) -> &mut Seen {
        if !self.destinations.contains_key(destination) {
            if self.order.len() >= DESTINATIONS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.destinations.remove(&oldest);
            }
            self.order.push_back(destination.clone());
        }
        self.destinations.entry(destination.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(1_000_000 + seconds)
    }

    fn destination(n: usize) -> Destination {
        Destination::new(&format!("d{n}.example")).unwrap()
    }

    #[test]
    fn a_good_address_is_doubted_only_when_nobody_is_accepted() {
        let mut breaker = Breaker::default();
        let here = destination(0);
        assert!(!breaker.doubts(&here, 1, at(0)), "never seen");
        breaker.accepted(&here, 1, at(0));
        assert!(!breaker.doubts(&here, 1, at(60)), "the domain takes mail");
        assert!(breaker.doubts(&here, 1, at(3_600)));
        assert!(!breaker.doubts(&here, 2, at(3_600)), "another address");
        breaker.accepted(&here, 2, at(3_600));
        assert!(!breaker.doubts(&here, 1, at(3_700)));
        assert!(!breaker.doubts(&here, 1, at(8 * 86_400)), "long ago");
    }

    #[test]
    fn memory_is_bounded() {
        let mut breaker = Breaker::default();
        for n in 0..ADDRESSES_MAX as u64 + 10 {
            breaker.accepted(&destination(0), n, at(n));
        }
        assert_eq!(breaker.destinations[&destination(0)].good.len(), ADDRESSES_MAX);
        for n in 0..DESTINATIONS_MAX + 10 {
            breaker.accepted(&destination(n), 1, at(0));
        }
        assert_eq!(breaker.destinations.len(), DESTINATIONS_MAX);
    }
}
