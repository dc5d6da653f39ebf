//! IPv6 addresses and routers by router advertisement (RFC 4861 §6.3, RFC 4862 §5.5), with stable, opaque
//! interface identifiers (RFC 7217).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, Icmpv6Packet, NdiscOption, NdiscOptionRepr, NdiscPrefixInfoFlags,
    NdiscPrefixInformation, NdiscRepr, RawHardwareAddress,
};

use super::{Addresses, Origin};
use crate::link::{Link, nd};
use crate::secret::Random;

/// Prefixes that give an address.
pub const PREFIXES_MAX: usize = 4;
/// Default routers.
pub const ROUTERS_MAX: usize = 4;
/// Options read in one advertisement.
const OPTIONS_MAX: usize = 16;
/// RFC 4861 §10: RTR_SOLICITATION_INTERVAL, MAX_RTR_SOLICITATIONS.
const SOLICIT_GAP: Duration = Duration::from_secs(4);
const SOLICITATIONS: u8 = 3;
/// RFC 4862 §5.5.3 e: nobody shortens a lifetime below this by an unauthenticated advertisement.
const TWO_HOURS: Duration = Duration::from_secs(7_200);
/// RFC 8200 §5.
const LEAST_MTU: u32 = 1_280;
/// Where the options of a router advertisement begin (RFC 4861 §4.2).
const OPTIONS_AT: usize = 16;

/// What was learnt from routers.
#[derive(Debug)]
pub struct Slaac {
    random: Random,
    prefixes: Vec<(Ipv6Net, Instant)>,
    routers: Vec<(Ipv6Addr, Instant)>,
    solicited: u8,
    solicit_at: Option<Instant>,
}

impl Slaac {
    /// `secret` makes the identifiers; the same gives the same addresses.
    pub fn new(now: Instant, secret: [u8; 32]) -> Slaac {
        let random = Random::new(secret);
        Slaac { random, prefixes: Vec::new(), routers: Vec::new(), solicited: 0, solicit_at: Some(now) }
    }

    /// The link is back, and may lead elsewhere: solicits anew (RFC 4861 §6.3.7).
    pub fn link_returned(&mut self, now: Instant) {
        (self.solicited, self.solicit_at) = (0, Some(now));
    }

    /// The address of ours in a /64 (RFC 7217 §5).
    pub fn address(secret: [u8; 32], prefix: Ipv6Net, mac: EthernetAddress) -> Ipv6Addr {
        let identifier = Random::new(secret).key().hash((prefix.network(), mac.0));
        let [network, ..] = [u128::from(prefix.network())];
        Ipv6Addr::from(network & !u128::from(u64::MAX) | u128::from(identifier))
    }

    /// Takes an advertisement of the router `source`. Returns the MTU that it names.
    ///
    /// # Errors
    /// The counter of what is dropped.
    pub fn advertised(
        &mut self,
        now: Instant,
        (source, secret, mac): (Ipv6Addr, [u8; 32], EthernetAddress),
        packet: &Icmpv6Packet<&[u8]>,
        bytes: &[u8],
        addresses: &mut Addresses,
    ) -> Result<Option<usize>, &'static str> {
        let mut options = bytes.get(OPTIONS_AT..).ok_or("drops.nd.length")?;
        let mut mtu = None;
        for _ in 0..OPTIONS_MAX {
            if options.is_empty() {
                break;
            }
            // RFC 4861 §4.6: an option of no length spoils the packet.
            let option = NdiscOption::new_checked(options).map_err(|_| "drops.nd.option")?;
            let len = usize::from(option.data_len()) * 8;
            match NdiscOptionRepr::parse(&option) {
                Ok(NdiscOptionRepr::PrefixInformation(prefix)) => {
                    self.prefix(now, &prefix, secret, mac, addresses)
                }
                Ok(NdiscOptionRepr::Mtu(value)) if value >= LEAST_MTU => mtu = Some(value as usize),
                _ => {}
            }
            options = options.get(len.max(8)..).unwrap_or_default();
        }
        self.router(now, source, packet.router_lifetime(), addresses);
        self.solicit_at = None;
        Ok(mtu)
    }

    /// Solicits routers, and lets go what has expired.
    pub fn due(&mut self, now: Instant, link: &mut Link, addresses: &mut Addresses) {
        if self.solicit_at.is_some_and(|when| when <= now) {
            let source = addresses.source_v6(nd::ALL_ROUTERS).unwrap_or(Ipv6Addr::UNSPECIFIED);
            let lladdr = (!source.is_unspecified()).then(|| RawHardwareAddress::from(link.mac));
            let group = EthernetAddress([0x33, 0x33, 0, 0, 0, 2]);
            nd::send(link, source, (nd::ALL_ROUTERS, Some(group)), NdiscRepr::RouterSolicit { lladdr });
            self.solicited += 1;
            let jitter = Duration::from_millis(u64::from(self.random.below(500)));
            self.solicit_at = (self.solicited < SOLICITATIONS).then_some(now + SOLICIT_GAP + jitter);
        }
        self.prefixes.retain(|(net, until)| {
            let lives = *until > now;
            if !lives {
                addresses.remove(IpAddr::V6(net.addr()));
            }
            lives
        });
        self.routers.retain(|(router, until)| {
            let lives = *until > now;
            if !lives {
                addresses.remove_router(IpAddr::V6(*router));
            }
            lives
        });
    }

    pub fn next_due(&self) -> Option<Instant> {
        let expiries =
            self.prefixes.iter().map(|(_, until)| *until).chain(self.routers.iter().map(|(_, until)| *until));
        expiries.chain(self.solicit_at).min()
    }

    /// RFC 4862 §5.5.3.
    fn prefix(
        &mut self,
        now: Instant,
        prefix: &NdiscPrefixInformation,
        secret: [u8; 32],
        mac: EthernetAddress,
        addresses: &mut Addresses,
    ) {
        let autonomous = prefix.flags.contains(NdiscPrefixInfoFlags::ADDRCONF);
        let usable = super::is_usable(IpAddr::V6(prefix.prefix)) && !prefix.prefix.is_unicast_link_local();
        if !autonomous
            || !usable
            || prefix.prefix_len != 64
            || prefix.preferred_lifetime > prefix.valid_lifetime
        {
            return;
        }
        let Ok(net) = Ipv6Net::new(prefix.prefix, 64) else { return };
        let address = Slaac::address(secret, net, mac);
        let Ok(own) = Ipv6Net::new(address, 64) else { return };
        let until = now + prefix.valid_lifetime;
        if let Some((_, known)) = self.prefixes.iter_mut().find(|(net, _)| *net == own) {
            let left = if *known > now { *known - now } else { Duration::ZERO };
            // e: longer than two hours or than what is left counts; otherwise at most two hours stay.
            if prefix.valid_lifetime > TWO_HOURS || prefix.valid_lifetime > left {
                *known = until;
            } else if left > TWO_HOURS {
                *known = now + TWO_HOURS;
            }
        } else if prefix.valid_lifetime > Duration::ZERO && self.prefixes.len() < PREFIXES_MAX {
            self.prefixes.push((own, until));
            addresses.add(IpNet::V6(own), Origin::Router);
        }
    }

    fn router(&mut self, now: Instant, router: Ipv6Addr, lifetime: Duration, addresses: &mut Addresses) {
        let known = self.routers.iter().position(|(known, _)| *known == router);
        match known {
            Some(at) if lifetime == Duration::ZERO => {
                self.routers.remove(at);
                addresses.remove_router(IpAddr::V6(router));
            }
            Some(at) => {
                if let Some((_, until)) = self.routers.get_mut(at) {
                    *until = now + lifetime;
                }
            }
            None if lifetime > Duration::ZERO && self.routers.len() < ROUTERS_MAX => {
                self.routers.push((router, now + lifetime));
                addresses.add_router(IpAddr::V6(router), Origin::Router);
            }
            None => {}
        }
    }
}
