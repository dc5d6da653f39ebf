//! Packets with descriptors (`SCM_RIGHTS`) over a `SOCK_SEQPACKET` pair.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

pub use crate::status::ChannelError;

/// The most descriptors in one packet; a packet with more is malformed, and all of them are closed.
pub const FDS_MAX: usize = 4;

/// What [`recv_with_fds`] took.
#[derive(Debug)]
pub struct Packet {
    /// How many bytes of the buffer were filled; never 0.
    pub len: usize,
    /// In the order in which they were sent, each closed on exec; at most [`FDS_MAX`].
    pub fds: Vec<OwnedFd>,
}

/// Two connected, non-blocking ends, closed on exec.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends one packet and copies of `fds`, or nothing: `WouldBlock` means that there is no room.
///
/// Never blocks and never raises SIGPIPE. An empty packet cannot be told from a closed end, so that it is
/// refused as malformed, like one with more than [`FDS_MAX`] descriptors.
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
    if bytes.is_empty() || fds.len() > FDS_MAX {
        return Err(ChannelError::Malformed);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(ChannelError::Malformed);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            // The kernel counts descriptors in flight per user; the receiver has to take some first.
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => return Err(ChannelError::WouldBlock),
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(error) => return Err(ChannelError::Io(error.into())),
        }
    }
}

/// Takes one packet. Never blocks.
///
/// A packet longer than `buffer`, or with more than [`FDS_MAX`] descriptors, is malformed: it is gone, and
/// every descriptor that came with it is closed.
pub fn recv_with_fds(socket: impl AsFd, buffer: &mut [u8]) -> Result<Packet, ChannelError> {
    // The kernel installs as many descriptors as the space allows, and alignment may allow one more.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = loop {
        match net::recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(ChannelError::WouldBlock),
            Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(error) => return Err(ChannelError::Io(error.into())),
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) || fds.len() > FDS_MAX {
        return Err(ChannelError::Malformed);
    }
    if received.bytes == 0 {
        return Err(ChannelError::Closed);
    }
    Ok(Packet { len: received.bytes, fds })
}

impl From<ChannelError> for std::io::Error {
    fn from(error: ChannelError) -> std::io::Error {
        use std::io::ErrorKind;
        match error {
            ChannelError::WouldBlock => ErrorKind::WouldBlock.into(),
            ChannelError::Closed => ErrorKind::BrokenPipe.into(),
            ChannelError::Malformed => std::io::Error::new(ErrorKind::InvalidData, error),
            ChannelError::Io(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_and_descriptors_arrive_together() {
        let (a, b) = pair().unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        send_with_fds(&a, b"one", &[reader.as_fd()]).unwrap();
        send_with_fds(&a, b"two", &[]).unwrap();
        drop(reader);

        let mut buffer = [0; 16];
        let packet = recv_with_fds(&b, &mut buffer).unwrap();
        assert_eq!(&buffer[..packet.len], b"one");
        assert!(rustix::io::fcntl_getfd(&packet.fds[0]).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        writer.write_all(b"x").unwrap();
        let mut byte = [0];
        assert_eq!(rustix::io::read(&packet.fds[0], &mut byte).unwrap(), 1);

        let packet = recv_with_fds(&b, &mut buffer).unwrap();
        assert_eq!((&buffer[..packet.len], packet.fds.len()), (&b"two"[..], 0));
        assert!(matches!(recv_with_fds(&b, &mut buffer), Err(ChannelError::WouldBlock)));
        drop(a);
        assert!(matches!(recv_with_fds(&b, &mut buffer), Err(ChannelError::Closed)));
        assert!(matches!(send_with_fds(&b, b"x", &[]), Err(ChannelError::Closed)));
    }

    #[test]
    fn the_limit_holds_when_sending() {
        let (a, b) = pair().unwrap();
        let fds = [a.as_fd(); FDS_MAX + 1];
        assert!(matches!(send_with_fds(&a, b"x", &fds), Err(ChannelError::Malformed)));
        assert!(matches!(send_with_fds(&a, b"", &[]), Err(ChannelError::Malformed)));
        send_with_fds(&a, b"x", &fds[..FDS_MAX]).unwrap();
        let packet = recv_with_fds(&b, &mut [0; 1]).unwrap();
        assert_eq!(packet.fds.len(), FDS_MAX);
    }

    #[test]
    fn surplus_descriptors_and_bytes_are_refused_and_closed() {
        let (a, b) = pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let fds = [writer.as_fd(); FDS_MAX * 2];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX * 2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        net::sendmsg(&a, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        assert!(matches!(recv_with_fds(&b, &mut [0; 8]), Err(ChannelError::Malformed)));

        send_with_fds(&a, b"too long", &[writer.as_fd()]).unwrap();
        assert!(matches!(recv_with_fds(&b, &mut [0; 4]), Err(ChannelError::Malformed)));
        drop(writer);
        // Were one copy of the writing end still open, this would find the pipe empty but not ended.
        let mut byte = [0];
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 0);
    }
}
