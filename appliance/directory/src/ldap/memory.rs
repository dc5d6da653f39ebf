//! Answers that are remembered: for as long as they hold, and those that vouch for an address also for as long as no
//! server can be asked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use smtp::Time;

use crate::answer::LookupAnswer;

/// Addresses remembered as known.
pub const KNOWN_MAX: usize = 50_000;
/// Addresses remembered as unknown: apart, so that guesses of strangers drive out none that is known.
pub const UNKNOWN_MAX: usize = 20_000;

/// What is remembered of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing: ask.
    Nothing,
    /// The answer holds.
    Fresh(LookupAnswer),
    /// Ask; the answer holds if nobody can be asked.
    Stale(LookupAnswer),
}

/// Remembered answers.
#[derive(Debug)]
pub struct Memory {
    known: Half<(Box<str>, Box<str>)>,
    unknown: Half<()>,
    known_for: Duration,
    unknown_for: Duration,
}

impl Memory {
    /// Remembers for so long.
    pub fn new(known_for: Duration, unknown_for: Duration) -> Memory {
        Memory { known: Half::new(KNOWN_MAX), unknown: Half::new(UNKNOWN_MAX), known_for, unknown_for }
    }

    /// What is remembered of the address with this [key](smtp::address::Address::key).
    pub fn get(&self, key: &str, now: Time) -> Remembered {
        if let Some((at, (stream, because))) = self.known.get(key) {
            let answer = LookupAnswer::Stream { stream: stream.clone(), because: because.clone() };
            let fresh = now.since(at) < self.known_for;
            return if fresh { Remembered::Fresh(answer) } else { Remembered::Stale(answer) };
        }
        match self.unknown.get(key) {
            Some((at, ())) if now.since(at) < self.unknown_for => Remembered::Fresh(LookupAnswer::Unknown),
            _ => Remembered::Nothing,
        }
    }

    /// Remembers an answer of the directory's. That it could not be asked is none.
    pub fn put(&mut self, key: &str, answer: &LookupAnswer, now: Time) {
        match answer {
            LookupAnswer::Stream { stream, because } => {
                self.unknown.remove(key);
                self.known.put(key, (stream.clone(), because.clone()), now);
            }
            LookupAnswer::Unknown => {
                self.known.remove(key);
                self.unknown.put(key, (), now);
            }
            LookupAnswer::Unavailable { .. } => {}
        }
    }

    /// How many addresses are remembered as known and as unknown.
    pub fn len(&self) -> (usize, usize) {
        (self.known.answers.len(), self.unknown.answers.len())
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }
}

/// A bounded map; what was put in first goes first.
#[derive(Debug)]
struct Half<T> {
    max: usize,
    answers: HashMap<Arc<str>, (u64, Time, T)>,
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
}

impl<T> Half<T> {
    fn new(max: usize) -> Half<T> {
        Half { max, answers: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    fn get(&self, key: &str) -> Option<(Time, &T)> {
        self.answers.get(key).map(|(_, at, value)| (*at, value))
    }

    fn put(&mut self, key: &str, value: T, now: Time) {
        self.remove(key);
        if self.answers.len() >= self.max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.answers.remove(&oldest);
        }
        let key: Arc<str> = key.into();
        self.order.insert(self.next, key.clone());
        self.answers.insert(key, (self.next, now, value));
        self.next += 1;
    }

    fn remove(&mut self, key: &str) {
        if let Some((number, ..)) = self.answers.remove(key) {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    fn stream(name: &str) -> LookupAnswer {
        LookupAnswer::Stream { stream: name.into(), because: "user".into() }
    }

    #[test]
    fn a_known_address_outlives_its_time_and_an_unknown_one_does_not() {
        let mut memory = Memory::new(HOUR, MINUTE);
        assert!(memory.is_empty());
        memory.put("ann@a", &stream("ann"), at(0));
        memory.put("bob@a", &LookupAnswer::Unknown, at(0));
        memory.put("eve@a", &LookupAnswer::Unavailable { why: "x".into() }, at(0));
        assert_eq!(memory.get("ann@a", at(3_599)), Remembered::Fresh(stream("ann")));
        assert_eq!(memory.get("ann@a", at(3_600)), Remembered::Stale(stream("ann")));
        assert_eq!(memory.get("ann@a", at(1_000_000_000)), Remembered::Stale(stream("ann")));
        assert_eq!(memory.get("bob@a", at(59)), Remembered::Fresh(LookupAnswer::Unknown));
        assert_eq!(memory.get("bob@a", at(60)), Remembered::Nothing);
        assert_eq!(memory.get("eve@a", at(0)), Remembered::Nothing);
        assert_eq!(memory.len(), (1, 1));
    }

    #[test]
    fn the_last_answer_counts() {
        let mut memory = Memory::new(HOUR, MINUTE);
        memory.put("ann@a", &stream("ann"), at(0));
        memory.put("ann@a", &LookupAnswer::Unknown, at(1));
        assert_eq!(memory.get("ann@a", at(100_000)), Remembered::Nothing);
        memory.put("ann@a", &stream("anna"), at(2));
        assert_eq!(memory.get("ann@a", at(3)), Remembered::Fresh(stream("anna")));
        assert_eq!(memory.len(), (1, 0));
    }

    #[test]
    fn strangers_guesses_drive_out_no_known_address() {
        let mut memory = Memory::new(HOUR, HOUR);
        for n in 0..=KNOWN_MAX {
            memory.put(&format!("known{n}@a"), &stream("s"), at(0));
        }
        for n in 0..=UNKNOWN_MAX {
            memory.put(&format!("guess{n}@a"), &LookupAnswer::Unknown, at(0));
        }
        assert_eq!(memory.len(), (KNOWN_MAX, UNKNOWN_MAX));
        assert_eq!(memory.get("known0@a", at(1)), Remembered::Nothing, "the oldest went");
        assert_eq!(memory.get("known1@a", at(1)), Remembered::Fresh(stream("s")));
        assert_eq!(memory.get("guess0@a", at(1)), Remembered::Nothing);
        assert_eq!(memory.get("guess1@a", at(1)), Remembered::Fresh(LookupAnswer::Unknown));
    }

    proptest! {
        #[test]
        fn it_is_never_larger_than_its_bound(keys in prop::collection::vec((0u8..40, any::<bool>()), 0..200)) {
            let mut half = Half::new(7);
            for (key, put) in keys {
                let key = key.to_string();
                if put { half.put(&key, (), at(0)) } else { half.remove(&key) }
                prop_assert!(half.answers.len() <= 7);
                prop_assert_eq!(half.answers.len(), half.order.len());
                prop_assert_eq!(half.get(&key).is_some(), put);
            }
        }
    }
}
