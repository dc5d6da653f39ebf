//! The addresses that are ours, and the way out: static, by DHCP, by router advertisement.

pub mod dhcp;
mod reboot;
pub mod slaac;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::control::KNOWN_NETWORKS_MAX;
use crate::control::{Configure, Ipv4Addressing, Ipv6Addressing, ROUTERS_MAX, Rejection, STATIC_MAX};
use crate::link::nd::{ALL_NODES, solicited_node};

/// Addresses of ours in all: static ones of both families, leased, link-local, four prefixes.
pub const OWN_MAX: usize = 2 * STATIC_MAX + 6;

/// Where an address or router comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Static,
    Dhcp,
    Router,
    LinkLocal,
}

/// The tables that decide what is ours and where a packet goes next.
#[derive(Debug, Default)]
pub struct Addresses {
    own: Vec<(IpNet, Origin)>,
    routers: Vec<(IpAddr, Origin)>,
    /// On-link prefixes of router advertisements that give no address.
    changed: bool,
}

impl Addresses {
    /// Adds an address with the prefix that is on our link. Without effect when it is there or the table full.
    pub fn add(&mut self, net: IpNet, origin: Origin) {
        if self.own.len() < OWN_MAX && !self.is_ours(net.addr()) {
            self.own.push((net, origin));
            self.changed = true;
        }
    }

    pub fn remove(&mut self, address: IpAddr) {
        let before = self.own.len();
        self.own.retain(|(net, _)| net.addr() != address);
        self.changed |= self.own.len() != before;
    }

    /// Forgets every address and router of one origin; returns the addresses.
    pub fn remove_all(&mut self, origin: Origin) -> Vec<IpAddr> {
        let gone: Vec<IpAddr> =
            self.own.iter().filter(|(_, o)| *o == origin).map(|(net, _)| net.addr()).collect();
        self.own.retain(|(_, o)| *o != origin);
        self.routers.retain(|(_, o)| *o != origin);
        self.changed |= !gone.is_empty();
        gone
    }

    pub fn add_router(&mut self, router: IpAddr, origin: Origin) {
        if self.routers.len() < ROUTERS_MAX + slaac::ROUTERS_MAX
            && self.routers.iter().all(|(r, _)| *r != router)
        {
            self.routers.push((router, origin));
        }
    }

    pub fn remove_router(&mut self, router: IpAddr) {
        self.routers.retain(|(r, _)| *r != router);
    }

    pub fn routers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.routers.iter().map(|(router, _)| *router)
    }

    /// Addresses with their prefix, for the gateway: not the link-local one, unless there is no other.
    pub fn usable(&self) -> Vec<IpNet> {
        let all = || self.own.iter();
        all().filter(|(_, origin)| *origin != Origin::LinkLocal).map(|(net, _)| *net).collect()
    }

    pub fn own(&self) -> impl Iterator<Item = (IpNet, Origin)> + '_ {
        self.own.iter().copied()
    }

    /// Whether [`Self::usable`] changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn is_ours(&self, address: IpAddr) -> bool {
        self.own.iter().any(|(net, _)| net.addr() == address)
    }

    /// A group that we listen to: all nodes, and those of our addresses (RFC 4291 §2.8).
    pub fn in_group(&self, group: Ipv6Addr) -> bool {
        let solicited = |net: &IpNet| matches!(net.addr(), IpAddr::V6(own) if solicited_node(own) == group);
        group == ALL_NODES || self.own.iter().any(|(net, _)| solicited(net))
    }

    /// The broadcast address of a network of ours, or of all.
    pub fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        let of_net =
            |net: &IpNet| matches!(net, IpNet::V4(v4) if v4.prefix_len() < 31 && v4.broadcast() == address);
        address.is_broadcast() || self.own.iter().any(|(net, _)| of_net(net))
    }

    pub fn on_link(&self, address: IpAddr) -> bool {
        is_link_local(address) || self.own.iter().any(|(net, _)| net.contains(&address))
    }

    /// The station that a packet to `target` goes to first; `None` without a route.
    pub fn next_hop(&self, target: IpAddr) -> Option<IpAddr> {
        if self.on_link(target) {
            return Some(target);
        }
        self.routers().find(|router| router.is_ipv4() == target.is_ipv4())
    }

    /// The address of ours to talk to `target` from.
    pub fn source(&self, target: IpAddr) -> Option<IpAddr> {
        match target {
            IpAddr::V4(v4) => self.source_v4(v4).map(IpAddr::V4),
            IpAddr::V6(v6) => self.source_v6(v6).map(IpAddr::V6),
        }
    }

    pub fn source_v4(&self, target: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = || {
            self.own.iter().filter_map(|(net, _)| match net {
                IpNet::V4(v4) => Some(*v4),
                IpNet::V6(_) => None,
            })
        };
        own().find(|net| net.contains(&target)).or_else(|| own().next()).map(|net| net.addr())
    }

    /// RFC 6724 §5, rules 1, 2 and 8, as far as one link needs them.
    pub fn source_v6(&self, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let own = || {
            self.own.iter().filter_map(|(net, _)| match net {
                IpNet::V6(v6) => Some(*v6),
                IpNet::V4(_) => None,
            })
        };
        let local = |address: Ipv6Addr| is_link_local(IpAddr::V6(address)) || address.is_multicast();
        own()
            .filter(|net| local(net.addr()) == local(target))
            .max_by_key(|net| (net.addr() == target, net.contains(&target)))
            .map(|net| net.addr())
    }
}

/// 169.254/16 is not among them: those have a prefix of their own where they are configured.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Checks what the gateway configured.
///
/// # Errors
/// The first thing that cannot be.
pub fn check(configure: &Configure) -> Result<(), Rejection> {
    let mut nets: Vec<IpNet> = Vec::new();
    if let Ipv4Addressing::Static(list) = &configure.ipv4 {
        bounded("ipv4 addresses", list.len(), STATIC_MAX)?;
        nets.extend(list.iter().copied().map(IpNet::V4));
    }
    if let Ipv6Addressing::Static(list) = &configure.ipv6 {
        bounded("ipv6 addresses", list.len(), STATIC_MAX)?;
        nets.extend(list.iter().copied().map(IpNet::V6));
    }
    bounded("routers", configure.routers.len(), ROUTERS_MAX)?;
    bounded("known networks", configure.limits.known_networks.len(), KNOWN_NETWORKS_MAX)?;
    let addresses = nets.iter().map(IpNet::addr).chain(configure.routers.iter().copied());
    match addresses.into_iter().find(|address| !is_usable(*address)) {
        Some(address) => Err(Rejection::BadAddress(address)),
        None => Ok(()),
    }
}

fn bounded(what: &str, len: usize, limit: usize) -> Result<(), Rejection> {
    if len > limit { Err(Rejection::TooMany { what: what.to_owned(), limit: limit as u32 }) } else { Ok(()) }
}

/// An address that a host can have, and be talked to at.
pub fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            // 0/8, 127/8, 224/4 and 240/4 (RFC 1122 §3.2.1.3, RFC 1112 §4).
            first != 0 && first != 127 && first < 224
        }
        IpAddr::V6(v6) => {
            !v6.is_unspecified() && !v6.is_loopback() && !v6.is_multicast() && v6.to_ipv4_mapped().is_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(nets: &[&str], routers: &[&str]) -> Addresses {
        let mut addresses = Addresses::default();
        nets.iter().for_each(|net| addresses.add(net.parse().unwrap(), Origin::Static));
        routers.iter().for_each(|router| addresses.add_router(router.parse().unwrap(), Origin::Static));
        addresses
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn routes_and_sources() {
        let a = addresses(
            &["192.0.2.10/24", "10.0.0.1/8", "2001:db8::1/64", "fe80::1/64"],
            &["192.0.2.1", "fe80::ff"],
        );
        assert_eq!(a.next_hop(ip("192.0.2.77")), Some(ip("192.0.2.77")));
        assert_eq!(a.next_hop(ip("198.51.100.1")), Some(ip("192.0.2.1")));
        assert_eq!(a.next_hop(ip("2001:db8:1::1")), Some(ip("fe80::ff")));
        assert_eq!(a.source(ip("10.9.9.9")), Some(ip("10.0.0.1")));
        assert_eq!(a.source(ip("8.8.8.8")), Some(ip("192.0.2.10")));
        assert_eq!(a.source(ip("2001:db8:9::9")), Some(ip("2001:db8::1")));
        assert_eq!(a.source(ip("fe80::9")), Some(ip("fe80::1")));
        assert!(a.is_broadcast([192, 0, 2, 255].into()) && !a.is_broadcast([192, 0, 2, 254].into()));
        assert!(addresses(&[], &[]).next_hop(ip("192.0.2.1")).is_none());
    }

    #[test]
    fn what_cannot_be_configured_is_refused() {
        let bad = |address: &str| {
            let routers = vec![ip(address)];
            check(&Configure { routers, ..Configure::default() })
        };
        for address in
            ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1", "::ffff:1.2.3.4"]
        {
            assert_eq!(bad(address), Err(Rejection::BadAddress(ip(address))));
        }
        let routers = vec![ip("192.0.2.1"); ROUTERS_MAX + 1];
        let many = check(&Configure { routers, ..Configure::default() });
        assert!(matches!(many, Err(Rejection::TooMany { .. })));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut a = Addresses::default();
        (0..100u8).for_each(|n| a.add(IpNet::new([10, 0, 0, n].into(), 24).unwrap(), Origin::Static));
        assert_eq!(a.own().count(), OWN_MAX);
    }
}
