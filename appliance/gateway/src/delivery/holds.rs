//! Destinations whose mail waits until a fault of the configuration is mended.
//!
//! One message, the canary, goes out every ten minutes; when it gets through, the rest follows.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use smtp::Time;
use store::{
    DeliveryId,
    queue::{Destination, Hold},
};

/// How often the canary is sent.
pub(super) const CANARY: Duration = Duration::from_secs(600);
/// Deliveries that are remembered as held without an attempt; beyond it an administrator's retry of one is held again.
const PARKED_MAX: usize = 100_000;

/// All held destinations.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: HashMap<Destination, Held>,
    parked: HashSet<DeliveryId>,
}

#[derive(Debug)]
struct Held {
    hold: Hold,
    canary: DeliveryId,
    next: Time,
}

impl Holds {
    /// Holds a destination; returns whether this is news, worth an alarm. Another cause is news too.
    pub(super) fn block(
        &mut self,
        destination: &Destination,
        hold: Hold,
        canary: DeliveryId,
        now: Time,
    ) -> bool {
        let known = self.held.get(destination);
        let news = known.is_none_or(|held| held.hold.reason != hold.reason);
        let hold = known.filter(|_| !news).map_or(hold, |held| held.hold.clone());
        self.held.insert(destination.clone(), Held { hold, canary, next: now + CANARY });
        news
    }

    /// The destination takes mail again; returns whether it was held.
    pub(super) fn release(&mut self, destination: &Destination) -> bool {
        self.held.remove(destination).is_some()
    }

    /// The hold that a due delivery falls under. The canary does not, nor what was held before and released by hand.
    pub(super) fn over(&mut self, destination: &Destination, id: DeliveryId) -> Option<Hold> {
        let held = self.held.get(destination)?;
        if held.canary == id || self.parked.remove(&id) {
            return None;
        }
        if self.parked.len() < PARKED_MAX {
            self.parked.insert(id);
        }
        Some(held.hold.clone())
    }

    /// The canaries to be sent at `now`.
    pub(super) fn canaries(&mut self, now: Time) -> Vec<(Destination, DeliveryId)> {
        let due = self.held.iter_mut().filter(|(_, held)| now >= held.next);
        due.map(|(destination, held)| {
            held.next = now + CANARY;
            (destination.clone(), held.canary)
        })
        .collect()
    }

    /// Names another canary, since the last is no longer in the queue; without one the hold ends.
    pub(super) fn replace(&mut self, destination: &Destination, canary: Option<DeliveryId>, now: Time) {
        match (self.held.get_mut(destination), canary) {
            (Some(held), Some(canary)) => (held.canary, held.next) = (canary, now),
            (Some(_), None) => drop(self.held.remove(destination)),
            (None, _) => {}
        }
    }

    /// When the next canary goes out.
    pub(super) fn next(&self) -> Option<Time> {
        self.held.values().map(|held| held.next).min()
    }
}

#[cfg(test)]
mod tests {
    use store::{Timestamp, queue::HoldReason};

    use super::*;

    fn hold(reason: HoldReason) -> Hold {
        Hold { reason, since: Timestamp::MIN, text: "why".into() }
    }

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn only_the_canary_goes_out_until_it_gets_through() {
        let here = Destination::new("example.com").unwrap();
        let id = |n: u16| DeliveryId { message: "1".parse().unwrap(), number: n };
        let mut holds = Holds::default();
        assert!(holds.block(&here, hold(HoldReason::Configuration), id(0), at(0)));
        assert!(!holds.block(&here, hold(HoldReason::Configuration), id(0), at(1)));
        assert_eq!(holds.over(&here, id(0)), None);
        assert!(holds.over(&here, id(1)).is_some());
        assert_eq!(holds.over(&here, id(1)), None, "released by hand");
        assert_eq!(holds.canaries(at(600)), []);
        assert_eq!(holds.next(), Some(at(601)));
        assert_eq!(holds.canaries(at(601)), [(here.clone(), id(0))]);
        holds.replace(&here, Some(id(7)), at(700));
        assert_eq!(holds.canaries(at(700)), [(here.clone(), id(7))]);
        assert!(holds.release(&here));
        assert_eq!(holds.over(&here, id(2)), None);
        assert!(!holds.release(&here));
    }
}
