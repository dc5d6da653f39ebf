//! An Ethernet interface as raw frames: an `AF_PACKET` socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `linux/if_packet.h`: frames that we send are not shown to us.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// Half of the memory that frames may hold that nobody has taken yet: the kernel counts its own share by doubling it.
/// About 1,800 full frames.
const QUEUE: libc::c_int = 2 << 20;

/// Opens the interface with the kernel's number `index`, which [`crate::link::set_up`] has let frames through. One
/// frame a read or write, non-blocking; closed on exec. Needs CAP_NET_RAW, and CAP_NET_ADMIN for its long queue.
pub fn open(index: u32) -> io::Result<OwnedFd> {
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain integers; a negative result is checked before it is taken for a descriptor.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, libc::c_int::from(protocol)) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, QUEUE)?;
    // SAFETY: all bytes zero are a valid value of this C struct.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = libc::c_int::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer is to a sockaddr_ll that lives through the call, and the length is its own.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn set(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to an int that lives through the call, and the length is its own.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
