//! Connecting to one host of several addresses: each gets a head start over the next (RFC 8305 §5).
//!
//! Deterministic: failures and the time come in; which address to try next, and until when to wait, come out.

use std::time::Duration;

use smtp::Time;

use crate::route::ADDRESSES_MAX;

/// The head start of an address before the next is tried beside it (RFC 8305 §8, Connection Attempt Delay).
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Try the address of this number beside those that are under way.
    Start(usize),
    /// Wait for what is under way, but not beyond this time if it is given.
    Wait(Option<Time>),
    /// Every address has failed.
    Lost,
}

/// The attempts to connect to one host. It is won when one of them succeeds, which ends it.
#[derive(Debug)]
pub(super) struct Race {
    addresses: usize,
    started: usize,
    failed: usize,
    next_at: Time,
}

impl Race {
    /// Over so many addresses, best first; those beyond [`ADDRESSES_MAX`] are not tried.
    pub(super) fn new(addresses: usize, now: Time) -> Race {
        Race { addresses: addresses.min(ADDRESSES_MAX), started: 0, failed: 0, next_at: now }
    }

    /// What is to be done at `now`; asked again after each action but [`Action::Lost`].
    pub(super) fn poll(&mut self, now: Time) -> Action {
        if self.failed == self.addresses {
            return Action::Lost;
        }
        if self.started == self.addresses {
            return Action::Wait(None);
        }
        // RFC 8305 §5: with nothing under way there is no one to give a head start to.
        if now >= self.next_at || self.failed == self.started {
            self.started += 1;
            self.next_at = now + HEAD_START;
            return Action::Start(self.started - 1);
        }
        Action::Wait(Some(self.next_at))
    }

    /// One of those under way has failed.
    pub(super) fn failed(&mut self) {
        self.failed = (self.failed + 1).min(self.started);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::from_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn each_address_has_a_head_start_of_250_milliseconds() {
        let mut race = Race::new(3, at(0));
        assert_eq!(race.poll(at(0)), Action::Start(0));
        assert_eq!(race.poll(at(0)), Action::Wait(Some(at(250))));
        assert_eq!(race.poll(at(249)), Action::Wait(Some(at(250))));
        assert_eq!(race.poll(at(250)), Action::Start(1));
        assert_eq!(race.poll(at(499)), Action::Wait(Some(at(500))));
        assert_eq!(race.poll(at(500)), Action::Start(2));
        assert_eq!(race.poll(at(9_000)), Action::Wait(None));
    }

    #[test]
    fn who_fails_at_once_makes_room_at_once() {
        let mut race = Race::new(2, at(0));
        assert_eq!(race.poll(at(0)), Action::Start(0));
        race.failed();
        assert_eq!(race.poll(at(1)), Action::Start(1));
        race.failed();
        assert_eq!(race.poll(at(2)), Action::Lost);
        assert_eq!(Race::new(0, at(0)).poll(at(0)), Action::Lost);
    }

    proptest! {
        /// Whatever fails whenever: every address is tried once, in order, and the race ends.
        #[test]
        fn it_ends(addresses in 0..2 * ADDRESSES_MAX, steps in proptest::collection::vec((0u64..400, any::<bool>()), 0..64)) {
            let (mut race, mut now, mut tried, mut failed) = (Race::new(addresses, at(0)), 0, 0, 0);
            for (pause, fails) in steps.into_iter().chain(std::iter::repeat_n((300, true), 4 * ADDRESSES_MAX)) {
                match race.poll(at(now)) {
                    Action::Start(index) => {
                        prop_assert_eq!(index, tried);
                        tried += 1;
                    }
                    Action::Wait(until) => prop_assert!(until.is_none_or(|until| until <= at(now) + HEAD_START)),
                    Action::Lost => prop_assert_eq!(failed, addresses.min(ADDRESSES_MAX)),
                }
                if fails && failed < tried {
                    race.failed();
                    failed += 1;
                }
                now += pause;
            }
            prop_assert_eq!(race.poll(at(now)), Action::Lost);
            prop_assert_eq!(tried, addresses.min(ADDRESSES_MAX));
        }
    }
}
