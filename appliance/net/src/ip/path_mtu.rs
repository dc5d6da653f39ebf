//! What "packet too big" taught us about paths (RFC 1191, RFC 8201), believed only with proof (RFC 5927).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use smoltcp::time::{Duration, Instant};

use crate::secret::Key;

/// Destinations remembered; the oldest goes first.
pub const DESTINATIONS_MAX: usize = 1_024;
/// RFC 1191 §6.3 and RFC 8201 §5.2 want it aged; 10 minutes.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Below this IPv4 segments would only waste the path (RFC 791's least reassembly size).
pub const LEAST_V4: usize = 576;
/// RFC 8200 §5.
pub const LEAST_V6: usize = 1_280;

/// Path MTUs by destination.
#[derive(Debug)]
pub struct PathMtus {
    known: HashMap<IpAddr, (usize, Instant), Key>,
    order: VecDeque<IpAddr>,
}

impl PathMtus {
    pub fn new(key: Key) -> PathMtus {
        PathMtus { known: HashMap::with_hasher(key), order: VecDeque::new() }
    }

    /// Remembers that packets above `mtu` do not reach `target`. Returns what is used from now on.
    pub fn learn(&mut self, now: Instant, target: IpAddr, mtu: usize) -> usize {
        let mtu = mtu.max(if target.is_ipv4() { LEAST_V4 } else { LEAST_V6 });
        if self.known.insert(target, (mtu, now + REMEMBERED)).is_none() {
            self.order.push_back(target);
            if self.order.len() > DESTINATIONS_MAX {
                self.order.pop_front().and_then(|oldest| self.known.remove(&oldest));
            }
        }
        mtu
    }

    /// The MTU to `target`, at most that of the link.
    pub fn mtu(&self, now: Instant, target: IpAddr, link: usize) -> usize {
        match self.known.get(&target) {
            Some((mtu, until)) if *until > now => (*mtu).min(link),
            _ => link,
        }
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;

    #[test]
    fn learnt_bounded_floored_and_forgotten() {
        let mut paths = PathMtus::new(Random::new([0; 32]).key());
        let now = Instant::from_secs(1);
        let target = IpAddr::from([198, 51, 100, 1]);
        assert_eq!(paths.learn(now, target, 100), LEAST_V4);
        assert_eq!(paths.learn(now, target, 1_400), 1_400);
        assert_eq!(paths.mtu(now, target, 1_500), 1_400);
        assert_eq!(paths.mtu(now, target, 1_280), 1_280);
        assert_eq!(paths.mtu(now + REMEMBERED, target, 1_500), 1_500);
        (0..2_000u16).for_each(|n| {
            paths.learn(now, IpAddr::from([10, 0, (n >> 8) as u8, n as u8]), 1_400);
        });
        assert_eq!(paths.len(), DESTINATIONS_MAX);
        assert_eq!(paths.learn(now, "2001:db8::1".parse().unwrap(), 100), LEAST_V6);
    }
}
