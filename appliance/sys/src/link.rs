//! Network interfaces by name.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Lets frames through. Needs CAP_NET_ADMIN.
pub fn set_up(name: &str) -> io::Result<()> {
    // Any socket takes requests about interfaces; this kind exists in every kernel of ours.
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = flags(&socket, name)?;
    request.flags |= libc::IFF_UP as libc::c_short;
    // SAFETY: it takes a `struct ifreq`, which `request` has the layout and size of.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether frames get anywhere: it is up, and its driver reports a carrier or cannot tell. One that is gone has none.
/// Asked by any socket.
pub fn has_carrier(socket: impl AsFd, name: &str) -> io::Result<bool> {
    match flags(socket, name) {
        Ok(request) => Ok(request.flags & libc::IFF_RUNNING as libc::c_short != 0),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
        Err(error) => Err(error),
    }
}

fn flags(socket: impl AsFd, name: &str) -> io::Result<Request> {
    let mut request = Request { name: [0; libc::IFNAMSIZ], flags: 0, _rest: [0; 22] };
    match request.name.get_mut(..name.len()) {
        Some(place) if name.len() < libc::IFNAMSIZ => place.copy_from_slice(name.as_bytes()),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "the interface's name is too long")),
    }
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: it writes a `struct ifreq`, which `request` has the layout and size of.
    match unsafe { libc::ioctl(socket, libc::SIOCGIFFLAGS as _, &raw mut request) } {
        0 => Ok(request),
        _ => Err(io::Error::last_os_error()),
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
    fn an_interface_that_is_set_up_has_a_carrier() {
        // SAFETY: changes the namespace of this test's thread only.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
            eprintln!("skipped: a network namespace needs root");
            return;
        }
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(!has_carrier(&socket, "lo").unwrap());
        set_up("lo").unwrap();
        assert!(has_carrier(&socket, "lo").unwrap());
    }

    #[test]
    fn the_request_has_the_kernels_size_and_bad_names_are_errors() {
        assert_eq!(size_of::<Request>(), size_of::<libc::ifreq>());
        assert!(set_up("a-name-that-is-too-long").is_err());
        assert!(set_up("no-such").is_err());
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(has_carrier(&socket, "a-name-that-is-too-long").is_err());
        assert!(!has_carrier(&socket, "no-such").unwrap());
    }
}
