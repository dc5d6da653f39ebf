//! A network that leads nowhere, for programs that only receive.

use std::{io, net::SocketAddr, time::Duration};

use super::{Boxed, ConnectFault, Datagrams, Stream, Transport};

/// Nothing can be reached over it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Transport for Nowhere {
    fn connect(&self, _: SocketAddr, _: Duration) -> Boxed<'_, Result<Stream, ConnectFault>> {
        Box::pin(async { Err(ConnectFault::Unreachable) })
    }

    fn udp(&self, _: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async { Err(io::ErrorKind::NetworkUnreachable.into()) })
    }
}
