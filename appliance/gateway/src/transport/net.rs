//! The appliance's own network as a [`Transport`].

use std::{io, net::SocketAddr, time::Duration};

use net::control::FailReason;

use super::{Boxed, ConnectFault, Datagrams, Stream, Transport};
use crate::network::{self, ConnectError, Network};

impl Transport for Network {
    fn connect(&self, to: SocketAddr, deadline: Duration) -> Boxed<'_, Result<Stream, ConnectFault>> {
        Box::pin(async move {
            let opened =
                Network::connect(self, to, deadline).await.map_err(|error| fault(error, deadline))?;
            Ok(Stream { io: Box::new(opened.stream), local: opened.local, peer: to })
        })
    }

    fn udp(&self, to: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            let flow = Network::udp(self, to).await.map_err(io::Error::other)?;
            Ok(Box::new(flow) as Box<dyn Datagrams>)
        })
    }
}

impl Datagrams for network::Datagrams {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> Boxed<'a, io::Result<()>> {
        Box::pin(network::Datagrams::send(self, datagram))
    }

    fn recv<'a>(&'a self, into: &'a mut [u8]) -> Boxed<'a, io::Result<usize>> {
        Box::pin(async move {
            match network::Datagrams::recv(self, into).await? {
                // The flow was ended, such as by an ICMP error.
                0 => Err(io::ErrorKind::ConnectionReset.into()),
                len => Ok(len),
            }
        })
    }
}

fn fault(error: ConnectError, deadline: Duration) -> ConnectFault {
    match error {
        ConnectError::Failed(FailReason::Refused | FailReason::SegmentSize) => ConnectFault::Refused,
        ConnectError::Failed(FailReason::TimedOut) => ConnectFault::Timeout(deadline),
        ConnectError::Failed(
            FailReason::Unreachable { .. }
            | FailReason::NoNeighbour
            | FailReason::NoRoute
            | FailReason::BadAddress,
        ) => ConnectFault::Unreachable,
        ConnectError::Failed(FailReason::Limit | FailReason::NoPort | FailReason::ShuttingDown)
        | ConnectError::TooManyRequests
        | ConnectError::NetworkGone => ConnectFault::Ours(error.to_string()),
    }
}
