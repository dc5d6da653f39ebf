//! The load: smtp-source sends, smtp-sink takes and counts.

use std::{
    io::Read,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::lab::{self, HOST, Lab, text};

/// The sink's port.
pub(crate) const SINK: u16 = 2526;
/// Octets of a message.
const SIZE: &str = "20000";
/// A round that moves nothing for so long has failed.
const STALLED: Duration = Duration::from_secs(60);

/// A next hop that counts.
pub(crate) struct Sink {
    child: Child,
    taken: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn start(lab: &Lab) -> Sink {
        let mut command = lab.command("smtp-sink");
        command.args(["-u", "nobody", "-c", &format!("{HOST}:{SINK}"), "1000"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let taken = Arc::new(AtomicU64::new(0));
        let counter = taken.clone();
        // It writes the number and a CR after each message.
        thread::spawn(move || {
            let (mut buffer, mut digits) = ([0; 4096], String::new());
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                for &octet in &buffer[..count] {
                    if octet.is_ascii_digit() {
                        digits.push(char::from(octet));
                    } else if let Ok(number) = std::mem::take(&mut digits).parse() {
                        counter.store(number, Ordering::Relaxed);
                    }
                }
            }
        });
        lab.wait_for_port(SINK);
        Sink { child, taken }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        lab::kill_tree(self.child.id());
        let _ = self.child.wait();
    }
}

/// What a round came to.
pub(crate) struct Round {
    /// Until the last message was accepted, and until the last was delivered.
    pub(crate) accepted: Duration,
    pub(crate) delivered: Duration,
}

/// Sends `messages` to `server` over so many connections, a connection for each message, and waits until the sink has
/// them all.
pub(crate) fn round(lab: &Lab, sink: &Sink, server: &str, connections: u32, messages: u32) -> Round {
    let before = sink.taken.load(Ordering::Relaxed);
    let begin = Instant::now();
    let sent = lab
        .command("smtp-source")
        .args(["-s", &connections.to_string(), "-m", &messages.to_string(), "-l", SIZE])
        .args(["-f", "sender@example.net", "-t", "user@example.com", server])
        .output()
        .unwrap();
    let accepted = begin.elapsed();
    assert!(sent.status.success(), "{}", text(&sent));
    let (mut moved, mut count) = (Instant::now(), before);
    while count < before + u64::from(messages) {
        assert!(moved.elapsed() < STALLED, "{} of {messages} delivered", count - before);
        thread::sleep(Duration::from_millis(2));
        let now = sink.taken.load(Ordering::Relaxed);
        if now > count {
            (moved, count) = (Instant::now(), now);
        }
    }
    Round { accepted, delivered: begin.elapsed() }
}
