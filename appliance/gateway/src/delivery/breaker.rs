//! A domain that suddenly refuses everybody is out of step with its directory: its mail waits instead of bouncing.
//! A single good address that is refused is asked once more before the refusal counts.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use store::{Timestamp, queue::Destination};

/// How long an accepted address counts as known to be good.
const KNOWN: Duration = Duration::from_secs(7 * 86_400);
/// A refusal is judged by who was accepted since then, or within this time before.
const WINDOW: Duration = Duration::from_secs(600);
/// How long after the first refusal of a good address the second counts: front ends differ for minutes.
pub(super) const SECOND_LOOK: Duration = Duration::from_secs(600);
/// After this a refusal is the first again.
const EPISODE: Duration = Duration::from_secs(86_400);
/// Destinations that are remembered; the one that was seen first is forgotten for another.
const DESTINATIONS_MAX: usize = 1_024;
/// Good addresses remembered of each.
const ADDRESSES_MAX: usize = 4_096;

/// Whether a refusal of an unknown recipient is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is.
    None,
    /// The address took mail lately: the refusal counts when it is repeated.
    Once,
    /// Nobody of the domain is accepted: the domain is to wait.
    Everybody,
}

/// What is remembered of all destinations.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    destinations: HashMap<Destination, Seen>,
    order: VecDeque<Destination>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By a hash of the address.
    good: HashMap<u64, Good>,
    last_accepted: Option<Timestamp>,
}

/// An address that took mail.
#[derive(Debug, Clone, Copy)]
struct Good {
    accepted: Timestamp,
    /// When it was refused first since then.
    refused: Option<Timestamp>,
}

impl Breaker {
    /// A recipient, by the hash of the address, took mail.
    pub(super) fn accepted(&mut self, destination: &Destination, address: u64, now: Timestamp) {
        let seen = self.seen(destination);
        seen.last_accepted = Some(now);
        if seen.good.len() >= ADDRESSES_MAX && !seen.good.contains_key(&address) {
            let oldest = seen.good.iter().min_by_key(|(_, good)| good.accepted).map(|(address, _)| *address);
            oldest.map(|address| seen.good.remove(&address));
        }
        seen.good.insert(address, Good { accepted: now, refused: None });
    }

    /// A recipient is refused as unknown. The refusal is doubted if the address took mail within the last week: for
    /// everybody's sake if nobody of the domain is accepted, else until it is repeated.
    pub(super) fn refused(&mut self, destination: &Destination, address: u64, now: Timestamp) -> Doubt {
        let Some(seen) = self.destinations.get_mut(destination) else { return Doubt::None };
        let Some(good) = seen.good.get_mut(&address) else { return Doubt::None };
        if now.since(good.accepted) > KNOWN {
            return Doubt::None;
        }
        let first = good.refused.filter(|first| now.since(*first) <= EPISODE).unwrap_or(now);
        good.refused = Some(first);
        if seen.last_accepted.is_none_or(|at| first.since(at) > WINDOW) {
            return Doubt::Everybody;
        }
        if now.since(first) < SECOND_LOOK {
            return Doubt::Once;
        }
        seen.good.remove(&address);
        Doubt::None
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
    fn a_domain_is_doubted_only_when_nobody_is_accepted() {
        let mut breaker = Breaker::default();
        let here = destination(0);
        assert_eq!(breaker.refused(&here, 1, at(0)), Doubt::None, "never seen");
        breaker.accepted(&here, 1, at(0));
        assert_eq!(breaker.refused(&here, 1, at(3_600)), Doubt::Everybody);
        assert_eq!(breaker.refused(&here, 2, at(3_600)), Doubt::None, "another address");
        assert_eq!(breaker.refused(&here, 1, at(7 * 86_400)), Doubt::Everybody);
        assert_eq!(breaker.refused(&here, 1, at(7 * 86_400 + 1)), Doubt::None, "long ago");
    }

    #[test]
    fn a_good_address_is_refused_twice_before_it_counts() {
        let mut breaker = Breaker::default();
        let here = destination(0);
        breaker.accepted(&here, 1, at(0));
        breaker.accepted(&here, 2, at(1_000));
        assert_eq!(breaker.refused(&here, 1, at(1_000)), Doubt::Once);
        assert_eq!(breaker.refused(&here, 1, at(1_599)), Doubt::Once);
        assert_eq!(breaker.refused(&here, 1, at(1_600)), Doubt::None);
        assert_eq!(breaker.refused(&here, 1, at(1_601)), Doubt::None, "it is good no longer");
        assert_eq!(breaker.refused(&here, 2, at(1_600)), Doubt::Once);
        breaker.accepted(&here, 2, at(1_700));
        assert_eq!(breaker.refused(&here, 2, at(2_290)), Doubt::Once, "the count began anew");
    }

    #[test]
    fn when_others_are_accepted_again_the_time_before_counts() {
        let mut breaker = Breaker::default();
        let here = destination(0);
        breaker.accepted(&here, 1, at(0));
        assert_eq!(breaker.refused(&here, 1, at(3_600)), Doubt::Everybody);
        breaker.accepted(&here, 2, at(4_200));
        assert_eq!(breaker.refused(&here, 1, at(4_200)), Doubt::None);
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
