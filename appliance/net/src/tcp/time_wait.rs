//! Connections that we closed first and that are over (RFC 9293 §3.6.1): what is needed to answer for them.

use std::collections::{HashMap, VecDeque};

use smoltcp::time::{Duration, Instant};

use super::segment::{FourTuple, Segment, Seq};
use crate::secret::Key;

/// Entries; beyond them the oldest goes.
pub const ENTRIES_MAX: usize = 65_536;
/// Twice a maximum segment lifetime, as the Internet lives today.
pub const LASTS: Duration = Duration::from_secs(60);

/// Both sides' next numbers.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub our_next: Seq,
    pub peer_next: Seq,
    until: Instant,
}

/// What a segment for an ended connection gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An ACK of everything, again.
    Acknowledge,
    Ignore,
    /// A new connection of the same peer; ours starts beyond this number.
    Reopen(Seq),
}

/// The table.
#[derive(Debug)]
pub struct TimeWait {
    entries: HashMap<FourTuple, Ended, Key>,
    order: VecDeque<(Instant, FourTuple)>,
}

impl TimeWait {
    pub fn new(key: Key) -> TimeWait {
        TimeWait { entries: HashMap::with_hasher(key), order: VecDeque::new() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn contains(&self, tuple: &FourTuple) -> bool {
        self.entries.contains_key(tuple)
    }

    pub fn get(&self, tuple: &FourTuple) -> Option<Ended> {
        self.entries.get(tuple).copied()
    }

    pub fn insert(&mut self, now: Instant, tuple: FourTuple, our_next: Seq, peer_next: Seq) {
        let until = now + LASTS;
        self.entries.insert(tuple, Ended { our_next, peer_next, until });
        self.order.push_back((until, tuple));
        while self.order.len() > ENTRIES_MAX {
            self.drop_oldest();
        }
    }

    pub fn remove(&mut self, tuple: &FourTuple) {
        self.entries.remove(tuple);
    }

    /// Judges a segment. `None`: not in the table.
    pub fn judge(&self, segment: &Segment<'_>) -> Option<Verdict> {
        let ended = self.entries.get(&segment.tuple)?;
        Some(if segment.rst {
            Verdict::Ignore // RFC 1337 §3: a RST must not end TIME-WAIT early.
        } else if segment.syn && segment.ack.is_none() {
            // RFC 9293 §3.6.1 (MAY-2).
            if segment.seq > ended.peer_next { Verdict::Reopen(ended.our_next) } else { Verdict::Acknowledge }
        } else if segment.fin || !segment.payload.is_empty() {
            Verdict::Acknowledge
        } else {
            Verdict::Ignore
        })
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.order.front().map(|(when, _)| *when)
    }

    /// Lets go what is old enough.
    pub fn due(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(when, _)| *when <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((when, tuple)) = self.order.pop_front() else { return };
        // An entry made anew for the same connection has its own place in the order.
        if self.entries.get(&tuple).is_some_and(|ended| ended.until <= when) {
            self.entries.remove(&tuple);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;
    use smoltcp::wire::TcpSeqNumber;

    #[test]
    fn bounded_and_gone_after_a_minute() {
        let mut table = TimeWait::new(Random::new([0; 32]).key());
        let start = Instant::from_secs(1);
        let tuple = |n: u32| FourTuple {
            local: ([192, 0, 2, 1], 25).into(),
            peer: (std::net::Ipv4Addr::from(n), 9).into(),
        };
        for n in 0..ENTRIES_MAX as u32 + 10 {
            table.insert(start, tuple(n), TcpSeqNumber(1), TcpSeqNumber(2));
        }
        assert_eq!(table.len(), ENTRIES_MAX);
        assert!(!table.contains(&tuple(0)) && table.contains(&tuple(10)));
        table.due(start + Duration::from_secs(59));
        assert_eq!(table.len(), ENTRIES_MAX);
        table.due(start + LASTS);
        assert!(table.is_empty());
    }
}
