//! The watchdog device: the machine resets when it is not fed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// An armed watchdog. Dropping it leaves it armed: only feeding keeps the machine up.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    timeout: Duration,
}

/// `_IOWR('W', 6, int)`.
const WDIOC_SETTIMEOUT: libc::c_ulong = 0xc004_5706;

impl Watchdog {
    /// Opens the device, which arms it, and asks for `timeout`, which a device may change.
    pub fn arm(path: &Path, timeout: Duration) -> io::Result<Watchdog> {
        let file = File::options().write(true).open(path)?;
        let asked = libc::c_int::try_from(timeout.as_secs()).unwrap_or(libc::c_int::MAX);
        let mut seconds = asked;
        // SAFETY: the request takes a pointer to an int, reads it and writes the accepted value back.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), WDIOC_SETTIMEOUT as _, &raw mut seconds) };
        // A device with a fixed time refuses; what it has is still a watchdog.
        let seconds = if done == 0 { seconds } else { asked };
        let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
        Ok(Watchdog { file, timeout })
    }

    /// How long the machine lives without being fed.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub fn feed(&mut self) -> io::Result<()> {
        // Any byte but 'V', which would disarm it.
        self.file.write_all(b".")
    }
}
