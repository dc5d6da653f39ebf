//! What verification servers said, in bounded memory, and what it is worth later.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::settings::{SEEN_VALID, Settings};

/// Of the addresses remembered, one in this many may be a refused one: who asks after random addresses drives no
/// real one out.
const REFUSED_SHARE: usize = 4;

/// Seconds of the caller's clock; what is loaded lies before its beginning.
pub(super) type Seconds = i64;

/// An address in the form in which it is compared.
pub(super) type Key = Arc<str>;

/// What is known of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// When it was last said to be valid; `None` also when a refusal has ended that.
    valid: Option<Seconds>,
    /// When it was first refused since then, and last.
    refused: Option<(Seconds, Seconds)>,
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
    valid: Recent,
    refused: Recent,
    /// Keys whose record is out of date.
    changed: BTreeSet<Key>,
}

impl Memory {
    pub(super) fn new(settings: &Settings) -> Memory {
        let refused = settings.remembered / REFUSED_SHARE;
        Memory {
            valid: Recent::new(settings.remembered - refused),
            refused: Recent::new(refused),
            changed: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.valid.entries.len() + self.refused.entries.len()
    }

    pub(super) fn recall(&mut self, key: &str, now: Seconds, settings: &Settings) -> Recalled {
        if let Some(known) = self.valid.touch(key) {
            return known.recall(now, settings);
        }
        self.refused.get(key).map_or(Recalled::Nothing, |known| known.recall(now, settings))
    }

    /// The server said that the address is valid.
    pub(super) fn valid(&mut self, key: &Key, now: Seconds) {
        self.refused.remove(key);
        self.keep(key, Known { valid: Some(now), refused: None });
    }

    /// The server refused the address. `None`: that counts; otherwise how long until a second refusal does.
    pub(super) fn refused(&mut self, key: &Key, now: Seconds, settings: &Settings) -> Option<Duration> {
        let known = self.valid.get(key).copied().unwrap_or_default();
        let lately = known.valid.is_some_and(|at| between(at, now) <= SEEN_VALID);
        let first = known.refused.map_or(now, |(first, _)| first);
        let left = settings.second_probe.saturating_sub(between(first, now));
        if lately && !left.is_zero() {
            self.keep(key, Known { refused: Some((first, now)), ..known });
            return Some(left);
        }
        if self.valid.remove(key).is_some() {
            self.changed.insert(key.clone());
        }
        self.refused.insert(key.clone(), Known { valid: None, refused: Some((first, now)) });
        None
    }

    /// How long ago an address was valid that nobody has refused since.
    pub(super) fn stale(&self, key: &str, now: Seconds) -> Option<Duration> {
        let known = self.valid.get(key).filter(|known| known.refused.is_none())?;
        known.valid.map(|at| between(at, now))
    }

    /// Forgets what is said of the addresses that `whose` chooses.
    pub(super) fn forget(&mut self, whose: impl Fn(&str) -> bool) {
        for key in self.valid.keys(&whose) {
            self.valid.remove(&key);
            self.changed.insert(key);
        }
        for key in self.refused.keys(&whose) {
            self.refused.remove(&key);
        }
    }

    fn keep(&mut self, key: &Key, known: Known) {
        let gone = self.valid.insert(key.clone(), known);
        self.changed.insert(key.clone());
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
            changes.push((Box::from(&*key), value));
        }
        changes
    }

    /// Takes a record in. False: it is none.
    pub(super) fn load(&mut self, key: &str, value: &[u8], epoch: u64) -> bool {
        let Ok(record) = postcard::from_bytes::<Record>(value) else { return false };
        let since =
            |unix: u64| Seconds::try_from(unix).unwrap_or(Seconds::MAX).saturating_sub_unsigned(epoch);
        let refused = record.refused.map(since).map(|at| (at, at));
        let gone = self.valid.insert(key.into(), Known { valid: Some(since(record.valid)), refused });
        self.changed.extend(gone);
        true
    }
}

impl Known {
    fn recall(&self, now: Seconds, settings: &Settings) -> Recalled {
        match (self.valid, self.refused) {
            (Some(_), Some((first, _))) => match settings.second_probe.saturating_sub(between(first, now)) {
                Duration::ZERO => Recalled::Nothing,
                within => Recalled::Doubted { within },
            },
            (Some(at), None) if between(at, now) < settings.valid_for => {
                Recalled::Valid { ago: between(at, now) }
            }
            (None, Some((_, at))) if between(at, now) < settings.invalid_for => {
                Recalled::Invalid { ago: between(at, now) }
            }
            _ => Recalled::Nothing,
        }
    }

    fn record(&self, epoch: u64) -> Option<Vec<u8>> {
        let unix = |at: Seconds| epoch.saturating_add_signed(at);
        let record = Record { valid: unix(self.valid?), refused: self.refused.map(|(first, _)| unix(first)) };
        postcard::to_allocvec(&record).ok()
    }
}

/// Nothing, when a clock was set back.
fn between(from: Seconds, to: Seconds) -> Duration {
    Duration::from_secs(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

/// A map of at most `max` entries; the one that was used longest ago goes first.
#[derive(Debug)]
struct Recent {
    entries: HashMap<Key, (u64, Known)>,
    order: BTreeMap<u64, Key>,
    used: u64,
    max: usize,
}

impl Recent {
    fn new(max: usize) -> Recent {
        Recent { entries: HashMap::new(), order: BTreeMap::new(), used: 0, max: max.max(1) }
    }

    fn get(&self, key: &str) -> Option<&Known> {
        self.entries.get(key).map(|(_, known)| known)
    }

    fn touch(&mut self, key: &str) -> Option<&Known> {
        let (at, known) = self.entries.get_mut(key)?;
        let key = self.order.remove(at)?;
        self.used += 1;
        *at = self.used;
        self.order.insert(self.used, key);
        Some(known)
    }

    /// Returns the key that had to go.
    fn insert(&mut self, key: Key, known: Known) -> Option<Key> {
        self.remove(&key);
        let gone = if self.entries.len() < self.max { None } else { self.order.pop_first() };
        let gone = gone.map(|(_, gone)| gone);
        if let Some(gone) = &gone {
            self.entries.remove(gone);
        }
        self.used += 1;
        self.order.insert(self.used, key.clone());
        self.entries.insert(key, (self.used, known));
        gone
    }

    fn remove(&mut self, key: &str) -> Option<Known> {
        let (at, known) = self.entries.remove(key)?;
        self.order.remove(&at);
        Some(known)
    }

    fn keys(&self, whose: impl Fn(&str) -> bool) -> Vec<Key> {
        self.entries.keys().filter(|key| whose(key)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn key(text: &str) -> Key {
        text.into()
    }

    #[test]
    fn answers_hold_for_their_time() {
        let (settings, a) = (Settings::default(), key("a@b"));
        let mut memory = Memory::new(&settings);
        assert_eq!(memory.recall("a@b", 0, &settings), Recalled::Nothing);
        memory.valid(&a, 0);
        let last = 7 * DAY - 1;
        assert_eq!(
            memory.recall("a@b", last, &settings),
            Recalled::Valid { ago: Duration::from_secs(last as u64) }
        );
        assert_eq!(memory.recall("a@b", 7 * DAY, &settings), Recalled::Nothing);
        assert_eq!(memory.stale("a@b", 90 * DAY), Some(Duration::from_secs(90 * 86_400)));
        assert_eq!(memory.refused(&key("c@b"), 0, &settings), None);
        assert_eq!(memory.recall("c@b", 899, &settings), Recalled::Invalid { ago: Duration::from_secs(899) });
        assert_eq!(memory.recall("c@b", 900, &settings), Recalled::Nothing);
        assert_eq!(memory.stale("c@b", 900), None);
    }

    #[test]
    fn a_refusal_of_a_valid_address_needs_another() {
        let (settings, a) = (Settings::default(), key("a@b"));
        let mut memory = Memory::new(&settings);
        memory.valid(&a, 0);
        assert_eq!(memory.refused(&a, DAY, &settings), Some(Duration::from_secs(600)));
        assert_eq!(
            memory.recall("a@b", DAY + 1, &settings),
            Recalled::Doubted { within: Duration::from_secs(599) }
        );
        assert_eq!(memory.stale("a@b", DAY + 1), None, "neither valid nor refused");
        assert_eq!(memory.refused(&a, DAY + 599, &settings), Some(Duration::from_secs(1)));
        assert_eq!(memory.recall("a@b", DAY + 600, &settings), Recalled::Nothing);
        assert_eq!(memory.refused(&a, DAY + 600, &settings), None);
        assert!(matches!(memory.recall("a@b", DAY + 601, &settings), Recalled::Invalid { .. }));
        memory.valid(&a, DAY + 700);
        assert!(matches!(memory.recall("a@b", DAY + 701, &settings), Recalled::Valid { .. }));
        assert_eq!(memory.refused(&a, 8 * DAY + 701, &settings), None, "valid too long ago");
    }

    #[test]
    fn memory_is_bounded_and_refusals_drive_no_valid_address_out() {
        let settings = Settings { remembered: 40, ..Settings::default() };
        let mut memory = Memory::new(&settings);
        for n in 0..30 {
            memory.valid(&key(&format!("{n}@b")), n);
        }
        for n in 0..1_000 {
            memory.refused(&key(&format!("x{n}@b")), n, &settings);
        }
        assert_eq!(memory.len(), 40);
        assert!((0..30).all(|n| memory.stale(&format!("{n}@b"), 0).is_some()));
        memory.recall("0@b", 40, &settings);
        memory.valid(&key("30@b"), 40);
        assert_eq!(memory.len(), 40);
        assert!(memory.stale("0@b", 40).is_some() && memory.stale("1@b", 40).is_none());
    }

    #[test]
    fn what_is_remembered_survives_in_records() {
        let settings = Settings::default();
        let mut memory = Memory::new(&settings);
        memory.valid(&key("a@b"), 100);
        memory.valid(&key("c@b"), 100);
        memory.refused(&key("c@b"), 200, &settings);
        memory.refused(&key("d@b"), 200, &settings);
        let records = memory.changes(1_000_000, 10);
        assert_eq!(records.len(), 2);
        assert!(memory.changes(1_000_000, 10).is_empty());
        let mut later = Memory::new(&settings);
        for (key, value) in &records {
            assert!(later.load(key, value.as_deref().unwrap(), 1_000_300));
        }
        assert_eq!(later.recall("a@b", 0, &settings), Recalled::Valid { ago: Duration::from_secs(200) });
        assert_eq!(later.recall("c@b", 0, &settings), Recalled::Doubted { within: Duration::from_secs(500) });
        assert!(!later.load("e@b", b"", 0));
        memory.refused(&key("c@b"), 900, &settings);
        assert_eq!(memory.changes(1_000_000, 10), [("c@b".into(), None)], "and is taken out again");
        memory.forget(|key| key.ends_with("@b"));
        assert_eq!((memory.len(), memory.changes(0, 10)), (0, vec![("a@b".into(), None)]));
    }
}
