//! Address conflict detection (RFC 5227; RFC 4862 §5.4): asks whether somebody else has our address, defends
//! it once, then raises an alarm.
//!
//! The address is used meanwhile (as RFC 4429 does for IPv6): a gateway that waits seven seconds at each start
//! for a mistake that an administrator has to mend anyway serves nobody.

use std::net::IpAddr;

use smoltcp::time::{Duration, Instant};
use smoltcp::wire::EthernetAddress;

use super::{Link, arp, nd};

/// RFC 5227 §1.1: PROBE_NUM and PROBE_MIN, ANNOUNCE_NUM and ANNOUNCE_INTERVAL.
const PROBES: u8 = 3;
const PROBE_GAP: Duration = Duration::from_secs(1);
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_GAP: Duration = Duration::from_secs(2);
/// DEFEND_INTERVAL: a second claim within it is not defended against, and alarms repeat no faster.
const DEFEND_GAP: Duration = Duration::from_secs(10);
/// Addresses watched at one time: all that can be ours.
pub const WATCHED_MAX: usize = 16;

/// The addresses that are being probed, announced and watched.
#[derive(Debug, Default)]
pub struct Conflicts {
    watched: Vec<Watch>,
}

#[derive(Debug)]
struct Watch {
    address: IpAddr,
    sent: u8,
    due: Option<Instant>,
    defended: Option<Instant>,
    alarmed: Option<Instant>,
}

impl Conflicts {
    /// Starts to probe for a new address of ours.
    pub fn watch(&mut self, now: Instant, address: IpAddr) {
        if self.watched.len() < WATCHED_MAX && self.watched.iter().all(|watch| watch.address != address) {
            self.watched.push(Watch { address, sent: 0, due: Some(now), defended: None, alarmed: None });
        }
    }

    /// The link is back, and may lead elsewhere: probes and announces every address anew (RFC 5227 §2.1).
    pub fn link_returned(&mut self, now: Instant) {
        for watch in &mut self.watched {
            (watch.sent, watch.due) = (0, Some(now));
        }
    }

    pub fn forget(&mut self, address: IpAddr) {
        self.watched.retain(|watch| watch.address != address);
    }

    /// Sends the probes and announcements that are due.
    pub fn due(&mut self, now: Instant, link: &mut Link) {
        for watch in &mut self.watched {
            if watch.due.is_none_or(|due| due > now) {
                continue;
            }
            let probe = watch.sent < PROBES;
            match watch.address {
                IpAddr::V4(address) if probe => arp::ask(link, std::net::Ipv4Addr::UNSPECIFIED, address),
                IpAddr::V4(address) => arp::announce(link, address),
                IpAddr::V6(address) if probe => nd::ask(link, std::net::Ipv6Addr::UNSPECIFIED, address),
                IpAddr::V6(address) => nd::announce(link, address),
            }
            watch.sent += 1;
            let gap = if probe { PROBE_GAP } else { ANNOUNCE_GAP };
            watch.due = (watch.sent < PROBES + ANNOUNCEMENTS).then_some(now + gap);
        }
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.watched.iter().filter_map(|watch| watch.due).min()
    }

    /// Another station claims `address`. `true`: raise the alarm.
    pub fn claimed(&mut self, now: Instant, link: &mut Link, address: IpAddr, _by: EthernetAddress) -> bool {
        let Some(watch) = self.watched.iter_mut().find(|watch| watch.address == address) else {
            return false;
        };
        let lately = |when: Option<Instant>| when.is_some_and(|when| now < when + DEFEND_GAP);
        if !lately(watch.defended) {
            // RFC 5227 §2.4 (b).
            watch.defended = Some(now);
            match address {
                IpAddr::V4(address) => arp::announce(link, address),
                IpAddr::V6(address) => nd::announce(link, address),
            }
            if watch.sent >= PROBES {
                return false;
            }
        }
        let alarm = !lately(watch.alarmed);
        if alarm {
            watch.alarmed = Some(now);
        }
        alarm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;

    #[test]
    fn three_probes_two_announcements_one_defence_then_the_alarm() {
        let mac = EthernetAddress([2, 0, 0, 0, 0, 1]);
        let other = EthernetAddress([2, 0, 0, 0, 0, 2]);
        let mut link = Link::new(mac, 1_500, Random::new([0; 32]).key());
        let mut conflicts = Conflicts::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        conflicts.watch(Instant::from_secs(1), address);
        while let Some(due) = conflicts.next_due() {
            conflicts.due(due, &mut link);
        }
        assert_eq!(link.out.frames().len(), 5);
        let now = Instant::from_secs(100);
        assert!(!conflicts.claimed(now, &mut link, address, other));
        assert_eq!(link.out.frames().len(), 6);
        let soon = now + Duration::from_secs(1);
        assert!(conflicts.claimed(soon, &mut link, address, other));
        assert!(!conflicts.claimed(soon, &mut link, address, other));
        assert_eq!(link.out.frames().len(), 6);
    }
}
