//! A TAP device: an Ethernet port whose other side is this program.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// The longest name of a network device, in bytes (`IFNAMSIZ` less its end).
const NAME_MAX: usize = 15;

/// `struct ifreq`, with the flags of `TUNSETIFF`.
#[repr(C)]
struct Request {
    name: [u8; NAME_MAX + 1],
    flags: libc::c_short,
    _rest: [u8; 22],
}

/// Attaches to the TAP device `name`, and makes it if the caller may and it is not there.
///
/// One `read` takes one frame, one `write` sends one; non-blocking, closed on exec, no packet information.
///
/// # Errors
/// A name that is empty or longer than 15 bytes is `InvalidInput`; the rest is the kernel's.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    if name.is_empty() || name.len() > NAME_MAX || name.bytes().any(|byte| byte == 0 || byte == b'/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} cannot name a device")));
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    let mut request = Request { name: [0; NAME_MAX + 1], flags: 0, _rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    request.flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, whose size and layout `Request` has.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_is_refused() {
        for name in ["", "a/b", "a-name-that-is-too-long"] {
            assert_eq!(open(name).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn the_request_has_the_kernels_size() {
        assert_eq!(size_of::<Request>(), size_of::<libc::ifreq>());
    }
}
