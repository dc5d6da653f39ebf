//! `[network]`: who the appliance is on the network.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{
    mistake::Notes,
    name::DomainName,
    reader::{Found, Section},
};

/// Addresses of ours, in all.
pub const ADDRESSES_MAX: usize = 4;
/// Routers, and name servers, in all.
pub const SERVERS_MAX: usize = 4;
const DNS_PORT: u16 = 53;

/// Who the appliance is on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The name in the greeting, in EHLO and in trace fields.
    pub hostname: DomainName,
    /// Where the addresses come from.
    pub addressing: Addressing,
    /// Resolvers; empty only with [`Addressing::Dhcp`], which then brings them.
    pub dns: Vec<SocketAddr>,
    /// Whether the resolvers above validate DNSSEC over a way that nobody can forge, so that their word for it (the
    /// AD bit) is believed: then DANE is used. False where there are none.
    pub dns_validates: bool,
}

/// Where the addresses come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// IPv4 by DHCP, IPv6 by router advertisement.
    Dhcp,
    /// Written down, with the routers of their networks.
    Static {
        /// At least one, at most [`ADDRESSES_MAX`].
        addresses: Vec<IpNet>,
        /// Each lies in the network of one of the addresses.
        gateways: Vec<IpAddr>,
    },
}

impl Network {
    /// Our addresses, as far as they are written down.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let written = match &self.addressing {
            Addressing::Static { addresses, .. } => addresses.as_slice(),
            Addressing::Dhcp => &[],
        };
        written.iter().map(IpNet::addr)
    }

    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Option<Network> {
        let hostname = section.domain_name("hostname", notes);
        if !section.has("hostname") {
            section.missing("hostname", "a host name such as \"mx.example.com\"", notes);
        }
        let addressing = addressing(&mut section, notes);
        let dns = section.list::<Server>("dns", notes).unwrap_or_default();
        if dns.is_empty() && matches!(addressing, Some(Addressing::Static { .. })) {
            section.missing("dns", "at least one resolver, since the addresses are static", notes);
        }
        if let Some(extra) = dns.get(SERVERS_MAX) {
            notes.note(extra.place.span.clone(), &extra.place.path, too_many(SERVERS_MAX));
        }
        let dns_validates = section.boolean("dns-validates", notes).unwrap_or_default();
        if dns_validates && dns.is_empty() {
            let place = section.place_of("dns-validates", "dns");
            // RFC 6840 §5.8: whoever brings the lease could say anything.
            notes.note(
                place.span,
                &place.path,
                "true, expected `dns` to name the resolvers that are trusted",
            );
        }
        section.finish(notes);
        let dns = dns.into_iter().map(|server| server.value.0).collect();
        Some(Network { hostname: hostname?.value, addressing: addressing?, dns, dns_validates })
    }
}

/// An address with or without a port.
struct Server(SocketAddr);

#[derive(Debug, thiserror::Error)]
#[error("not an address, expected such as \"192.0.2.53\" or \"[2001:db8::53]:53\"")]
struct ServerError;

impl std::str::FromStr for Server {
    type Err = ServerError;
    fn from_str(text: &str) -> Result<Server, ServerError> {
        let with_port = text.parse().ok();
        let bare = || text.parse().ok().map(|address: IpAddr| SocketAddr::new(address, DNS_PORT));
        with_port.or_else(bare).map(Server).ok_or(ServerError)
    }
}

fn too_many(limit: usize) -> String {
    format!("one too many, expected at most {limit}")
}

fn addressing(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Addressing> {
    let gateways = section.strings("gateway", notes).unwrap_or_default();
    let Some(words) = section.strings("address", notes) else {
        section.missing("address", "\"dhcp\" or a list such as [\"192.0.2.10/24\"]", notes);
        return None;
    };
    if let [only] = words.as_slice()
        && only.value.eq_ignore_ascii_case("dhcp")
    {
        for gateway in gateways {
            notes.note(
                gateway.place.span,
                &gateway.place.path,
                "DHCP brings the router, expected no gateway",
            );
        }
        return Some(Addressing::Dhcp);
    }
    let addresses: Vec<Found<IpNet>> = words.iter().filter_map(|word| address(word, notes)).collect();
    if let Some(extra) = gateways.get(SERVERS_MAX) {
        notes.note(extra.place.span.clone(), &extra.place.path, too_many(SERVERS_MAX));
    }
    let gateways = gateways.iter().filter_map(|word| gateway(word, &addresses, notes)).collect();
    if let Some(extra) = addresses.get(ADDRESSES_MAX) {
        notes.note(extra.place.span.clone(), &extra.place.path, too_many(ADDRESSES_MAX));
    }
    let addresses: Vec<IpNet> = addresses.into_iter().map(|found| found.value).collect();
    if addresses.is_empty() { None } else { Some(Addressing::Static { addresses, gateways }) }
}

fn address(word: &Found<String>, notes: &mut Notes<'_>) -> Option<Found<IpNet>> {
    let parsed: Option<IpNet> = word.value.parse().ok();
    let wrong = match parsed {
        None => Some("not an address with its network, expected such as \"192.0.2.10/24\"".to_owned()),
        Some(net) if !usable(net) => {
            Some("not an address that a host can have, expected such as \"192.0.2.10/24\"".to_owned())
        }
        Some(_) => None,
    };
    if let Some(wrong) = wrong {
        notes.note(word.place.span.clone(), &word.place.path, format_args!("`{}`: {wrong}", word.value));
        return None;
    }
    parsed.map(|value| Found { value, place: word.place.clone() })
}

fn usable(net: IpNet) -> bool {
    let address = net.addr();
    let point_to_point = net.max_prefix_len() - net.prefix_len() <= 1;
    let edge = matches!(net, IpNet::V4(net) if net.addr() == net.network() || net.addr() == net.broadcast());
    !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && (point_to_point || !edge)
}

fn gateway(word: &Found<String>, addresses: &[Found<IpNet>], notes: &mut Notes<'_>) -> Option<IpAddr> {
    let wrong = match word.value.parse::<IpAddr>() {
        Err(_) => "not an address, expected such as \"192.0.2.1\"",
        Ok(gateway) if addresses.iter().any(|net| net.value.addr() == gateway) => {
            "is one of our own addresses, expected the router's"
        }
        // A link-local router serves every IPv6 network of its link.
        Ok(IpAddr::V6(gateway)) if gateway.is_unicast_link_local() => return Some(gateway.into()),
        Ok(gateway) if addresses.iter().any(|net| net.value.contains(&gateway)) => return Some(gateway),
        Ok(_) => "lies in the network of none of our addresses, expected one that does",
    };
    notes.note(word.place.span.clone(), &word.place.path, format_args!("`{}`: {wrong}", word.value));
    None
}
