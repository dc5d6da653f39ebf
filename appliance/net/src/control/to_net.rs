//! From the gateway to `net`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Configure;

/// What the gateway asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNet {
    /// The first message; see [`super::VERSION`].
    Hello { version: u16 },
    /// Addresses, routers, limits. The first one starts the network; a later one replaces it: flows of
    /// addresses that are gone are reset. Answered by [`super::FromNet::Ready`] when an address can be used,
    /// and again whenever the addresses change.
    Configure(Box<Configure>),
    /// Take connections to a port. The gateway chooses the id; one already in use is rejected.
    Listen {
        id: ListenerId,
        /// `None`: every address that is ours, now or later.
        address: Option<IpAddr>,
        port: u16,
        limits: ListenLimits,
    },
    /// No new connections; those accepted live on.
    Unlisten { id: ListenerId },
    /// Open a TCP connection. Answered by `Connected` or `Failed` with the same id.
    Connect {
        id: RequestId,
        to: SocketAddr,
        /// Our address to use; `None`: chosen by the family and scope of `to`.
        from: Option<IpAddr>,
        /// Milliseconds until it fails with `TimedOut`; at most the deadline of SYN-SENT.
        deadline_ms: u32,
    },
    /// Open a UDP flow that is connected to one peer. Answered by `UdpOpen` or `Failed`.
    Udp { id: RequestId, to: SocketAddr },
    /// How much the flow may buffer.
    Class { flow: FlowId, class: Class },
    /// End a flow by a RST, now.
    Reset { flow: FlowId },
    /// Answered by [`super::FromNet::Stats`].
    Stats,
}

/// A listener, numbered by the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListenerId(pub u32);

/// A `Connect` or `Udp` that waits for its answer, numbered by the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u32);

/// A connection or UDP flow, numbered by `net`; never given twice in one run of `net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FlowId(pub u64);

/// What one listener may have beside the limits for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ListenLimits {
    /// Connections of this listener; `None`: only the limit for all counts.
    pub connections: Option<u32>,
}

/// What a flow is used for at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Class {
    /// Commands and replies: a receive window of 16 kB.
    #[default]
    Interactive,
    /// DATA or BDAT: up to 256 kB while the memory budget allows, and a longer deadline for a closed window.
    Bulk,
}
