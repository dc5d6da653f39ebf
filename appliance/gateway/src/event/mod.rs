//! What happened, said once: each event has a kind from one list, and goes to the store's log.

mod kind;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::log::Event;
use store::{SessionId, Store};

use crate::clock::Clock;

pub use kind::Kind;

/// The one place that records events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    store: Store,
    clock: Clock,
    sessions: Arc<AtomicU64>,
}

/// Sessions numbered within one second of the clock before numbers run into the next one's: 2^20.
const SESSION_BITS: u32 = 20;

impl Events {
    pub fn new(store: Store, clock: Clock) -> Events {
        // By the clock, so that numbers of earlier runs are not used again.
        let first = clock.now().unix_seconds() << SESSION_BITS;
        Events { store, clock, sessions: Arc::new(AtomicU64::new(first)) }
    }

    /// An event of `kind` that happens now, to be completed and given to [`record`](Self::record).
    pub fn event(&self, kind: Kind) -> Event {
        Event::new(self.clock.now(), kind.name())
    }

    /// Writes `event` to the log. Never waits: where the log cannot keep up, the store drops and counts.
    pub fn record(&self, event: Event) {
        self.store.event(escaped(event));
    }

    /// A number for a new session, never used before.
    pub fn next_session(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed))
    }
}

/// What would let a peer write lines of its own into a log, or turn the reading direction around.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || c == '\\'
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// `event` as it may be logged: nothing in its values is taken literally by a log line, a terminal or a page.
/// For those events that are committed with something else; [`Events::record`] does it by itself.
pub fn escaped(mut event: Event) -> Event {
    for (_, value) in &mut event.fields {
        if value.contains(needs_escape) {
            *value = escape(value).into_boxed_str();
        }
    }
    event
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if needs_escape(c) {
            write!(out, "{}", c.escape_default()).expect("a String takes every write");
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(
            escape("a\r\nsmtp.accepted \u{202E}x\\n\u{1b}[0m"),
            "a\\r\\nsmtp.accepted \\u{202e}x\\\\n\\u{1b}[0m"
        );
        assert_eq!(escape("jürgen@bücher.example"), "jürgen@bücher.example");
    }
}
