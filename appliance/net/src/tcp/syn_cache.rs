//! Connections that a peer has begun and not yet proved: no buffer, 96 bytes each at most.

use std::collections::{BTreeSet, HashMap};

use smoltcp::time::{Duration, Instant};

use super::segment::{FourTuple, Options, Seq};
use super::sources::{Network, network_of};
use crate::secret::Key;

/// Entries in all.
pub const ENTRIES_MAX: usize = 8_192;
/// Entries of one /24 or /48.
pub const ENTRIES_PER_NETWORK: u16 = 64;
/// From here on cookies are given instead.
const COOKIES_FROM: usize = ENTRIES_MAX / 4 * 3;
/// SYN|ACK again so long after the SYN; then no more, and the entry goes (15 s).
const RESENDS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(7), Duration::from_secs(15)];

/// What the SYN and our answer to it said.
#[derive(Debug, Clone, Copy)]
pub struct HalfOpen {
    pub peer_isn: Seq,
    pub our_isn: Seq,
    pub peer_window: u16,
    pub options: Options,
    began: Instant,
    resent: u8,
    repeated: bool,
}

impl HalfOpen {
    /// Whether the SYN or our answer had to be said again.
    pub fn again(&self) -> bool {
        self.repeated || self.resent > 0
    }
}

const _: () = assert!(size_of::<HalfOpen>() <= 96);

/// What a deadline asks for.
#[derive(Debug)]
pub enum Due {
    Resend(FourTuple, HalfOpen),
    GivenUp,
}

/// The cache.
#[derive(Debug)]
pub struct SynCache {
    entries: HashMap<FourTuple, HalfOpen, Key>,
    networks: HashMap<Network, u16, Key>,
    due: BTreeSet<(Instant, FourTuple)>,
}

impl SynCache {
    pub fn new(key: Key) -> SynCache {
        let networks = HashMap::with_hasher(key);
        SynCache { entries: HashMap::with_hasher(key), networks, due: BTreeSet::new() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get(&self, tuple: &FourTuple) -> Option<&HalfOpen> {
        self.entries.get(tuple)
    }

    /// The same SYN came once more.
    pub fn repeated(&mut self, tuple: &FourTuple) {
        if let Some(entry) = self.entries.get_mut(tuple) {
            entry.repeated = true;
        }
    }

    /// Whether a SYN of this peer's may have an entry; otherwise it gets a cookie.
    pub fn has_room(&self, tuple: &FourTuple) -> bool {
        let of_network = self.networks.get(&network_of(tuple.peer.ip())).copied().unwrap_or(0);
        self.entries.len() < COOKIES_FROM && of_network < ENTRIES_PER_NETWORK
    }

    /// Remembers a SYN. The caller has asked [`Self::has_room`].
    pub fn insert(
        &mut self,
        now: Instant,
        tuple: FourTuple,
        (peer_isn, our_isn): (Seq, Seq),
        peer_window: u16,
        options: Options,
    ) -> HalfOpen {
        let (began, resent, repeated) = (now, 0, false);
        let entry = HalfOpen { peer_isn, our_isn, peer_window, options, began, resent, repeated };
        if self.entries.insert(tuple, entry).is_none() {
            *self.networks.entry(network_of(tuple.peer.ip())).or_default() += 1;
        }
        self.due.insert((now + RESENDS[0], tuple));
        entry
    }

    pub fn remove(&mut self, tuple: &FourTuple) -> Option<HalfOpen> {
        let entry = self.entries.remove(tuple)?;
        if let Some(after) = RESENDS.get(usize::from(entry.resent)) {
            self.due.remove(&(entry.began + *after, *tuple));
        }
        let network = network_of(tuple.peer.ip());
        if let Some(count) = self.networks.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&network);
            }
        }
        Some(entry)
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(when, _)| *when)
    }

    /// The next thing that is due at `now`.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let (when, tuple) = *self.due.first()?;
        if when > now {
            return None;
        }
        self.due.remove(&(when, tuple));
        let Some(entry) = self.entries.get_mut(&tuple) else { return Some(Due::GivenUp) };
        entry.resent += 1;
        match RESENDS.get(usize::from(entry.resent)) {
            Some(after) => {
                self.due.insert((entry.began + *after, tuple));
                Some(Due::Resend(tuple, *entry))
            }
            None => {
                self.remove(&tuple);
                Some(Due::GivenUp)
            }
        }
    }

    /// Forgets what `gone` names, as when a listener or an address goes.
    pub fn retain(&mut self, stays: impl Fn(&FourTuple) -> bool) {
        let gone: Vec<FourTuple> = self.entries.keys().filter(|tuple| !stays(tuple)).copied().collect();
        gone.iter().for_each(|tuple| {
            self.remove(tuple);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;
    use smoltcp::wire::TcpSeqNumber;

    fn tuple(network: u16, host: u8, port: u16) -> FourTuple {
        let [high, low] = network.to_be_bytes();
        FourTuple { local: ([192, 0, 2, 1], 25).into(), peer: ([10, high, low, host], port).into() }
    }

    fn insert(cache: &mut SynCache, tuple: FourTuple) {
        let numbers = (TcpSeqNumber(1), TcpSeqNumber(2));
        cache.insert(Instant::from_secs(1), tuple, numbers, 1_000, Options::default());
    }

    #[test]
    fn three_resends_then_nothing_is_left() {
        let mut cache = SynCache::new(Random::new([0; 32]).key());
        insert(&mut cache, tuple(0, 1, 1));
        let mut resent = Vec::new();
        while let Some(now) = cache.next_due() {
            if let Some(Due::Resend(..)) = cache.due(now) {
                resent.push(now.secs() - 1);
            }
        }
        assert_eq!(resent, [1, 3, 7]);
        assert!(cache.is_empty() && cache.networks.is_empty());
    }

    #[test]
    fn a_network_has_64_and_the_rest_get_cookies() {
        let mut cache = SynCache::new(Random::new([0; 32]).key());
        (0..64).for_each(|port| insert(&mut cache, tuple(0, 1, port)));
        assert!(!cache.has_room(&tuple(0, 2, 1)));
        assert!(cache.has_room(&tuple(1, 2, 1)));
        for network in 1..=(COOKIES_FROM / 64) as u16 {
            (0..64).for_each(|port| {
                let tuple = tuple(network, 1, port);
                if cache.has_room(&tuple) {
                    insert(&mut cache, tuple);
                }
            });
        }
        assert_eq!(cache.len(), COOKIES_FROM);
        assert!(!cache.has_room(&tuple(9_999, 2, 1)));
        cache.retain(|_| false);
        assert!(cache.is_empty() && cache.due.is_empty() && cache.networks.is_empty());
    }
}
