//! A UDP flow, connected to one peer.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::unix::AsyncFd;

use super::watched;

/// Datagrams to and from one peer; at most [`net::control::DATAGRAM_MAX`] bytes each.
#[derive(Debug)]
pub struct Datagrams {
    socket: AsyncFd<OwnedFd>,
    local: SocketAddr,
}

impl Datagrams {
    pub(super) fn new(fd: OwnedFd, local: SocketAddr) -> io::Result<Datagrams> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Datagrams { socket: watched(fd)?, local })
    }

    /// Our address and random port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends one datagram whole.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            let sent = ready.try_io(|fd| Ok(send(fd, datagram, SendFlags::NOSIGNAL)?));
            if let Ok(result) = sent {
                return result.map(|_| ());
            }
        }
    }

    /// Takes one datagram; 0 bytes mean that the flow has ended.
    pub async fn recv(&self, datagram: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.socket.readable().await?;
            let received = ready.try_io(|fd| Ok(recv(fd, &mut *datagram, RecvFlags::empty())?.1));
            if let Ok(result) = received {
                return result;
            }
        }
    }
}

impl AsRawFd for Datagrams {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
