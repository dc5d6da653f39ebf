//! From a domain to the addresses that its mail is handed to, in the order in which they are tried.
//!
//! RFC 5321 §5: the configured route of a domain of ours, the MX records of any other. What may not be
//! connected to (ourselves, loopback, foreign private addresses) never comes out of here.

mod address;
mod fault;
mod microsoft;

use std::net::{IpAddr, SocketAddr};

use config_schema::{Route, RouteHost, name::DomainName};

use crate::dns::{Lookup, Mx, Resolver};

pub use address::{Own, Unfit};
pub use fault::RouteFault;
pub use microsoft::is_microsoft;

/// Exchanges of one name that are looked at, the most preferred first.
pub const EXCHANGES_MAX: usize = 20;
/// Addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 4;
/// Addresses tried for one domain in one attempt. RFC 5321 §5.1 asks for two at least.
pub const HOPS_MAX: usize = 16;
/// RFC 5321 §4.5.4.2.
const SMTP: u16 = 25;

/// One address to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    pub host: HopHost,
    pub address: SocketAddr,
    /// Where the way from the domain to this host's addresses was validated by DNSSEC: only then is DANE looked for
    /// (RFC 7672 §2.2).
    pub proof: Option<Proof>,
    /// Whether it is one of the shared front ends of Microsoft 365, which all count as one destination.
    pub microsoft: bool,
}

/// The names on a way that DNSSEC proves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The end of the host name's aliases: TLSA records are looked for there first (RFC 7672 §2.2.3).
    pub canonical: DomainName,
    /// The domain whose MX records led to the host; a certificate may name it instead (RFC 7672 §3.2.2).
    pub domain: Option<DomainName>,
}

/// What a host is called, for its certificate and for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HopHost {
    Name(DomainName),
    Address(IpAddr),
}

/// Where a domain's mail is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// A domain of ours: its routes in order.
    Configured(&'a [Route]),
    /// Any other, by its MX records.
    Foreign(&'a DomainName),
    /// An address literal of a foreign recipient.
    Literal(&'a Route),
}

impl std::fmt::Display for HopHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HopHost::Name(name) => write!(f, "{name}"),
            HopHost::Address(address) => write!(f, "[{address}]"),
        }
    }
}

impl Hop {
    /// Whether it is another address of the same host, found by as good a way: then it is all one which answers.
    pub fn is_same_host(&self, other: &Hop) -> bool {
        let named = matches!(self.host, HopHost::Name(_)) && self.host == other.host;
        named && self.address.port() == other.address.port() && self.proof == other.proof
    }
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.host, self.address)
    }
}

/// The addresses for `target`, best first; never empty. `shuffle` gives a random number for each call.
pub async fn find(
    resolver: &Resolver,
    own: &Own,
    target: Target<'_>,
    shuffle: &mut (dyn FnMut() -> u32 + Send),
) -> Result<Vec<Hop>, RouteFault> {
    let mut search = Search { resolver, own, shuffle, hops: Vec::new(), fault: None };
    match target {
        Target::Configured(routes) => {
            for route in routes {
                if search.hops.len() < HOPS_MAX {
                    search.route(route, true).await;
                }
            }
        }
        Target::Literal(route) => search.route(route, false).await,
        Target::Foreign(domain) => search.exchanges(domain, false).await,
    }
    let Search { hops, fault, .. } = search;
    if hops.is_empty() { Err(fault.unwrap_or(RouteFault::NoRoute)) } else { Ok(hops) }
}

struct Search<'a> {
    resolver: &'a Resolver,
    own: &'a Own,
    shuffle: &'a mut (dyn FnMut() -> u32 + Send),
    hops: Vec<Hop>,
    /// The fault that decides if nothing is found: a passing one rather than a lasting one.
    fault: Option<RouteFault>,
}

/// A host whose addresses are to be looked up.
struct Host<'a> {
    name: &'a DomainName,
    port: u16,
    /// Whether private addresses are allowed.
    configured: bool,
    /// How its name came here.
    named: Named<'a>,
}

#[derive(Clone, Copy)]
enum Named<'a> {
    /// By answers that anybody may have forged.
    Unproven,
    /// By the configuration or by the recipient's address.
    Given,
    /// By the validated MX records of this domain.
    By(&'a DomainName),
}

/// An address that may be connected to.
struct Address {
    address: IpAddr,
    /// The end of the host's aliases, if the answer was validated.
    proven: Option<DomainName>,
}

impl Search<'_> {
    async fn route(&mut self, route: &Route, configured: bool) {
        match (&route.host, route.port) {
            (RouteHost::Address(address), port) => {
                let address = address.to_canonical();
                if let Err(why) = self.own.check(address, configured) {
                    return self.note(RouteFault::Unfit { host: format!("[{address}]"), why });
                }
                let address = SocketAddr::new(address, port.unwrap_or(SMTP));
                let host = HopHost::Address(address.ip());
                self.hops.push(Hop { host, address, proof: None, microsoft: false });
            }
            (RouteHost::Name(name), Some(port)) => {
                self.host(Host { name, port, configured, named: Named::Given }).await;
            }
            (RouteHost::Name(name), None) => self.exchanges(name, configured).await,
        }
    }

    /// RFC 5321 §5.1: the MX records of `name`, or without any, the addresses of `name` itself.
    async fn exchanges(&mut self, name: &DomainName, configured: bool) {
        let (records, named) = match self.resolver.mx(name).await {
            Ok(Lookup::Found(found)) => {
                (found.records, if found.authentic { Named::By(name) } else { Named::Unproven })
            }
            // A host that is its own exchange: the question whether there are MX records needs no proof, since a
            // forged "none" leads to the host's own addresses, whose proof decides (RFC 7672 §2.2.2).
            Ok(Lookup::NoData) => {
                return self.host(Host { name, port: SMTP, configured, named: Named::Given }).await;
            }
            Ok(Lookup::NoSuchName) => return self.note(RouteFault::NoSuchName(name.clone())),
            Err(error) => return self.note(RouteFault::Dns(error)),
        };
        let Some(exchanges) = self.order(name, records) else { return };
        for exchange in exchanges {
            if self.hops.len() >= HOPS_MAX {
                return;
            }
            self.host(Host { name: &exchange, port: SMTP, configured, named }).await;
        }
    }

    /// The exchanges in the order of their preference, equal ones shuffled; `None` after noting a fault.
    fn order(&mut self, name: &DomainName, mut records: Vec<Mx>) -> Option<Vec<DomainName>> {
        // RFC 7505 §3: a single record for the root says that the domain takes no mail.
        if records.iter().all(|mx| mx.exchange.is_none()) {
            self.note(RouteFault::NullMx(name.clone()));
            return None;
        }
        let mut keyed: Vec<(u16, u32, DomainName)> = records
            .drain(..)
            .filter_map(|mx| mx.exchange.map(|exchange| (mx.preference, (self.shuffle)(), exchange)))
            .collect();
        keyed.sort();
        // RFC 5321 §5.1: where we stand among the exchanges, only those better than us are tried.
        let ours = keyed.iter().find(|(_, _, exchange)| *exchange == self.own.hostname).map(|(p, _, _)| *p);
        if let Some(limit) = ours {
            keyed.retain(|(preference, _, _)| *preference < limit);
            if keyed.is_empty() {
                self.note(RouteFault::LoopsBack(name.clone()));
                return None;
            }
        }
        keyed.truncate(EXCHANGES_MAX);
        Some(keyed.into_iter().map(|(_, _, exchange)| exchange).collect())
    }

    async fn host(&mut self, host: Host<'_>) {
        if self.own.is_our_name(host.name) {
            return self.note(RouteFault::LoopsBack(host.name.clone()));
        }
        let microsoft = is_microsoft(host.name);
        let four = self.addresses(&host, true).await;
        // Microsoft's connectors know IPv4 sources only: IPv6 is for a host that has nothing else.
        let six = if microsoft && !four.is_empty() { Vec::new() } else { self.addresses(&host, false).await };
        if four.is_empty() && six.is_empty() {
            self.note(RouteFault::NoAddress(host.name.clone()));
        }
        let room = HOPS_MAX.saturating_sub(self.hops.len()).min(ADDRESSES_MAX);
        for Address { address, proven } in self.sorted(four, six).into_iter().take(room) {
            let address = SocketAddr::new(address, host.port);
            let name = HopHost::Name(host.name.clone());
            let proof = proven.and_then(|canonical| match host.named {
                Named::Unproven => None,
                Named::Given => Some(Proof { canonical, domain: None }),
                Named::By(domain) => Some(Proof { canonical, domain: Some(domain.clone()) }),
            });
            self.hops.push(Hop { host: name, address, proof, microsoft });
        }
    }

    /// RFC 8305 §4: the families in turn, so that a broken one costs one attempt; IPv6 first (RFC 6724 §2.1). A family
    /// in which we have no address comes last (RFC 6724 §5, rule 1).
    fn sorted(&self, four: Vec<Address>, six: Vec<Address>) -> Vec<Address> {
        match (self.own.reaches(true), self.own.reaches(false)) {
            (true, false) => four.into_iter().chain(six).collect(),
            (false, true) => six.into_iter().chain(four).collect(),
            _ => interleave(six, four),
        }
    }

    async fn addresses(&mut self, host: &Host<'_>, four: bool) -> Vec<Address> {
        let lookup =
            if four { self.resolver.ipv4(host.name).await } else { self.resolver.ipv6(host.name).await };
        let mut fit = Vec::new();
        match lookup {
            Ok(Lookup::Found(found)) => {
                let proven = found.authentic.then_some(found.canonical);
                for address in found.records {
                    let address = address.to_canonical();
                    match self.own.check(address, host.configured) {
                        Ok(()) => fit.push(Address { address, proven: proven.clone() }),
                        Err(why) => self.note(RouteFault::Unfit { host: host.name.to_string(), why }),
                    }
                }
            }
            Ok(Lookup::NoSuchName | Lookup::NoData) => {}
            Err(error) => self.note(RouteFault::Dns(error)),
        }
        fit
    }

    fn note(&mut self, fault: RouteFault) {
        if self.fault.as_ref().is_none_or(|known| fault.outweighs(known)) {
            self.fault = Some(fault);
        }
    }
}

/// One of each in turn, the first of `first` foremost.
fn interleave<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = (first.next(), second.next());
        if pair.0.is_none() && pair.1.is_none() {
            return all;
        }
        all.extend(pair.0);
        all.extend(pair.1);
    }
}

#[cfg(test)]
mod tests;
