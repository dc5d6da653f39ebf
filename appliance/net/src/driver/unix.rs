//! The gateway's ends as Unix sockets.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType};

use crate::control::FlowId;
use crate::tcp::ends::{Datagrams, Delivered, Ends, Sent, Stream, Taken};

/// Bytes that wait between us and the gateway, each way; beyond it the advertised window closes.
const SOCKET_BUFFER: usize = 64 * 1024;

/// Makes pairs of sockets, and has ours watched.
#[derive(Debug)]
pub(super) struct UnixEnds {
    epoll: Rc<OwnedFd>,
}

/// Our end of a stream; closed when dropped.
#[derive(Debug)]
pub(super) struct UnixStream(OwnedFd);

/// Our end of a UDP flow.
#[derive(Debug)]
pub(super) struct UnixDatagrams(OwnedFd);

impl UnixEnds {
    pub(super) fn new(epoll: Rc<OwnedFd>) -> UnixEnds {
        UnixEnds { epoll }
    }

    /// Our end and the gateway's; `None` when the kernel has no more.
    fn pair(&mut self, kind: SocketType, flow: FlowId) -> Option<(OwnedFd, OwnedFd)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None).ok()?;
        for end in [&ours, &theirs] {
            rustix::net::sockopt::set_socket_send_buffer_size(end, SOCKET_BUFFER).ok()?;
        }
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&*self.epoll, &ours, EventData::new_u64(flow.0), edges).ok()?;
        Some((ours, theirs))
    }
}

impl Ends for UnixEnds {
    type Stream = UnixStream;
    type Datagrams = UnixDatagrams;
    type Passed = OwnedFd;

    fn stream(&mut self, flow: FlowId) -> Option<(UnixStream, OwnedFd)> {
        let (ours, theirs) = self.pair(SocketType::STREAM, flow)?;
        Some((UnixStream(ours), theirs))
    }

    fn datagrams(&mut self, flow: FlowId) -> Option<(UnixDatagrams, OwnedFd)> {
        let (ours, theirs) = self.pair(SocketType::SEQPACKET, flow)?;
        Some((UnixDatagrams(ours), theirs))
    }
}

impl Stream for UnixStream {
    fn deliver(&mut self, bytes: &[u8]) -> Delivered {
        match rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => Delivered::Took(count),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Delivered::Took(0),
            Err(_) => Delivered::Gone,
        }
    }

    fn take(&mut self, room: &mut [u8]) -> Taken {
        take(&self.0, room)
    }

    fn finish(&mut self) {
        // An end that is gone needs no telling.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Write);
    }
}

impl Datagrams for UnixDatagrams {
    fn deliver(&mut self, datagram: &[u8]) -> Sent {
        match rustix::net::send(&self.0, datagram, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => Sent::Took,
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Sent::Gone,
            Err(_) => Sent::Full,
        }
    }

    fn take(&mut self, room: &mut [u8]) -> Taken {
        take(&self.0, room)
    }
}

fn take(fd: &OwnedFd, room: &mut [u8]) -> Taken {
    if room.is_empty() {
        return Taken::Nothing;
    }
    loop {
        return match rustix::net::recv(fd, &mut *room, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Taken::End,
            Ok((count, _)) => Taken::Bytes(count),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Taken::Nothing,
            Err(_) => Taken::Aborted,
        };
    }
}
