//! How the network is set up: plain values, translated by the gateway from the configuration file.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Static addresses of each family.
pub const STATIC_MAX: usize = 4;
/// Routers in all.
pub const ROUTERS_MAX: usize = 4;
/// Networks in [`Limits::known_networks`].
pub const KNOWN_NETWORKS_MAX: usize = 1_024;

/// Addresses, routers, limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Configure {
    pub ipv4: Ipv4Addressing,
    pub ipv6: Ipv6Addressing,
    /// The routers of static addressing, either family; at most [`ROUTERS_MAX`].
    pub routers: Vec<IpAddr>,
    /// Makes the automatic IPv6 addresses the same at every start (RFC 7217), so it is kept in the store and
    /// made at random once. `None`: new addresses at each start.
    pub stable_secret: Option<[u8; 32]>,
    pub limits: Limits,
    pub deadlines: Deadlines,
}

/// Where the IPv4 address comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Ipv4Addressing {
    None,
    /// At most [`STATIC_MAX`].
    Static(Vec<Ipv4Net>),
    #[default]
    Dhcp,
}

/// Where the IPv6 addresses come from. A link-local address is always made, except with `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Ipv6Addressing {
    None,
    /// At most [`STATIC_MAX`]. Router advertisements are ignored.
    Static(Vec<Ipv6Net>),
    /// By router advertisement (RFC 4862).
    #[default]
    Automatic,
}

/// What strangers may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// TCP connections in all, both directions [10,000].
    pub connections: u32,
    /// Accepted connections open from one address [20].
    pub connections_per_address: u32,
    /// Accepted connections open from one IPv4 /24 or IPv6 /48 [100].
    pub connections_per_network: u32,
    /// Connections accepted from one address within a minute [60].
    pub new_per_minute: u32,
    /// Exempt from the three limits of each source; at most [`KNOWN_NETWORKS_MAX`].
    pub known_networks: Vec<IpNet>,
    /// Percent of `connections` that only known networks and outgoing connections may use [10].
    pub reserved_percent: u8,
    /// Bytes that all flows' buffers may hold in memory together, beyond 16 kB each; `None`: a quarter of the
    /// machine's.
    pub buffer_memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            connections_per_address: 50,
            connections_per_network: 250,
            new_per_minute: 600,
            known_networks: Vec::new(),
            reserved_percent: 10,
            buffer_memory: None,
        }
    }
}

/// How long each phase of a connection may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// From our SYN to the handshake's end [30].
    pub syn_sent: u32,
    /// Data that the peer does not acknowledge, without any progress [100].
    pub unacknowledged: u32,
    /// A closed window of the peer's with data waiting [120].
    pub zero_window: u32,
    /// The same for [`super::Class::Bulk`] [1,200].
    pub zero_window_bulk: u32,
    /// Our FIN unacknowledged [60].
    pub fin_wait_1: u32,
    /// Our FIN acknowledged, no data and no FIN from the peer [60].
    pub fin_wait_2: u32,
    /// Both FINs sent, ours unacknowledged [60].
    pub last_ack: u32,
    /// An outgoing connection with no segment of the peer's is asked for a sign of life after this [900].
    pub keep_alive: u32,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            syn_sent: 30,
            unacknowledged: 100,
            zero_window: 120,
            zero_window_bulk: 1_200,
            fin_wait_1: 60,
            fin_wait_2: 60,
            last_ack: 60,
            keep_alive: 900,
        }
    }
}
