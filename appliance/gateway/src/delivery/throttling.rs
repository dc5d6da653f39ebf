//! Microsoft 365 limits what comes from an address that no connector of the tenant knows. The mail waits by itself;
//! when it lasts, an administrator hears why.

use std::{collections::HashMap, time::Duration};

use directory::reply::LIMITED_BY_ADDRESS;
use smtp::Time;
use store::{log::FaultClass, queue::Destination};

use super::{fate::Fate, shared::Shared};
use crate::event::Kind;

/// Said when it has lasted so long; also: passed when nothing was limited for so long.
const LASTING: Duration = Duration::from_secs(3_600);
/// Destinations that are watched at a time.
const DESTINATIONS_MAX: usize = 1_024;
/// What an administrator hears.
const TEXT: &str =
    "Microsoft 365 has limited our mail for an hour: no connector of the tenant matches our address";

/// Destinations where it happens.
#[derive(Debug, Default)]
pub(super) struct Throttling(HashMap<Destination, Limited>);

#[derive(Debug)]
struct Limited {
    first: Time,
    last: Time,
    said: bool,
}

impl Throttling {
    /// A message was put off for its rate; returns whether that is to be said now.
    pub(super) fn limited(&mut self, destination: &Destination, now: Time) -> bool {
        if !self.0.contains_key(destination) && self.0.len() >= DESTINATIONS_MAX {
            return false;
        }
        let begins = Limited { first: now, last: now, said: false };
        let limited = self.0.entry(destination.clone()).or_insert(begins);
        limited.last = now;
        let lasting = now.since(limited.first) >= LASTING;
        lasting && !std::mem::replace(&mut limited.said, true)
    }

    /// Mail was taken, as some is in between; returns whether what was said no longer holds.
    pub(super) fn taken(&mut self, destination: &Destination, now: Time) -> bool {
        let Some(limited) = self.0.get(destination) else { return false };
        if now.since(limited.last) < LASTING {
            return false;
        }
        self.0.remove(destination).is_some_and(|limited| limited.said)
    }
}

/// Takes what an attempt for a domain of ours showed, and says what follows.
pub(super) fn watch(shared: &Shared, destination: &Destination, fates: &[(usize, Fate)]) {
    let now = shared.now();
    let appliance = &shared.appliance;
    let cause = format!("throttling of {destination}");
    if fates.iter().any(|(_, fate)| fate.rule == LIMITED_BY_ADDRESS) {
        if shared.state().throttling.limited(destination, now) {
            appliance.alarms.raise(&cause, TEXT);
            let event = appliance.events.event(Kind::DestinationLimited).fault(FaultClass::Configuration);
            appliance.events.record(event.field("destination", destination).field("why", TEXT));
        }
    } else if fates.iter().any(|(_, fate)| fate.meaning.is_none())
        && shared.state().throttling.taken(destination, now)
    {
        appliance.alarms.clear(&cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(n: usize) -> Destination {
        Destination::new(&format!("d{n}.example")).unwrap()
    }

    #[test]
    fn it_is_said_once_after_an_hour_and_passes_after_an_hour_without() {
        let mut throttling = Throttling::default();
        let (here, start) = (destination(0), Time::default() + LASTING);
        assert!(!throttling.limited(&here, start));
        // Some is taken in between.
        assert!(!throttling.taken(&here, start + LASTING / 2));
        assert!(!throttling.limited(&here, start + (LASTING - Duration::from_secs(1))));
        assert!(throttling.limited(&here, start + LASTING));
        assert!(!throttling.limited(&here, start + LASTING * 2));
        assert!(!throttling.taken(&here, start + LASTING * 2));
        assert!(throttling.taken(&here, start + LASTING * 3));
        assert!(!throttling.limited(&here, start + LASTING * 3), "it begins anew");
    }

    #[test]
    fn what_passed_before_it_was_said_is_nothing_to_take_back() {
        let mut throttling = Throttling::default();
        assert!(!throttling.limited(&destination(0), Time::default()));
        assert!(!throttling.taken(&destination(0), Time::default() + LASTING));
        assert!(throttling.0.is_empty());
    }

    #[test]
    fn so_many_are_watched_and_no_more() {
        let mut throttling = Throttling::default();
        for n in 0..DESTINATIONS_MAX + 1 {
            throttling.limited(&destination(n), Time::default());
        }
        assert_eq!(throttling.0.len(), DESTINATIONS_MAX);
    }
}
