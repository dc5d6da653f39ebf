//! Frames of an `AF_PACKET` socket, in batches both ways.
//!
//! Received by `recvmmsg`, not through a ring: TPACKET_V3 hands a block over when it is full or a timer of one or two
//! jiffies runs out, for which a lone frame would wait; the frames of TPACKET_V2 are of one size, and come no sooner
//! than these.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::frame_filter;

/// The longest frame: a virtual NIC hands over 64 kB of a peer's segments as one.
const FRAME_MAX: usize = 65_535 + 18;
/// Frames received or sent by one call.
const BATCH: usize = 64;
/// Whole pages for each, so that those that short frames leave alone are never there.
const ROOM: usize = FRAME_MAX.next_multiple_of(4_096);

/// `linux/if_packet.h`.
const TP_STATUS_CSUMNOTREADY: u32 = 1 << 3;
const TP_STATUS_CSUM_VALID: u32 = 1 << 7;

/// What is known of the checksum inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// Not looked at, or not in a way that says anything.
    Unknown,
    /// Checked by the NIC, or not filled in because the frame never left the machine.
    Trusted,
}

/// A socket, and room for a batch of frames.
#[derive(Debug)]
pub struct Frames {
    socket: OwnedFd,
    room: Box<[u8]>,
}

/// What the kernel says beside a frame.
#[repr(C)]
struct Beside {
    header: libc::cmsghdr,
    status: libc::tpacket_auxdata,
}

impl Frames {
    /// Takes a bound, non-blocking `AF_PACKET` socket, lets in only what may be for us (see [`frame_filter`]), and all
    /// groups of the link, since neighbour discovery uses many.
    pub fn attach(socket: OwnedFd) -> io::Result<Frames> {
        set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
        let frames = Frames { socket, room: vec![0; BATCH * ROOM].into_boxed_slice() };
        let interface = frames.interface()?;
        let [a, b, c, d, e, f, ..] = interface.sll_addr;
        frame_filter::attach(&frames.socket, [a, b, c, d, e, f])?;
        frames.join_all_groups(&interface)?;
        Ok(frames)
    }

    /// Hands over at most `limit` frames that have come; returns how many. Fewer than `limit`: no more are there.
    pub fn receive(&mut self, limit: usize, mut take: impl FnMut(&[u8], Checksum)) -> io::Result<usize> {
        let mut taken = 0;
        while taken < limit {
            let wanted = BATCH.min(limit - taken);
            match self.receive_batch(wanted, &mut take) {
                Ok(count) => {
                    taken += count;
                    if count < wanted {
                        break;
                    }
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => break,
                    // The interface was set down: said once, and nothing of ours to mend.
                    Some(libc::EINTR | libc::ENETDOWN) => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(taken)
    }

    fn receive_batch(&mut self, wanted: usize, take: &mut impl FnMut(&[u8], Checksum)) -> io::Result<usize> {
        // SAFETY: all bytes zero are a valid value of each of these C structs.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: the same.
        let mut slices: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: the same.
        let mut beside: [Beside; BATCH] = unsafe { std::mem::zeroed() };
        let parts = messages.iter_mut().zip(&mut slices).zip(&mut beside).zip(self.room.chunks_mut(ROOM));
        for (((message, slice), beside), room) in parts.take(wanted) {
            *slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            message.msg_hdr.msg_iov = slice;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = std::ptr::from_mut(beside).cast();
            message.msg_hdr.msg_controllen = size_of::<Beside>() as _;
        }
        let count = wanted.min(BATCH) as libc::c_uint;
        let (socket, flags) = (self.socket.as_raw_fd(), libc::MSG_DONTWAIT as _);
        // SAFETY: `messages` holds at least `count` headers, each with a slice of `room` and a `Beside` of its own, of
        // the lengths that it names; all live through the call.
        let got =
            unsafe { libc::recvmmsg(socket, messages.as_mut_ptr(), count, flags, std::ptr::null_mut()) };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        let frames = messages.iter().zip(&beside).zip(self.room.chunks(ROOM));
        for ((message, beside), room) in frames.take(got) {
            // One that is longer than any can be is cut, and refused further on by what its header says.
            let frame = room.get(..message.msg_len as usize).unwrap_or(room);
            take(frame, beside.checksum(message.msg_hdr.msg_controllen));
        }
        Ok(got)
    }

    /// Sends frames, in order, until the device is full; returns how many it took.
    ///
    /// A frame that it refuses counts as taken: it is lost, as on a wire.
    pub fn send<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let mut frames = frames.peekable();
        let mut sent = 0;
        while frames.peek().is_some() {
            let batch: Vec<&[u8]> = frames.by_ref().take(BATCH).collect();
            let mut done = 0;
            while done < batch.len() {
                match self.send_batch(&batch[done..]) {
                    Ok(count) => done += count.max(1),
                    Err(error) => match error.raw_os_error() {
                        Some(libc::EAGAIN | libc::ENOBUFS) => return Ok(sent + done),
                        Some(libc::EINTR) => {}
                        Some(libc::EMSGSIZE | libc::EINVAL | libc::ENETDOWN) => done += 1,
                        _ => return Err(error),
                    },
                }
            }
            sent += done;
        }
        Ok(sent)
    }

    fn send_batch(&self, frames: &[&[u8]]) -> io::Result<usize> {
        let slice =
            |frame: &&[u8]| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        let mut slices: Vec<libc::iovec> = frames.iter().map(slice).collect();
        let message = |slice: &mut libc::iovec| {
            // SAFETY: all bytes zero are a valid value of this C struct.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = slice;
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        let mut messages: Vec<libc::mmsghdr> = slices.iter_mut().map(message).collect();
        let count = messages.len() as libc::c_uint;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: `messages` holds `count` headers, each with one slice of `slices`, which point at `frames`;
        // all live through the call, and the kernel only reads the bytes.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), count, flags as _) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn join_all_groups(&self, interface: &libc::sockaddr_ll) -> io::Result<()> {
        let membership = libc::packet_mreq {
            mr_ifindex: interface.sll_ifindex,
            mr_type: libc::PACKET_MR_ALLMULTI as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(&self.socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
    }

    /// The interface that the socket is bound to.
    fn interface(&self) -> io::Result<libc::sockaddr_ll> {
        // SAFETY: all bytes zero are a valid value of this C struct.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointer is to a sockaddr_ll that lives through the call, and `len` is its size.
        let done =
            unsafe { libc::getsockname(self.socket.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(address) }
    }
}

impl Beside {
    /// What it says of the checksum, if the kernel wrote so many bytes of it.
    fn checksum(&self, written: usize) -> Checksum {
        let whole = written >= std::mem::offset_of!(Beside, status) + size_of::<libc::tpacket_auxdata>();
        let kind = (self.header.cmsg_level, self.header.cmsg_type);
        let known = self.status.tp_status & (TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID) != 0;
        if whole && kind == (libc::SOL_PACKET, libc::PACKET_AUXDATA) && known {
            Checksum::Trusted
        } else {
            Checksum::Unknown
        }
    }
}

impl AsFd for Frames {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(crate) fn set<T>(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a value that lives through the call, and the length is its own.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sockets on the loopback of a namespace of its own, so that there is no traffic but ours.
    fn loopback() -> Option<(Frames, Frames)> {
        // SAFETY: changes the namespace of this test's thread only.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
            eprintln!("skipped: a network namespace needs root");
            return None;
        }
        crate::link::set_up("lo").unwrap();
        let open = || Frames::attach(crate::packet::open(1).unwrap()).unwrap();
        Some((open(), open()))
    }

    fn frame(kind: u16, n: u32, len: usize) -> Vec<u8> {
        let mut frame = vec![0; len];
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        frame[14..18].copy_from_slice(&n.to_be_bytes());
        frame[len - 1] = n as u8;
        frame
    }

    fn wait(receiver: &Frames) {
        let mut wait = [rustix::event::PollFd::new(receiver, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
        assert_ne!(rustix::event::poll(&mut wait, Some(&patience)).unwrap(), 0, "frames came in time");
    }

    #[test]
    fn frames_pass_in_order_and_whole() {
        let Some((mut receiver, sender)) = loopback() else { return };
        let kinds = [0x0800, 0x88cc, 0x86dd, 0x0806];
        let len = |n: u32| if n.is_multiple_of(100) { 65_000 } else { 60 };
        let frames: Vec<_> = (0..500_u32).map(|n| frame(kinds[n as usize % 4], n, len(n))).collect();
        assert_eq!(sender.send(frames.iter().map(Vec::as_slice)).unwrap(), frames.len());
        let mut wanted = frames.iter().enumerate().filter(|(n, _)| n % 4 != 1).map(|(_, frame)| frame);
        let mut seen = 0;
        for limit in [1, 7, 64, 100].into_iter().cycle() {
            wait(&receiver);
            let got = receiver.receive(limit, |frame, _| assert!(frame == wanted.next().unwrap())).unwrap();
            assert!(got <= limit);
            seen += got;
            if seen == 375 {
                break;
            }
        }
        assert_eq!(receiver.receive(7, |_, _| ()).unwrap(), 0);
    }

    #[test]
    fn frames_of_another_vlan_are_not_ours() {
        let Some((mut receiver, sender)) = loopback() else { return };
        // IEEE 802.1Q: an id of 0 is a priority alone.
        let tagged = |tag: u16, n: u32| {
            let mut frame = frame(0x8100, 0, 60);
            frame[14..16].copy_from_slice(&tag.to_be_bytes());
            frame[16..18].copy_from_slice(&[0x08, 0x06]);
            frame[18..22].copy_from_slice(&n.to_be_bytes());
            frame
        };
        let frames = [tagged(5, 1), tagged(0xe000, 2), tagged(0xe00a, 3), frame(0x0806, 4, 60)];
        assert_eq!(sender.send(frames.iter().map(Vec::as_slice)).unwrap(), 4);
        let mut seen = Vec::new();
        while seen.len() < 2 {
            wait(&receiver);
            receiver.receive(64, |frame, _| seen.push(frame[17])).unwrap();
        }
        assert_eq!(seen, [2, 4]);
    }

    #[test]
    fn what_is_said_of_a_checksum_is_read() {
        // SAFETY: all bytes zero are a valid value of this C struct.
        let mut beside: Beside = unsafe { std::mem::zeroed() };
        let whole = size_of::<Beside>();
        beside.status.tp_status = TP_STATUS_CSUM_VALID;
        assert_eq!(beside.checksum(whole), Checksum::Unknown, "of another kind");
        (beside.header.cmsg_level, beside.header.cmsg_type) = (libc::SOL_PACKET, libc::PACKET_AUXDATA);
        assert_eq!(beside.checksum(whole), Checksum::Trusted);
        assert_eq!(beside.checksum(size_of::<libc::cmsghdr>()), Checksum::Unknown, "cut short");
        beside.status.tp_status = TP_STATUS_CSUMNOTREADY;
        assert_eq!(beside.checksum(whole), Checksum::Trusted);
        beside.status.tp_status = 1;
        assert_eq!(beside.checksum(whole), Checksum::Unknown);
    }
}
