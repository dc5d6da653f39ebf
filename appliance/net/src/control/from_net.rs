//! From `net` to the gateway.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::{FlowId, ListenerId, RequestId};

/// What `net` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNet {
    /// The first message; see [`super::VERSION`].
    Hello {
        version: u16,
    },
    /// These addresses are ours and may be used. Sent at start and at each change; empty while there is none.
    Ready {
        addresses: Vec<IpNet>,
    },
    /// A connection to a listener, with its descriptor.
    Accepted {
        listener: ListenerId,
        flow: FlowId,
        peer: SocketAddr,
        local: SocketAddr,
    },
    /// The answer to `Connect`, with its descriptor.
    Connected {
        id: RequestId,
        flow: FlowId,
        local: SocketAddr,
    },
    /// The answer to `Connect` or `Udp` that could not be.
    Failed {
        id: RequestId,
        reason: FailReason,
    },
    /// The answer to `Udp`, with its descriptor.
    UdpOpen {
        id: RequestId,
        flow: FlowId,
        local: SocketAddr,
    },
    /// A flow is over. Exactly one for each `Accepted`, `Connected` or `UdpOpen`.
    Ended {
        flow: FlowId,
        reason: EndReason,
        /// Bytes of the peer that were handed to the gateway.
        received: u64,
        /// Bytes of the gateway that the peer acknowledged.
        sent: u64,
        /// Smoothed round trip, microseconds; 0 when none was measured.
        rtt_us: u32,
        retransmits: u32,
    },
    /// The device has a carrier, or has lost it.
    Link {
        up: bool,
    },
    /// DHCP gave, renewed or lost (`None`) a lease.
    Address(Option<Lease>),
    /// Another machine uses an address of ours (RFC 5227); an administrator must look.
    Conflict {
        address: IpAddr,
        mac: [u8; 6],
    },
    /// A message of the gateway's that could not be obeyed.
    Rejected(Rejection),
    Stats(Statistics),
}

/// Why a `Connect` or `Udp` failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum FailReason {
    #[error("the peer refused the connection")]
    Refused,
    #[error("no answer in time")]
    TimedOut,
    /// ICMP destination unreachable during the handshake, with its type and code.
    #[error("unreachable (ICMP type {kind} code {code})")]
    Unreachable { kind: u8, code: u8 },
    #[error("nobody on the link answers for the next hop")]
    NoNeighbour,
    #[error("no route, or no address of that family")]
    NoRoute,
    #[error("not an address that can be connected to")]
    BadAddress,
    /// The peer offers a segment size that only an attack has a use for (CVE-2019-11479).
    #[error("the peer's segment size is below the least accepted")]
    SegmentSize,
    #[error("too many connections")]
    Limit,
    #[error("no free local port")]
    NoPort,
    #[error("the network is shutting down")]
    ShuttingDown,
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EndReason {
    /// Both sides sent FIN, and both were acknowledged.
    Closed,
    /// The peer sent a RST.
    PeerReset,
    /// The gateway asked for it, or closed the descriptor with bytes unread.
    LocalReset,
    /// A deadline passed in this phase.
    TimedOut(TcpPhase),
    /// The address that it used is no longer ours.
    AddressLost,
    /// `net` is going down, or the gateway was replaced.
    ShuttingDown,
    /// The UDP descriptor was closed.
    DatagramsClosed,
    /// ICMP says that nobody takes these datagrams (UDP only), with its type and code.
    Unreachable { kind: u8, code: u8 },
}

/// The phase whose deadline passed; its limit is the field of [`super::Deadlines`] of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TcpPhase {
    Unacknowledged,
    ZeroWindow,
    FinWait1,
    FinWait2,
    LastAck,
    KeepAlive,
}

/// What DHCP gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub address: Ipv4Net,
    pub router: Option<Ipv4Addr>,
    /// At most 3.
    pub dns: Vec<Ipv4Addr>,
    pub ntp: Vec<Ipv4Addr>,
    /// Seconds from now.
    pub lifetime_s: u32,
}

/// Why a message could not be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    #[error("version {got} is not version {}", super::VERSION)]
    Version { got: u16 },
    #[error("a packet that is not a message")]
    Malformed,
    #[error("listener {0:?} exists, or another listens on its port")]
    ListenerInUse(ListenerId),
    #[error("no listener {0:?}")]
    UnknownListener(ListenerId),
    #[error("port 0 cannot be listened on ({0:?})")]
    BadPort(ListenerId),
    #[error("more than {} listeners", crate::control::LISTENERS_MAX)]
    TooManyListeners(ListenerId),
    #[error("{0} cannot be an address or a router of ours")]
    BadAddress(IpAddr),
    #[error("{what} has more than {limit} entries")]
    TooMany { what: String, limit: u32 },
}

/// Counters and gauges by name (`drops.ip.checksum`, `flows`, `syn_cache`), in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Statistics {
    pub counters: Vec<Counter>,
}

/// One of [`Statistics`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub name: String,
    pub value: u64,
}
