//! Frames of an `AF_PACKET` socket through memory shared with the kernel (TPACKET_V3), and out in batches.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::frame_filter;

/// Bytes of a block: several frames of 64 kB, which a virtual NIC may hand over uncut.
const BLOCK: usize = 256 * 1024;
/// Blocks; together 4 MB.
const BLOCKS: usize = 16;
/// The kernel wants a frame size even where frames are of any size; it must divide the block.
const FRAME: usize = 2_048;
/// A block that is not full is handed over after so many milliseconds.
const RETIRE_MS: u32 = 1;
/// Frames sent by one call.
const BATCH: usize = 64;

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

/// The ring of one socket.
#[derive(Debug)]
pub struct PacketRing {
    socket: OwnedFd,
    base: NonNull<u8>,
    /// The block that is read, and where in it: the next frame's offset and how many are left.
    block: usize,
    within: Option<(usize, u32)>,
}

// SAFETY: the mapping is the ring's alone, and nothing in it belongs to a thread.
unsafe impl Send for PacketRing {}

impl PacketRing {
    /// Sets the ring up on a bound, non-blocking `AF_PACKET` socket, lets in only what may be for us (see
    /// [`frame_filter`]), and all groups of the link, since neighbour discovery uses many.
    pub fn attach(socket: OwnedFd) -> io::Result<PacketRing> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: FRAME as u32,
            tp_frame_nr: (BLOCK / FRAME * BLOCKS) as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh shared mapping of the ring that was just made, at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), BLOCK * BLOCKS, protection, MapFlags::SHARED, &socket, 0)?
        };
        let base: NonNull<u8> = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let ring = PacketRing { socket, base, block: 0, within: None };
        let interface = ring.interface()?;
        let [a, b, c, d, e, f, ..] = interface.sll_addr;
        frame_filter::attach(&ring.socket, [a, b, c, d, e, f])?;
        ring.join_all_groups(&interface)?;
        Ok(ring)
    }

    /// Hands over at most `limit` frames that have come; returns how many.
    pub fn receive(&mut self, limit: usize, mut take: impl FnMut(&[u8], Checksum)) -> usize {
        let mut taken = 0;
        while taken < limit {
            let Some((offset, left)) = self.within.or_else(|| self.open_block()) else { break };
            if left == 0 {
                self.close_block();
                continue;
            }
            let (frame, checksum, next) = self.frame(offset);
            take(frame, checksum);
            taken += 1;
            self.within = Some((next, left - 1));
        }
        if let Some((_, 0)) = self.within {
            self.close_block();
        }
        taken
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

    /// The current block, if the kernel has handed it over.
    fn open_block(&mut self) -> Option<(usize, u32)> {
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let header = self.block_field(offset_of!(libc::tpacket_hdr_v1, num_pkts));
        let first = self.block_field(offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt));
        let within = (first as usize, header);
        self.within = Some(within);
        Some(within)
    }

    fn close_block(&mut self) {
        self.within = None;
        // Everything was read before the kernel may write there again.
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.block = (self.block + 1) % BLOCKS;
    }

    fn start(&self) -> NonNull<u8> {
        // SAFETY: block < BLOCKS, so that it lies in the mapping.
        unsafe { self.base.add(self.block * BLOCK) }
    }

    /// The word by which kernel and we hand a block to each other.
    fn status(&self) -> &AtomicU32 {
        let offset =
            offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: inside the block, aligned to 4 as the block is to a page, only ever accessed atomically.
        unsafe { AtomicU32::from_ptr(self.start().add(offset).cast().as_ptr()) }
    }

    /// A word of the header of a block that is ours.
    fn block_field(&self, offset: usize) -> u32 {
        let offset = offset_of!(libc::tpacket_block_desc, hdr) + offset;
        // SAFETY: inside the block's header, aligned; the kernel leaves a block alone that is ours.
        unsafe { self.start().add(offset).cast::<u32>().read() }
    }

    /// The frame whose header is at `offset` of the current block, and where the next one's is.
    fn frame(&self, offset: usize) -> (&[u8], Checksum, usize) {
        let header_len = size_of::<libc::tpacket3_hdr>();
        let offset = offset.min(BLOCK - header_len) & !7;
        // SAFETY: the header lies inside the block, which is ours, and is aligned to 8.
        let header = unsafe { self.start().add(offset).cast::<libc::tpacket3_hdr>().read() };
        let start = (offset + usize::from(header.tp_mac)).min(BLOCK);
        let len = (header.tp_snaplen as usize).min(BLOCK - start);
        // SAFETY: start + len <= BLOCK; the block is ours until `close_block`, which the borrow of `self` bars.
        let frame = unsafe { std::slice::from_raw_parts(self.start().add(start).as_ptr(), len) };
        let known = header.tp_status & (TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID) != 0;
        let checksum = if known { Checksum::Trusted } else { Checksum::Unknown };
        (frame, checksum, offset + header.tp_next_offset as usize)
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

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: the mapping of `attach`; frames borrow `self`, so that none is in use.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), BLOCK * BLOCKS) };
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

    #[test]
    fn frames_pass_through_the_ring_of_a_loopback() {
        // In a network namespace of its own, so that there is no traffic but ours.
        // SAFETY: changes the namespace of this test's thread only.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
            eprintln!("skipped: a network namespace needs root");
            return;
        }
        crate::link::set_up("lo").unwrap();
        let open = || crate::packet::open(1).unwrap();
        let mut ring = PacketRing::attach(open()).unwrap();
        let sender = PacketRing::attach(open()).unwrap();
        let frame = |kind: u16, n: u32| {
            let mut frame = vec![0; 60];
            frame[12..14].copy_from_slice(&kind.to_be_bytes());
            frame[14..18].copy_from_slice(&n.to_be_bytes());
            frame
        };
        let kinds = [0x0800, 0x88cc, 0x86dd, 0x0806];
        let frames: Vec<_> = (0..1_000_u32).map(|n| frame(kinds[n as usize % 4], n)).collect();
        assert_eq!(sender.send(frames.iter().map(Vec::as_slice)).unwrap(), frames.len());
        let mut wanted = (0..1_000_u32).filter(|n| n % 4 != 1);
        let mut seen = 0;
        while seen < 750 {
            let mut wait = [rustix::event::PollFd::new(&ring, rustix::event::PollFlags::IN)];
            let second = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
            assert_ne!(rustix::event::poll(&mut wait, Some(&second)).unwrap(), 0, "frames came in time");
            seen += ring.receive(7, |frame, _| {
                assert_eq!(frame[14..18], wanted.next().unwrap().to_be_bytes());
                assert_eq!(frame.len(), 60);
            });
        }
        assert_eq!(ring.receive(7, |_, _| ()), 0);
    }
}
