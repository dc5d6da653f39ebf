//! Where frames come from and go to.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use smoltcp::wire::EthernetAddress;
use sys::frames::{Checksum, Frames};

use crate::link::outbox::Outbox;

/// The longest frame read: some NICs hand over 64 kB of a peer's segments as one.
const FRAME_MAX: usize = 65_535 + 18;

/// An Ethernet device with our address on its link.
#[derive(Debug)]
pub struct Device {
    kind: Kind,
    mac: EthernetAddress,
    mtu: usize,
}

#[derive(Debug)]
enum Kind {
    Tap { fd: OwnedFd, buffer: Box<[u8]> },
    Packet { frames: Frames, name: String },
}

impl Device {
    /// A TAP device, as [`sys::tap::open`] returns it. `mac` is ours, not that of the host's side; `mtu` the
    /// longest IP packet, of which at most 1,500 bytes are used.
    pub fn tap(fd: OwnedFd, mac: [u8; 6], mtu: u32) -> Device {
        let kind = Kind::Tap { fd, buffer: vec![0; FRAME_MAX].into_boxed_slice() };
        Device { kind, mac: EthernetAddress(mac), mtu: mtu as usize }
    }

    /// The interface `name` by its `AF_PACKET` socket, as [`sys::packet::open`] returns it.
    ///
    /// # Errors
    /// The kernel's, if it refuses what the socket is asked for.
    pub fn packet(socket: OwnedFd, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<Device> {
        let kind = Kind::Packet { frames: Frames::attach(socket)?, name: name.to_owned() };
        Ok(Device { kind, mac: EthernetAddress(mac), mtu: mtu as usize })
    }

    pub(super) fn mac(&self) -> EthernetAddress {
        self.mac
    }

    pub(super) fn mtu(&self) -> usize {
        self.mtu
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tap { fd, .. } => fd.as_fd(),
            Kind::Packet { frames, .. } => frames.as_fd(),
        }
    }

    /// Whether it has a carrier; `None` where that cannot be lost.
    pub(super) fn carrier(&self) -> Option<io::Result<bool>> {
        match &self.kind {
            Kind::Tap { .. } => None,
            Kind::Packet { frames, name } => Some(sys::link::has_carrier(frames, name)),
        }
    }

    /// Hands over at most `limit` frames; returns how many there were.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        mut take: impl FnMut(&[u8], Checksum),
    ) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Tap { fd, buffer } => {
                for taken in 0..limit {
                    match rustix::io::read(&*fd, &mut buffer[..]) {
                        Ok(len) => take(buffer.get(..len).unwrap_or_default(), Checksum::Unknown),
                        Err(Errno::AGAIN) => return Ok(taken),
                        Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(limit)
            }
            Kind::Packet { frames, .. } => frames.receive(limit, take),
        }
    }

    /// Sends what waits, as far as the device takes it.
    pub(super) fn send(&mut self, out: &mut Outbox) -> io::Result<()> {
        let mut sent = 0;
        match &self.kind {
            Kind::Tap { fd, .. } => {
                for frame in out.frames() {
                    match rustix::io::write(fd, frame) {
                        Err(Errno::AGAIN | Errno::NOBUFS) => break,
                        // The interface is down, or a frame is not to its taste: lost, as on a wire.
                        Ok(_) | Err(Errno::IO | Errno::INVAL | Errno::INTR) => sent += 1,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Kind::Packet { frames, .. } => sent = frames.send(out.frames())?,
        }
        out.sent(sent);
        Ok(())
    }
}
