//! Two hosts on a link that loses, delays, reorders, repeats and damages what passes.

use std::collections::BTreeMap;

use net::secret::Random;
use smoltcp::time::{Duration, Instant};
use sys::frames::Checksum;

use super::Host;

/// What the link does to a frame; chances in 1,000.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    pub lost: u32,
    pub repeated: u32,
    pub damaged: u32,
    pub truncated: u32,
    pub delay: Duration,
    /// Up to so much more, drawn for each frame: that is how frames overtake each other.
    pub jitter: Duration,
}

pub const PERFECT: Manners = Manners {
    lost: 0,
    repeated: 0,
    damaged: 0,
    truncated: 0,
    delay: Duration::from_millis(5),
    jitter: Duration::ZERO,
};

/// Two hosts and what is on its way between them.
pub struct Pair {
    pub hosts: [Host; 2],
    pub now: Instant,
    pub manners: Manners,
    random: Random,
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    serial: u64,
}

impl Pair {
    pub fn new(hosts: [Host; 2], now: Instant, manners: Manners, seed: u8) -> Pair {
        Pair { hosts, now, manners, random: Random::new([seed; 32]), flying: BTreeMap::new(), serial: 0 }
    }

    /// Moves to the next moment at which something happens, at most `end`. `false`: that is `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        self.launch();
        let landing = self.flying.first_key_value().map(|((when, _), _)| *when);
        let now = self.now;
        let due = self.hosts.iter_mut().filter_map(|host| host.stack.next_due(now)).min();
        let next = [landing, due].into_iter().flatten().min().unwrap_or(end).max(now);
        if next >= end {
            self.now = end;
            return false;
        }
        self.now = next;
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= next) {
            let (to, frame) = entry.remove();
            self.hosts[to].stack.frame_in(next, &frame, Checksum::Unknown);
        }
        self.hosts.iter_mut().for_each(|host| host.settle(next));
        self.launch();
        true
    }

    fn launch(&mut self) {
        for from in 0..2 {
            for frame in self.hosts[from].frames() {
                let chance = |random: &mut Random, of: u32| random.below(1_000) < of;
                if chance(&mut self.random, self.manners.lost) {
                    continue;
                }
                let copies = 1 + u32::from(chance(&mut self.random, self.manners.repeated));
                for _ in 0..copies {
                    let mut frame = frame.clone();
                    if chance(&mut self.random, self.manners.damaged) {
                        let at = self.random.below(frame.len() as u32) as usize;
                        frame[at] ^= 1 << self.random.below(8);
                    }
                    if chance(&mut self.random, self.manners.truncated) {
                        frame.truncate(self.random.below(frame.len() as u32) as usize);
                    }
                    let jitter = self.random.below(self.manners.jitter.total_micros() as u32 + 1);
                    let when = self.now + self.manners.delay + Duration::from_micros(u64::from(jitter));
                    self.serial += 1;
                    self.flying.insert((when, self.serial), (1 - from, frame));
                }
            }
        }
    }
}
