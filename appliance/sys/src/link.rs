//! Network interfaces by name.

use std::io;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Lets frames through. Needs CAP_NET_ADMIN.
pub fn set_up(name: &str) -> io::Result<()> {
    // Any socket takes requests about interfaces; this kind exists in every kernel of ours.
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = Request { name: [0; libc::IFNAMSIZ], flags: 0, _rest: [0; 22] };
    match request.name.get_mut(..name.len()) {
        Some(place) if name.len() < libc::IFNAMSIZ => place.copy_from_slice(name.as_bytes()),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "the interface's name is too long")),
    }
    // SAFETY: both requests take a `struct ifreq`, which `request` has the layout and size of; the first writes it.
    unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) != 0 {
            return Err(io::Error::last_os_error());
        }
        request.flags |= libc::IFF_UP as libc::c_short;
        match libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// `struct ifreq` with flags.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    _rest: [u8; 22],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_kernels_size_and_bad_names_are_errors() {
        assert_eq!(size_of::<Request>(), size_of::<libc::ifreq>());
        assert!(set_up("a-name-that-is-too-long").is_err());
        assert!(set_up("no-such").is_err());
    }
}
