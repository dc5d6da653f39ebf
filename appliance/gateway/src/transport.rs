//! How the gateway reaches the network: streams and connected datagram flows that somebody else opens.
//!
//! The appliance hands in the client half of `net`; tests hand in memory or loopback. Nothing here opens a socket.

use std::{fmt, future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

/// A future that a trait object returns.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a stream can do: read and write bytes, from any thread.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// An open connection.
pub struct Stream {
    pub io: Box<dyn ByteStream>,
    /// Our end, as the peer sees it when no translation stands between.
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("local", &self.local).field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Why no connection was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFault {
    #[error("the connection was refused")]
    Refused,
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the network or host cannot be reached")]
    Unreachable,
    #[error("this appliance cannot connect: {0}")]
    Ours(String),
}

/// A connected flow of datagrams, received only from the one peer.
pub trait Datagrams: Send + Sync {
    /// Sends one datagram whole.
    fn send<'a>(&'a self, datagram: &'a [u8]) -> Boxed<'a, io::Result<()>>;
    /// Receives one datagram; what does not fit is cut off.
    fn recv<'a>(&'a self, into: &'a mut [u8]) -> Boxed<'a, io::Result<usize>>;
}

/// The network as the gateway sees it.
pub trait Transport: Send + Sync + 'static {
    /// Opens a TCP connection; fails after `deadline` at the latest.
    fn connect(&self, to: SocketAddr, deadline: Duration) -> Boxed<'_, Result<Stream, ConnectFault>>;
    /// Opens a flow from a fresh random port.
    fn udp(&self, to: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Datagrams>>>;
}

#[cfg(test)]
pub(crate) mod memory;
mod net;
mod nowhere;

pub use nowhere::Nowhere;
