//! What verification servers said, in bounded memory, and what it is worth later.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    recent::Recent,
    settings::{SEEN_VALID, Settings},
};

/// Of the addresses remembered, one in this many may be a refused one: who asks after random addresses drives no
/// real one out.
const REFUSED_SHARE: usize = 4;

/// Seconds of the caller's clock, 68 years either way; what is loaded lies before its beginning.
pub(super) type Seconds = i32;

/// What is known of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// When it was last said to be valid.
    Valid(Seconds),
    /// When that was, and when it was first refused since then.
    Doubted { valid: Seconds, refused: Seconds },
    /// When it was last refused; that counts.
    Refused(Seconds),
}

/// What memory has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recalled {
    Valid {
        ago: Duration,
    },
    Invalid {
        ago: Duration,
    },
    /// Too early for the second probe.
    Doubted {
        within: Duration,
    },
    /// The server must be asked.
    Nothing,
}

/// What is kept in the records: seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    valid: u64,
    refused: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Memory {
    valid: Recent<Known>,
    refused: Recent<Known>,
    /// Keys whose record is out of date.
    changed: BTreeSet<Box<str>>,
    holds: Holds,
}

/// How long answers hold.
#[derive(Debug, Clone, Copy)]
struct Holds {
    valid: Duration,
    invalid: Duration,
    second_probe: Duration,
}

impl Memory {
    pub(super) fn new(settings: &Settings) -> Memory {
        let refused = settings.remembered / REFUSED_SHARE;
        Memory {
            valid: Recent::new(settings.remembered - refused),
            refused: Recent::new(refused),
            changed: BTreeSet::new(),
            holds: Holds::of(settings),
        }
    }

    /// Answers hold as long as these say; the room stays as it is.
    pub(super) fn configure(&mut self, settings: &Settings) {
        self.holds = Holds::of(settings);
    }

    pub(super) fn len(&self) -> usize {
        self.valid.len() + self.refused.len()
    }

    pub(super) fn recall(&self, key: &str, now: Seconds) -> Recalled {
        let known = self.valid.touch(key).or_else(|| self.refused.get(key));
        known.map_or(Recalled::Nothing, |known| known.recall(now, &self.holds))
    }

    /// The server said that the address is valid.
    pub(super) fn valid(&mut self, key: &str, now: Seconds) {
        self.refused.remove(key);
        self.keep(key, Known::Valid(now));
    }

    /// The server refused the address. `None`: that counts; otherwise how long until a second refusal does.
    pub(super) fn refused(&mut self, key: &str, now: Seconds) -> Option<Duration> {
        let doubt = match self.valid.get(key) {
            Some(Known::Valid(valid)) => Some((*valid, now)),
            Some(Known::Doubted { valid, refused }) => Some((*valid, *refused)),
            Some(Known::Refused(_)) | None => None,
        };
        if let Some((valid, first)) = doubt {
            let left = self.holds.second_probe.saturating_sub(between(first, now));
            if between(valid, now) <= SEEN_VALID && !left.is_zero() {
                self.keep(key, Known::Doubted { valid, refused: first });
                return Some(left);
            }
            self.valid.remove(key);
            self.changed.insert(key.into());
        }
        self.refused.insert(key, Known::Refused(now));
        None
    }

    /// How long ago an address was valid that nobody has refused since.
    pub(super) fn stale(&self, key: &str, now: Seconds) -> Option<Duration> {
        match self.valid.get(key) {
            Some(Known::Valid(at)) => Some(between(*at, now)),
            _ => None,
        }
    }

    /// Forgets what is said of the addresses that `whose` chooses.
    pub(super) fn forget(&mut self, whose: impl Fn(&str) -> bool) {
        for key in chosen(&self.valid, &whose) {
            self.valid.remove(&key);
            self.changed.insert(key);
        }
        for key in chosen(&self.refused, &whose) {
            self.refused.remove(&key);
        }
    }

    fn keep(&mut self, key: &str, known: Known) {
        let gone = self.valid.insert(key, known);
        self.changed.insert(key.into());
        self.changed.extend(gone);
    }

    /// What has changed since it was last asked for, at most `most`; refusals live too short to be kept. `epoch` is
    /// the caller's beginning in seconds since 1970.
    pub(super) fn changes(&mut self, epoch: u64, most: usize) -> Vec<(Box<str>, Option<Vec<u8>>)> {
        let mut changes = Vec::new();
        while changes.len() < most
            && let Some(key) = self.changed.pop_first()
        {
            let value = self.valid.get(&key).and_then(|known| known.record(epoch));
            changes.push((key, value));
        }
        changes
    }

    /// Takes a record in. False: it is none.
    pub(super) fn load(&mut self, key: &str, value: &[u8], epoch: u64) -> bool {
        let Ok(record) = postcard::from_bytes::<Record>(value) else { return false };
        let valid = since(epoch, record.valid);
        let known = match record.refused {
            Some(refused) => Known::Doubted { valid, refused: since(epoch, refused) },
            None => Known::Valid(valid),
        };
        let gone = self.valid.insert(key, known);
        self.changed.extend(gone);
        true
    }
}

impl Holds {
    fn of(settings: &Settings) -> Holds {
        Holds {
            valid: settings.valid_for,
            invalid: settings.invalid_for,
            second_probe: settings.second_probe,
        }
    }
}

impl Known {
    fn recall(self, now: Seconds, holds: &Holds) -> Recalled {
        match self {
            Known::Doubted { refused, .. } => {
                match holds.second_probe.saturating_sub(between(refused, now)) {
                    Duration::ZERO => Recalled::Nothing,
                    within => Recalled::Doubted { within },
                }
            }
            Known::Valid(at) if between(at, now) < holds.valid => Recalled::Valid { ago: between(at, now) },
            Known::Refused(at) if between(at, now) < holds.invalid => {
                Recalled::Invalid { ago: between(at, now) }
            }
            Known::Valid(_) | Known::Refused(_) => Recalled::Nothing,
        }
    }

    /// `None`: it is not kept.
    fn record(self, epoch: u64) -> Option<Vec<u8>> {
        let unix = |at: Seconds| epoch.saturating_add_signed(at.into());
        let record = match self {
            Known::Valid(valid) => Record { valid: unix(valid), refused: None },
            Known::Doubted { valid, refused } => Record { valid: unix(valid), refused: Some(unix(refused)) },
            Known::Refused(_) => return None,
        };
        postcard::to_allocvec(&record).ok()
    }
}

fn chosen(recent: &Recent<Known>, whose: impl Fn(&str) -> bool) -> Vec<Box<str>> {
    recent.keys().filter(|key| whose(key)).map(Box::from).collect()
}

/// Seconds of the clock that began at `epoch`.
fn since(epoch: u64, unix: u64) -> Seconds {
    let seconds = i128::from(unix) - i128::from(epoch);
    Seconds::try_from(seconds).unwrap_or(if seconds < 0 { Seconds::MIN } else { Seconds::MAX })
}

/// Nothing, when a clock was set back.
fn between(from: Seconds, to: Seconds) -> Duration {
    Duration::from_secs(u64::try_from(i64::from(to) - i64::from(from)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Seconds = 86_400;

    #[test]
    fn answers_hold_for_their_time() {
        let (settings, a) = (Settings::default(), "a@b");
        let mut memory = Memory::new(&settings);
        assert_eq!(memory.recall("a@b", 0), Recalled::Nothing);
        memory.valid(a, 0);
        let last = 7 * DAY - 1;
        assert_eq!(memory.recall("a@b", last), Recalled::Valid { ago: Duration::from_secs(last as u64) });
        assert_eq!(memory.recall("a@b", 7 * DAY), Recalled::Nothing);
        assert_eq!(memory.stale("a@b", 90 * DAY), Some(Duration::from_secs(90 * 86_400)));
        assert_eq!(memory.refused("c@b", 0), None);
        assert_eq!(memory.recall("c@b", 899), Recalled::Invalid { ago: Duration::from_secs(899) });
        assert_eq!(memory.recall("c@b", 900), Recalled::Nothing);
        assert_eq!(memory.stale("c@b", 900), None);
    }

    #[test]
    fn a_refusal_of_a_valid_address_needs_another() {
        let (settings, a) = (Settings::default(), "a@b");
        let mut memory = Memory::new(&settings);
        memory.valid(a, 0);
        assert_eq!(memory.refused(a, DAY), Some(Duration::from_secs(600)));
        assert_eq!(memory.recall("a@b", DAY + 1), Recalled::Doubted { within: Duration::from_secs(599) });
        assert_eq!(memory.stale("a@b", DAY + 1), None, "neither valid nor refused");
        assert_eq!(memory.refused(a, DAY + 599), Some(Duration::from_secs(1)));
        assert_eq!(memory.recall("a@b", DAY + 600), Recalled::Nothing);
        assert_eq!(memory.refused(a, DAY + 600), None);
        assert!(matches!(memory.recall("a@b", DAY + 601), Recalled::Invalid { .. }));
        memory.valid(a, DAY + 700);
        assert!(matches!(memory.recall("a@b", DAY + 701), Recalled::Valid { .. }));
        assert_eq!(memory.refused(a, 8 * DAY + 701), None, "valid too long ago");
    }

    #[test]
    fn memory_is_bounded_and_refusals_drive_no_valid_address_out() {
        let settings = Settings { remembered: 40, ..Settings::default() };
        let mut memory = Memory::new(&settings);
        for n in 0..30 {
            memory.valid(&format!("{n}@b"), n);
        }
        for n in 0..1_000 {
            memory.refused(&format!("x{n}@b"), n);
        }
        assert_eq!(memory.len(), 40);
        assert!((0..30).all(|n| memory.stale(&format!("{n}@b"), 0).is_some()));
        memory.recall("0@b", 40);
        memory.valid("30@b", 40);
        assert_eq!(memory.len(), 40);
        assert!(memory.stale("0@b", 40).is_some() && memory.stale("1@b", 40).is_none());
    }

    #[test]
    fn what_is_remembered_survives_in_records() {
        let settings = Settings::default();
        let mut memory = Memory::new(&settings);
        memory.valid("a@b", 100);
        memory.valid("c@b", 100);
        memory.refused("c@b", 200);
        memory.refused("d@b", 200);
        let records = memory.changes(1_000_000, 10);
        assert_eq!(records.len(), 2);
        assert!(memory.changes(1_000_000, 10).is_empty());
        let mut later = Memory::new(&settings);
        for (key, value) in &records {
            assert!(later.load(key, value.as_deref().unwrap(), 1_000_300));
        }
        assert_eq!(later.recall("a@b", 0), Recalled::Valid { ago: Duration::from_secs(200) });
        assert_eq!(later.recall("c@b", 0), Recalled::Doubted { within: Duration::from_secs(500) });
        assert!(!later.load("e@b", b"", 0));
        memory.refused("c@b", 900);
        assert_eq!(memory.changes(1_000_000, 10), [("c@b".into(), None)], "and is taken out again");
        memory.forget(|key| key.ends_with("@b"));
        assert_eq!((memory.len(), memory.changes(0, 10)), (0, vec![("a@b".into(), None)]));
    }
}
