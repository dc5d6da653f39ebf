//! Who may open another connection, and who is made to wait: counts by source, in bounded tables.
//!
//! Pure: addresses and time in, answers out. [`super::gate`] shares it between sessions.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use smtp::Time;

use super::recent::Recent;

/// Limits by source; the defaults suit an appliance that faces the Internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLimits {
    /// Connections open in all.
    pub connections: u32,
    /// Connections open from one address, or one /64 of IPv6: a host there owns that many.
    pub per_address: u32,
    /// Connections open from one /24, or one /48 of IPv6.
    pub per_network: u32,
    /// New connections from one address in a minute.
    pub new_per_minute: u32,
    /// Share of `connections`, in percent, that only known networks may use.
    pub reserved_percent: u32,
    /// Unknown recipients from one address before it is banned.
    pub unknown_recipients: u32,
    /// How long a ban lasts.
    pub ban: Duration,
}

impl Default for SourceLimits {
    fn default() -> SourceLimits {
        SourceLimits {
            connections: 10_000,
            per_address: 20,
            per_network: 100,
            new_per_minute: 60,
            reserved_percent: 10,
            unknown_recipients: 50,
            ban: Duration::from_secs(15 * 60),
        }
    }
}

/// Sources whose rate and offences are remembered; each costs about 100 bytes in each of the tables.
const REMEMBERED_MAX: usize = 16_384;
/// A network is banned at this many times what bans one address.
const NETWORK_FACTOR: u32 = 5;
/// One unknown recipient is forgotten in this time: mistakes of people, not of lists, come slower.
const FORGIVEN_IN: Duration = Duration::from_secs(60);
/// Unknown recipients that cost no time yet.
const FREE_MISTAKES: u32 = 3;
/// Longest delay of an answer. RFC 5321 §4.5.3.2 has clients wait 5 minutes, impatient ones far less.
const TARPIT_MAX: u32 = 10;

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("banned for asking after unknown recipients")]
    Banned,
    #[error("too many connections in all")]
    InAll,
    #[error("too many connections from this address")]
    FromAddress,
    #[error("too many connections from this network")]
    FromNetwork,
    #[error("too many new connections from this address in a minute")]
    Rate,
}

/// What an unknown recipient led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    Counted,
    /// This one was too much: the source, or its whole network, is banned from now on.
    Banned {
        network: bool,
    },
}

/// The counts of all sources.
#[derive(Debug)]
pub struct Sources {
    limits: SourceLimits,
    open: u32,
    /// As many entries as there are connections at most.
    by_address: HashMap<IpAddr, u32>,
    by_network: HashMap<IpAddr, u32>,
    rates: Recent<IpAddr, Bucket>,
    unknown: Recent<Origin, Unknown>,
    /// Until when; an entry that gives way to newer ones is a ban that ends early.
    bans: Recent<Origin, Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Address(IpAddr),
    Network(IpAddr),
}

/// New connections that a source may still open now.
#[derive(Debug)]
struct Bucket {
    left: u32,
    at: Time,
}

/// Unknown recipients of a source, forgotten one by one.
#[derive(Debug, Clone, Copy)]
struct Unknown {
    count: u32,
    at: Time,
}

impl Sources {
    pub fn new(limits: SourceLimits) -> Sources {
        Sources {
            limits,
            open: 0,
            by_address: HashMap::new(),
            by_network: HashMap::new(),
            rates: Recent::new(REMEMBERED_MAX),
            unknown: Recent::new(REMEMBERED_MAX),
            bans: Recent::new(REMEMBERED_MAX),
        }
    }

    /// Limits changed by the administrator hold from the next connection on.
    pub fn set_limits(&mut self, limits: SourceLimits) {
        self.limits = limits;
    }

    /// Asks for one more connection. What is granted is given back by [`release`](Self::release).
    ///
    /// A known network is held only to the count in all.
    pub fn admit(&mut self, now: Time, peer: IpAddr, known: bool) -> Result<(), Refusal> {
        let (address, network) = (address_of(peer), network_of(peer));
        let reserved = if known {
            0
        } else {
            u64::from(self.limits.connections) * u64::from(self.limits.reserved_percent.min(100)) / 100
        };
        if !known {
            self.admit_stranger(now, address, network)?;
        }
        if u64::from(self.open) + reserved >= u64::from(self.limits.connections) {
            return Err(Refusal::InAll);
        }
        self.open += 1;
        *self.by_address.entry(address).or_default() += 1;
        *self.by_network.entry(network).or_default() += 1;
        Ok(())
    }

    fn admit_stranger(&mut self, now: Time, address: IpAddr, network: IpAddr) -> Result<(), Refusal> {
        if self.is_banned(now, Origin::Address(address)) || self.is_banned(now, Origin::Network(network)) {
            return Err(Refusal::Banned);
        }
        // Counted before the other limits: who hammers on a full house does not get in as soon as a place is free.
        let per_minute = self.limits.new_per_minute;
        let bucket = self.rates.touch(address, || Bucket { left: per_minute, at: now });
        if !bucket.take(now, per_minute) {
            return Err(Refusal::Rate);
        }
        let open = |table: &HashMap<IpAddr, u32>, key| table.get(&key).copied().unwrap_or(0);
        if open(&self.by_address, address) >= self.limits.per_address {
            return Err(Refusal::FromAddress);
        }
        if open(&self.by_network, network) >= self.limits.per_network {
            return Err(Refusal::FromNetwork);
        }
        Ok(())
    }

    fn is_banned(&mut self, now: Time, origin: Origin) -> bool {
        match self.bans.get(&origin) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.bans.remove(&origin);
                false
            }
            None => false,
        }
    }

    /// A connection that was admitted has ended.
    pub fn release(&mut self, peer: IpAddr) {
        self.open = self.open.saturating_sub(1);
        release(&mut self.by_address, address_of(peer));
        release(&mut self.by_network, network_of(peer));
    }

    /// How many connections are open.
    pub fn open(&self) -> u32 {
        self.open
    }

    /// An unknown recipient was asked for by `peer`.
    pub fn unknown_recipient(&mut self, now: Time, peer: IpAddr) -> Offence {
        let limit = self.limits.unknown_recipients.max(1);
        let (address, network) = (Origin::Address(address_of(peer)), Origin::Network(network_of(peer)));
        let new = || Unknown { count: 0, at: now };
        let by_network = self.unknown.touch(network, new).add(now);
        let by_address = self.unknown.touch(address, new).add(now);
        let until = now + self.limits.ban;
        // Neighbours of one bad host are not punished for it alone: the network's count is far higher.
        if by_network >= limit.saturating_mul(NETWORK_FACTOR) {
            self.unknown.remove(&network);
            *self.bans.touch(network, || until) = until;
            return Offence::Banned { network: true };
        }
        if by_address >= limit {
            self.unknown.remove(&address);
            *self.bans.touch(address, || until) = until;
            return Offence::Banned { network: false };
        }
        Offence::Counted
    }

    /// How long the next answer to RCPT is kept back. The same for known and unknown recipients, so that the
    /// time tells nothing.
    pub fn tarpit(&self, now: Time, peer: IpAddr) -> Duration {
        let unknown = self.unknown.get(&Origin::Address(address_of(peer)));
        let count = unknown.map_or(0, |unknown| unknown.aged(now).count);
        Duration::from_secs(u64::from(count.saturating_sub(FREE_MISTAKES).min(TARPIT_MAX)))
    }
}

fn release(table: &mut HashMap<IpAddr, u32>, key: IpAddr) {
    if let Some(open) = table.get_mut(&key) {
        *open -= 1;
        if *open == 0 {
            table.remove(&key);
        }
    }
}

impl Bucket {
    fn take(&mut self, now: Time, per_minute: u32) -> bool {
        let refilled = now.since(self.at).as_millis() * u128::from(per_minute) / 60_000;
        if refilled > 0 {
            self.left = u32::try_from(u128::from(self.left) + refilled).unwrap_or(u32::MAX).min(per_minute);
            self.at = now;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

impl Unknown {
    fn aged(self, now: Time) -> Unknown {
        let forgiven = now.since(self.at).as_secs() / FORGIVEN_IN.as_secs();
        if forgiven == 0 {
            return self;
        }
        let count = self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        Unknown { count, at: now }
    }

    fn add(&mut self, now: Time) -> u32 {
        *self = self.aged(now);
        self.count += 1;
        self.count
    }
}

/// One host: its IPv4 address, or its /64.
fn address_of(peer: IpAddr) -> IpAddr {
    masked(peer, 32, 64)
}

/// The network that a host can hide in: its /24, or its /48.
fn network_of(peer: IpAddr) -> IpAddr {
    masked(peer, 24, 48)
}

fn masked(peer: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - v4).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - v6).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    fn v4(last: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0xC000_0200 + last))
    }

    #[test]
    fn one_address_has_twenty_places_and_gets_them_back() {
        let mut sources = Sources::new(SourceLimits::default());
        for _ in 0..20 {
            assert_eq!(sources.admit(at(0), v4(1), false), Ok(()));
        }
        assert_eq!(sources.admit(at(0), v4(1), false), Err(Refusal::FromAddress));
        assert_eq!(sources.admit(at(0), v4(1), true), Ok(()), "a known network");
        assert_eq!(sources.admit(at(0), v4(2), false), Ok(()), "a neighbour");
        sources.release(v4(1));
        sources.release(v4(1));
        assert_eq!(sources.admit(at(0), v4(1), false), Ok(()));
    }

    #[test]
    fn a_host_is_an_ipv6_64_and_a_network_a_24_or_48() {
        let mut sources = Sources::new(SourceLimits { per_address: 1, ..SourceLimits::default() });
        let mut admit = |text: &str| sources.admit(at(0), text.parse().unwrap(), false);
        assert_eq!(admit("2001:db8::1"), Ok(()));
        assert_eq!(admit("2001:db8::ffff:1"), Err(Refusal::FromAddress));
        assert_eq!(admit("2001:db8:0:1::1"), Ok(()));
        assert_eq!(admit("192.0.2.1"), Ok(()));
        assert_eq!(admit("::ffff:192.0.2.1"), Err(Refusal::FromAddress), "the same host in another dress");
        for subnet in 2..100 {
            assert_eq!(admit(&format!("2001:db8:0:{subnet:x}::1")), Ok(()));
        }
        assert_eq!(admit("2001:db8:0:fff::1"), Err(Refusal::FromNetwork));
        for host in 2..=100 {
            assert_eq!(admit(&format!("192.0.2.{host}")), Ok(()));
        }
        assert_eq!(admit("192.0.2.200"), Err(Refusal::FromNetwork));
    }

    #[test]
    fn sixty_new_connections_a_minute() {
        let mut sources = Sources::new(SourceLimits::default());
        let mut open = |now| {
            let admitted = sources.admit(now, v4(1), false);
            if admitted.is_ok() {
                sources.release(v4(1));
            }
            admitted
        };
        for _ in 0..60 {
            assert_eq!(open(at(0)), Ok(()));
        }
        assert_eq!(open(at(0)), Err(Refusal::Rate));
        assert_eq!(open(at(1)), Ok(()));
        assert_eq!(open(at(1)), Err(Refusal::Rate));
    }

    #[test]
    fn the_last_tenth_is_for_known_networks() {
        let mut sources = Sources::new(SourceLimits { connections: 10, ..SourceLimits::default() });
        for n in 0..9 {
            assert_eq!(sources.admit(at(0), v4(n), false), Ok(()));
        }
        assert_eq!(sources.admit(at(0), v4(100), false), Err(Refusal::InAll));
        assert_eq!(sources.admit(at(0), v4(101), true), Ok(()));
        assert_eq!(sources.admit(at(0), v4(102), true), Err(Refusal::InAll));
        assert_eq!(sources.open(), 10);
    }

    #[test]
    fn asking_after_unknown_recipients_slows_then_bans_for_a_time() {
        let mut sources = Sources::new(SourceLimits::default());
        let mut waited = Duration::ZERO;
        for _ in 0..49 {
            assert_eq!(sources.unknown_recipient(at(0), v4(1)), Offence::Counted);
            waited += sources.tarpit(at(0), v4(1));
        }
        assert!(waited > Duration::from_secs(300), "{waited:?}");
        assert_eq!(sources.tarpit(at(0), v4(2)), Duration::ZERO);
        assert_eq!(sources.unknown_recipient(at(0), v4(1)), Offence::Banned { network: false });
        assert_eq!(sources.admit(at(899), v4(1), false), Err(Refusal::Banned));
        assert_eq!(sources.admit(at(899), v4(2), false), Ok(()));
        assert_eq!(sources.admit(at(900), v4(1), false), Ok(()));
    }

    #[test]
    fn spreading_over_a_network_bans_the_network() {
        let mut sources = Sources::new(SourceLimits::default());
        let last = (0..250).map(|n| sources.unknown_recipient(at(0), v4(n % 25))).last();
        assert_eq!(last, Some(Offence::Banned { network: true }));
        assert_eq!(sources.admit(at(1), v4(200), false), Err(Refusal::Banned));
        assert_eq!(sources.admit(at(1), v4(256), false), Ok(()));
    }

    #[test]
    fn mistakes_are_forgiven_with_time() {
        let mut sources = Sources::new(SourceLimits::default());
        for minute in 0..500 {
            assert_eq!(sources.unknown_recipient(at(minute * 60), v4(1)), Offence::Counted);
        }
        assert_eq!(sources.tarpit(at(500 * 60), v4(1)), Duration::ZERO);
    }

    #[test]
    fn the_tables_stay_within_their_bounds() {
        let mut sources = Sources::new(SourceLimits { unknown_recipients: 1, ..SourceLimits::default() });
        for n in 0..(REMEMBERED_MAX as u32 + 5_000) {
            let peer = IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + n * 256));
            if sources.admit(at(0), peer, false).is_ok() {
                sources.release(peer);
            }
            sources.unknown_recipient(at(0), peer);
        }
        assert_eq!(sources.rates.len(), REMEMBERED_MAX);
        assert_eq!(sources.bans.len(), REMEMBERED_MAX);
        assert!(sources.unknown.len() <= REMEMBERED_MAX);
        assert!(sources.by_address.is_empty() && sources.by_network.is_empty());
    }

    proptest! {
        #[test]
        fn counts_return_to_nothing(steps in proptest::collection::vec((0_u32..40, any::<bool>(), 0_u64..3), 0..200)) {
            let mut sources = Sources::new(SourceLimits { per_address: 3, connections: 20, ..SourceLimits::default() });
            let (mut now, mut open) = (0, Vec::new());
            for (host, known, wait) in steps {
                now += wait;
                match sources.admit(at(now), v4(host), known) {
                    Ok(()) => open.push(v4(host)),
                    Err(_) => if let Some(peer) = open.pop() { sources.release(peer) },
                }
                prop_assert!(open.len() <= 20);
                prop_assert_eq!(sources.open() as usize, open.len());
            }
            open.into_iter().for_each(|peer| sources.release(peer));
            prop_assert!(sources.by_address.is_empty() && sources.by_network.is_empty());
        }
    }
}
