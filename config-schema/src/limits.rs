//! `[limits]`, `[delivery]`, `[time]` and `[[known-network]]`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    mistake::Notes,
    name::DomainName,
    reader::Section,
    value::{ByteSize, Period},
};

/// Known networks in all, and the networks of one.
pub const KNOWN_NETWORKS_MAX: usize = 256;
/// Time servers.
pub const TIME_SERVERS_MAX: usize = 8;
/// Microsoft 365 takes no more; see [`Limits::message_size`].
const MESSAGE_SIZE: ByteSize = ByteSize::new(150_000_000);
const MESSAGE_SIZE_MAX: u64 = 1_000_000_000;

/// What peers may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all [10000].
    pub connections: u32,
    /// Open from one address [20].
    pub connections_per_address: u32,
    /// Open from one IPv4 /24 or IPv6 /48 [100].
    pub connections_per_network: u32,
    /// New from one address within a minute [60].
    pub new_connections_per_minute: u32,
    /// Of one message [1000]; RFC 5321 §4.5.3.1.8 asks for at least 100.
    pub recipients: u32,
    /// On one connection [100].
    pub messages_per_connection: u32,
    /// Of one message [150 MB].
    pub message_size: ByteSize,
}

/// How mail is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Connections to one destination at a time, to begin with [5].
    pub connections_per_destination: u32,
    /// Until the first retry; doubled each time up to four hours [5 min].
    pub first_retry: Period,
    /// Until a message is given up and its sender told [5 days].
    pub lifetime: Period,
    /// Until its sender is told that it is late [4 h].
    pub delay_notice: Period,
}

/// A network with privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNetwork {
    /// For people.
    pub name: String,
    /// Never empty.
    pub networks: Vec<IpNet>,
    /// Whether it may send to foreign domains.
    pub relay: bool,
}

/// A time server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeServer {
    /// Looked up by DNS.
    Name(DomainName),
    /// Asked directly.
    Address(IpAddr),
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            connections_per_address: 20,
            connections_per_network: 100,
            new_connections_per_minute: 60,
            recipients: 1_000,
            messages_per_connection: 100,
            message_size: MESSAGE_SIZE,
        }
    }
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery {
            connections_per_destination: 5,
            first_retry: Period::from_secs(300),
            lifetime: Period::from_secs(5 * 86_400),
            delay_notice: Period::from_secs(4 * 3_600),
        }
    }
}

impl Limits {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Limits {
        let usual = Limits::default();
        let mut count = |key, range, usual: u32, notes: &mut Notes<'_>| {
            section.number(key, range, notes).and_then(|number| u32::try_from(number).ok()).unwrap_or(usual)
        };
        let limits = Limits {
            connections: count("connections", 10..=60_000, usual.connections, notes),
            connections_per_address: count(
                "connections-per-address",
                1..=60_000,
                usual.connections_per_address,
                notes,
            ),
            connections_per_network: count(
                "connections-per-network",
                1..=60_000,
                usual.connections_per_network,
                notes,
            ),
            new_connections_per_minute: count(
                "new-connections-per-minute",
                1..=1_000_000,
                usual.new_connections_per_minute,
                notes,
            ),
            recipients: count("recipients", 100..=10_000, usual.recipients, notes),
            messages_per_connection: count(
                "messages-per-connection",
                1..=100_000,
                usual.messages_per_connection,
                notes,
            ),
            message_size: read_size(&mut section, notes).unwrap_or(usual.message_size),
        };
        section.finish(notes);
        limits
    }
}

fn read_size(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<ByteSize> {
    let size = section.parsed::<ByteSize>("message-size", notes)?;
    // RFC 5321 §4.5.3.1.7: at least 64 kB.
    if !(65_536..=MESSAGE_SIZE_MAX).contains(&size.value.bytes()) {
        let text = format!("{}, expected from 64 KiB to {}", size.value, ByteSize::new(MESSAGE_SIZE_MAX));
        notes.note(size.place.span, &size.place.path, text);
        return None;
    }
    Some(size.value)
}

impl Delivery {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Delivery {
        let usual = Delivery::default();
        let connections = section.number("connections-per-destination", 1..=100, notes);
        let connections = connections.and_then(|number| u32::try_from(number).ok());
        let delivery = Delivery {
            connections_per_destination: connections.unwrap_or(usual.connections_per_destination),
            first_retry: period(&mut section, "first-retry", 1..=14_400, notes).unwrap_or(usual.first_retry),
            lifetime: period(&mut section, "lifetime", 60..=2_592_000, notes).unwrap_or(usual.lifetime),
            delay_notice: period(&mut section, "delay-notice", 60..=2_592_000, notes)
                .unwrap_or(usual.delay_notice),
        };
        section.finish(notes);
        delivery
    }
}

fn period(
    section: &mut Section<'_>,
    key: &'static str,
    seconds: std::ops::RangeInclusive<u64>,
    notes: &mut Notes<'_>,
) -> Option<Period> {
    let found = section.parsed::<Period>(key, notes)?;
    if !seconds.contains(&found.value.duration().as_secs()) {
        let (least, most) = (Period::from_secs(*seconds.start()), Period::from_secs(*seconds.end()));
        let text = format!("{}, expected from {least} to {most}", found.value);
        notes.note(found.place.span, &found.place.path, text);
        return None;
    }
    Some(found.value)
}

impl KnownNetwork {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Option<KnownNetwork> {
        let name = section.string("name", notes).map(|found| found.value).unwrap_or_default();
        let networks = section.list::<Cidr>("network", notes);
        match networks.as_deref() {
            None if section.has("network") => {}
            None | Some([]) => section.missing("network", "at least one such as \"192.0.2.0/24\"", notes),
            Some(networks) => {
                if let Some(extra) = networks.get(KNOWN_NETWORKS_MAX) {
                    let text = format!("one too many, expected at most {KNOWN_NETWORKS_MAX}");
                    notes.note(extra.place.span.clone(), &extra.place.path, text);
                }
            }
        }
        let relay = section.boolean("relay", notes).unwrap_or(false);
        section.finish(notes);
        let networks = networks?.into_iter().map(|found| found.value.0).collect();
        Some(KnownNetwork { name, networks, relay })
    }
}

/// A network, or a single address.
struct Cidr(IpNet);

#[derive(Debug, thiserror::Error)]
#[error("not a network, expected such as \"192.0.2.0/24\" or \"192.0.2.7\"")]
struct CidrError;

impl std::str::FromStr for Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let network = text.parse::<IpNet>().ok().map(|net| net.trunc());
        network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(Cidr).ok_or(CidrError)
    }
}

pub(crate) fn read_time(mut section: Section<'_>, notes: &mut Notes<'_>) -> Vec<TimeServer> {
    let servers = section.list::<TimeServer>("servers", notes).unwrap_or_default();
    if let Some(extra) = servers.get(TIME_SERVERS_MAX) {
        let text = format!("one too many, expected at most {TIME_SERVERS_MAX}");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    section.finish(notes);
    servers.into_iter().map(|found| found.value).collect()
}

impl std::str::FromStr for TimeServer {
    type Err = TimeServerError;
    fn from_str(text: &str) -> Result<TimeServer, TimeServerError> {
        if let Ok(address) = text.parse() {
            return Ok(TimeServer::Address(address));
        }
        DomainName::parse(text).map(TimeServer::Name).map_err(|_| TimeServerError)
    }
}

/// A text that is neither a name nor an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time server, expected a host name or an address")]
pub struct TimeServerError;
