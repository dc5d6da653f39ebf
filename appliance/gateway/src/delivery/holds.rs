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
    queue::{Destination, Hold, HoldReason},
};

/// How often the canary is sent.
pub(super) const CANARY: Duration = Duration::from_secs(600);
/// Deliveries that are remembered as held without an attempt; beyond it an administrator's retry of one is held again.
const PARKED_MAX: usize = 100_000;

/// All held destinations.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: HashMap<Destination, Held>,
    parked: usize,
}

/// What an administrator hears of once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Cause {
    /// Where the mail goes, as the configuration says.
    pub(super) route: String,
    pub(super) reason: HoldReason,
    /// The rule that the reply was read by; 0 where it is not known any more.
    pub(super) rule: u8,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) cause: Cause,
    pub(super) hold: Hold,
    canary: DeliveryId,
    next: Time,
    parked: HashSet<DeliveryId>,
}

/// A canary to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Canary {
    pub(super) destination: Destination,
    pub(super) id: DeliveryId,
    /// Another message shows more: this one's recipient may be the only one who is refused.
    pub(super) another: bool,
}

impl Holds {
    /// Holds a destination; returns whether this is news, worth an alarm: nothing is held yet for this cause.
    pub(super) fn block(
        &mut self,
        destination: &Destination,
        cause: Cause,
        hold: Hold,
        canary: DeliveryId,
        now: Time,
    ) -> bool {
        let news = self.held.values().all(|held| held.cause != cause);
        let next = now + CANARY;
        match self.held.get_mut(destination) {
            Some(held) if held.cause == cause => (held.canary, held.next) = (canary, next),
            Some(held) => {
                (held.cause, held.hold, held.canary, held.next) = (cause, hold, canary, next);
            }
            None => {
                let held = Held { cause, hold, canary, next, parked: HashSet::new() };
                self.held.insert(destination.clone(), held);
            }
        }
        news
    }

    /// The destination takes mail again; returns whether it was held.
    pub(super) fn release(&mut self, destination: &Destination) -> bool {
        let held = self.held.remove(destination);
        self.parked -= held.as_ref().map_or(0, |held| held.parked.len());
        held.is_some()
    }

    /// The hold that a due delivery falls under. The canary does not, nor what was held before and released by hand.
    pub(super) fn over(&mut self, destination: &Destination, id: DeliveryId) -> Option<Hold> {
        let held = self.held.get_mut(destination)?;
        if held.canary == id {
            return None;
        }
        if held.parked.remove(&id) {
            self.parked -= 1;
            return None;
        }
        if self.parked < PARKED_MAX {
            held.parked.insert(id);
            self.parked += 1;
        }
        Some(held.hold.clone())
    }

    /// The canaries to be sent at `now`.
    pub(super) fn canaries(&mut self, now: Time) -> Vec<Canary> {
        let due = self.held.iter_mut().filter(|(_, held)| now >= held.next);
        due.map(|(destination, held)| {
            held.next = now + CANARY;
            let another = held.cause.reason == HoldReason::Breaker;
            Canary { destination: destination.clone(), id: held.canary, another }
        })
        .collect()
    }

    /// Names the canary that is sent now.
    pub(super) fn appoint(&mut self, destination: &Destination, canary: DeliveryId) {
        if let Some(held) = self.held.get_mut(destination) {
            held.canary = canary;
        }
    }

    /// Names another canary, since the last is no longer in the queue; without one the hold ends.
    pub(super) fn replace(&mut self, destination: &Destination, canary: Option<DeliveryId>, now: Time) {
        match (self.held.get_mut(destination), canary) {
            (Some(held), Some(canary)) => (held.canary, held.next) = (canary, now),
            (Some(_), None) => drop(self.release(destination)),
            (None, _) => {}
        }
    }

    /// When the next canary goes out.
    pub(super) fn next(&self) -> Option<Time> {
        self.held.values().map(|held| held.next).min()
    }

    /// Every held destination.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Destination, &Held)> {
        self.held.iter()
    }
}

#[cfg(test)]
mod tests {
    use store::Timestamp;

    use super::*;

    fn hold(reason: HoldReason) -> Hold {
        Hold { reason, since: Timestamp::MIN, text: "why".into() }
    }

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    fn id(number: u16) -> DeliveryId {
        DeliveryId { message: "1".parse().unwrap(), number }
    }

    fn block(holds: &mut Holds, domain: &str, rule: u8, canary: u16, now: Time) -> bool {
        let cause = Cause { route: "hop.example".into(), reason: HoldReason::Configuration, rule };
        let destination = Destination::new(domain).unwrap();
        holds.block(&destination, cause, hold(HoldReason::Configuration), id(canary), now)
    }

    fn canary(destination: &Destination, number: u16) -> Canary {
        Canary { destination: destination.clone(), id: id(number), another: false }
    }

    #[test]
    fn only_the_canary_goes_out_until_it_gets_through() {
        let here = Destination::new("example.com").unwrap();
        let mut holds = Holds::default();
        assert!(block(&mut holds, "example.com", 9, 0, at(0)));
        assert!(!block(&mut holds, "example.com", 9, 0, at(1)));
        assert_eq!(holds.over(&here, id(0)), None);
        assert!(holds.over(&here, id(1)).is_some());
        assert_eq!(holds.over(&here, id(1)), None, "released by hand");
        assert_eq!(holds.canaries(at(600)), []);
        assert_eq!(holds.next(), Some(at(601)));
        assert_eq!(holds.canaries(at(601)), [canary(&here, 0)]);
        holds.replace(&here, Some(id(7)), at(700));
        assert_eq!(holds.canaries(at(700)), [canary(&here, 7)]);
        assert!(holds.over(&here, id(2)).is_some());
        assert!(holds.release(&here));
        assert_eq!((holds.over(&here, id(2)), holds.parked), (None, 0));
        assert!(!holds.release(&here));
    }

    #[test]
    fn a_cause_is_news_once_for_all_domains_of_a_route() {
        let mut holds = Holds::default();
        assert!(block(&mut holds, "a.example", 9, 0, at(0)));
        assert!(!block(&mut holds, "b.example", 9, 1, at(0)));
        assert!(block(&mut holds, "a.example", 13, 0, at(600)), "another cause");
        assert_eq!(holds.iter().count(), 2);
    }

    #[test]
    fn a_breaker_asks_for_another_canary() {
        let here = Destination::new("example.com").unwrap();
        let cause = Cause { route: String::new(), reason: HoldReason::Breaker, rule: 21 };
        let mut holds = Holds::default();
        assert!(holds.block(&here, cause, hold(HoldReason::Breaker), id(0), at(0)));
        assert!(holds.canaries(at(600))[0].another);
        holds.appoint(&here, id(3));
        assert_eq!(holds.over(&here, id(3)), None);
        assert!(holds.over(&here, id(0)).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let here = Destination::new("example.com").unwrap();
        let mut holds = Holds::default();
        block(&mut holds, "example.com", 9, 0, at(0));
        for message in 0..=PARKED_MAX as u64 {
            let parked = DeliveryId { message: format!("{message:x}").parse().unwrap(), number: 1 };
            assert!(holds.over(&here, parked).is_some());
        }
        assert_eq!(holds.parked, PARKED_MAX);
    }
}
