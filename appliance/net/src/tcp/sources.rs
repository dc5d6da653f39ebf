//! Who may connect how often: limits of each address and network, with known networks exempt.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use smoltcp::time::{Duration, Instant};

use crate::control::Limits;
use crate::secret::Key;

/// Addresses whose new connections are counted within one minute; further ones are not, until the next.
const RECENT_MAX: usize = 65_536;
const MINUTE: Duration = Duration::from_secs(60);

/// The /24 or /48 of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network([u8; 6], bool);

pub fn network_of(address: IpAddr) -> Network {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Network([a, b, c, 0, 0, 0], true)
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, ..] = v6.octets();
            Network([a, b, c, d, e, f], false)
        }
    }
}

/// Counts of open and new connections by source.
#[derive(Debug)]
pub struct Sources {
    addresses: HashMap<IpAddr, u32, Key>,
    networks: HashMap<Network, u32, Key>,
    /// This minute's and the last one's.
    recent: [HashMap<IpAddr, u32, Key>; 2],
    minute: Instant,
    key: Key,
}

impl Sources {
    pub fn new(key: Key) -> Sources {
        let recent = [HashMap::with_hasher(key), HashMap::with_hasher(key)];
        let (addresses, networks) = (HashMap::with_hasher(key), HashMap::with_hasher(key));
        Sources { addresses, networks, recent, minute: Instant::ZERO, key }
    }

    /// Counts a new connection, if it may be; `open` are those in all.
    ///
    /// # Errors
    /// The name of the counter of the limit that it meets.
    pub fn admit(
        &mut self,
        now: Instant,
        source: IpAddr,
        open: usize,
        limits: &Limits,
    ) -> Result<(), &'static str> {
        let known = is_known(source, &limits.known_networks);
        let all = limits.connections as usize;
        let reserved = if known { 0 } else { all * usize::from(limits.reserved_percent.min(100)) / 100 };
        if open >= all - reserved {
            return Err("refused.connections");
        }
        if !known {
            if self.addresses.get(&source).copied().unwrap_or(0) >= limits.connections_per_address {
                return Err("refused.per_address");
            }
            if self.networks.get(&network_of(source)).copied().unwrap_or(0) >= limits.connections_per_network
            {
                return Err("refused.per_network");
            }
            if !self.count_new(now, source, limits.new_per_minute) {
                return Err("refused.new_per_minute");
            }
        }
        *self.addresses.entry(source).or_default() += 1;
        *self.networks.entry(network_of(source)).or_default() += 1;
        Ok(())
    }

    /// A connection that was admitted has ended.
    pub fn ended(&mut self, source: IpAddr) {
        decrement(&mut self.addresses, source);
        decrement(&mut self.networks, network_of(source));
    }

    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.networks.is_empty()
    }

    /// A sliding minute: this one's count plus the last one's share that lies within sixty seconds.
    fn count_new(&mut self, now: Instant, source: IpAddr, limit: u32) -> bool {
        if now >= self.minute + MINUTE {
            let last = std::mem::replace(&mut self.recent[0], HashMap::with_hasher(self.key));
            let adjacent = now < self.minute + MINUTE + MINUTE;
            self.recent[1] = if adjacent { last } else { HashMap::with_hasher(self.key) };
            self.minute = if adjacent { self.minute + MINUTE } else { now };
        }
        let into = (now - self.minute).secs().min(60) as u32;
        let before = self.recent[1].get(&source).copied().unwrap_or(0);
        let [current, _] = &mut self.recent;
        if current.len() >= RECENT_MAX && !current.contains_key(&source) {
            return true;
        }
        let count = current.entry(source).or_default();
        let within = *count + before * (60 - into) / 60 < limit;
        if within {
            *count += 1;
        }
        within
    }
}

fn is_known(address: IpAddr, known: &[IpNet]) -> bool {
    known.iter().any(|net| net.contains(&address))
}

fn decrement<K: std::hash::Hash + Eq + Copy>(counts: &mut HashMap<K, u32, Key>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;

    fn sources() -> Sources {
        Sources::new(Random::new([0; 32]).key())
    }

    fn few() -> Limits {
        Limits {
            connections_per_address: 20,
            connections_per_network: 100,
            new_per_minute: 60,
            ..Limits::default()
        }
    }

    #[test]
    fn each_limit_at_and_above_it() {
        let (now, limits) = (Instant::from_secs(1_000), few());
        let mut sources = sources();
        let source = |n: u8| IpAddr::from([198, 51, 100, n]);
        assert!((0..20).all(|_| sources.admit(now, source(1), 0, &limits).is_ok()));
        assert_eq!(sources.admit(now, source(1), 0, &limits), Err("refused.per_address"));
        assert!((0..80).all(|n| sources.admit(now, source(2 + n / 20), 0, &limits).is_ok()));
        assert_eq!(sources.admit(now, source(99), 0, &limits), Err("refused.per_network"));
        let other = IpAddr::from([203, 0, 113, 1]);
        assert_eq!(sources.admit(now, other, 9_000, &limits), Err("refused.connections"));
        assert_eq!(sources.admit(now, other, 8_999, &limits), Ok(()));
        (0..20).for_each(|_| sources.ended(source(1)));
        assert!(sources.admit(now, source(1), 0, &limits).is_ok());
    }

    #[test]
    fn sixty_a_minute_slides() {
        let (start, limits) = (Instant::from_secs(1_000), few());
        let mut sources = sources();
        let source = IpAddr::from([198, 51, 100, 1]);
        let mut admit = |seconds: u64| {
            let result = sources.admit(start + Duration::from_secs(seconds), source, 0, &limits);
            result.inspect(|()| sources.ended(source))
        };
        assert!((0..60).all(|_| admit(0).is_ok()));
        assert_eq!(admit(59), Err("refused.new_per_minute"));
        assert_eq!(admit(60), Err("refused.new_per_minute"));
        assert!((0..30).all(|_| admit(90).is_ok()));
        assert_eq!(admit(90), Err("refused.new_per_minute"));
        assert!(admit(300).is_ok());
    }

    #[test]
    fn known_networks_have_the_reserve_and_no_limit_of_their_own() {
        let now = Instant::from_secs(1_000);
        let known_networks = vec!["203.0.113.0/24".parse().unwrap()];
        let limits = Limits { known_networks, ..Limits::default() };
        let mut sources = sources();
        let known = IpAddr::from([203, 0, 113, 1]);
        assert!((0..500).all(|_| sources.admit(now, known, 9_500, &limits).is_ok()));
        assert_eq!(sources.admit(now, known, 10_000, &limits), Err("refused.connections"));
    }
}
