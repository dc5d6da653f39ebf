//! The guest's serial console: kept, shown while it comes, and waited on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much of the console is kept, in bytes; what comes after is shown but not kept.
pub const CONSOLE_MAX: usize = 4 << 20;

/// What the guest wrote so far; every copy sees the same.
#[derive(Debug, Clone, Default)]
pub struct Console(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    ended: bool,
}

impl Console {
    /// Reads `stream` in a thread of its own until it ends, and copies it to `show`.
    pub(super) fn read(mut stream: UnixStream, mut show: Option<Box<dyn Write + Send>>) -> Self {
        let console = Console::default();
        let written = console.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                written.append(&buffer[..count]);
                if let Some(show) = &mut show {
                    // Nobody looks any more: the guest goes on.
                    let _ = show.write_all(&buffer[..count]).and_then(|()| show.flush());
                }
            }
            written.state().ended = true;
            written.0.1.notify_all();
        });
        console
    }

    /// Waits until `text` was written; `false` when it was not within `within`, or the guest ended first.
    pub fn wait_for(&self, text: &str, within: Duration) -> bool {
        self.wait(within, |state| contains(&state.text, text.as_bytes()))
    }

    /// Waits until the other end is closed, which QEMU does when it ends.
    pub fn wait_for_end(&self, within: Duration) -> bool {
        self.wait(within, |state| state.ended)
    }

    /// Waits until an SMTP server greets at `address`, where the guest's port is; its greeting's first line,
    /// or `None` when there was none within `within` or the guest ended first.
    pub fn wait_for_banner(&self, address: SocketAddr, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        // QEMU takes the connection for the guest at once, and offers it to the guest at growing intervals: a
        // fresh attempt is heard sooner than an old one. A slow machine gets its time by and by.
        let mut patience = GREETING_MIN;
        while Instant::now() < deadline {
            if let Some(line) = banner(address, patience) {
                return Some(line);
            }
            patience = (patience * 11 / 10).min(GREETING_MAX);
            // A refusal is immediate: without a pause this would be a busy loop.
            if self.wait_for_end(RETRY) {
                return None;
            }
        }
        None
    }

    /// Everything kept.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.state().text).into_owned()
    }

    fn wait(&self, within: Duration, done: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + within;
        let mut state = self.state();
        loop {
            if done(&state) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return false;
            }
            state = self.0.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn append(&self, bytes: &[u8]) {
        let mut state = self.state();
        let room = CONSOLE_MAX.saturating_sub(state.text.len());
        state.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        drop(state);
        self.0.1.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Appending cannot stop half-way, so a poisoned state is whole.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt.
fn banner(address: SocketAddr, patience: Duration) -> Option<String> {
    let stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    // Polite to a server that counts connections which say nothing.
    let _ = (&stream).write_all(b"QUIT\r\n");
    line.starts_with("220").then(|| line.trim_end().to_owned())
}

/// How long the first attempt at a greeting may take, and how long any.
const GREETING_MIN: Duration = Duration::from_millis(250);
const GREETING_MAX: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn text_is_found_across_reads() {
        let (mut guest, host) = UnixStream::pair().unwrap();
        let console = Console::read(host, None);
        guest.write_all(b"log").unwrap();
        assert!(console.wait_for("log", SOON));
        guest.write_all(b"ical").unwrap();
        assert!(console.wait_for("logical", SOON));
    }

    #[test]
    fn the_end_ends_the_wait() {
        let (guest, host) = UnixStream::pair().unwrap();
        let console = Console::read(host, None);
        drop(guest);
        assert!(console.wait_for_end(SOON));
        assert!(!console.wait_for("never", SOON));
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let (mut guest, host) = UnixStream::pair().unwrap();
        let console = Console::read(host, None);
        let block = vec![b'x'; 1 << 20];
        for _ in 0..5 {
            guest.write_all(&block).unwrap();
        }
        drop(guest);
        assert!(console.wait_for_end(SOON));
        assert_eq!(console.text().len(), CONSOLE_MAX);
    }
}
