//! A map of bounded size that forgets what has not been used for a while.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicBool, Ordering},
};

use hashbrown::HashTable;

/// Entries that the numbers of a map can tell apart.
const MOST: usize = u32::MAX as usize;
/// A full list grows by one part of so many.
const GROWTH: usize = 4;
/// And by so many entries at least.
const GROWTH_MIN: usize = 64;

/// A map of at most `max` entries. Who is asked for gets a mark; when there is no room, a hand goes round the
/// entries, takes the first without a mark, and wipes those that it passes. So a question changes nothing but a
/// mark, and many may ask at a time.
#[derive(Debug)]
pub(super) struct Recent<T> {
    entries: Vec<Entry<T>>,
    /// To the places of the entries.
    by_key: HashTable<u32>,
    hasher: RandomState,
    hand: usize,
    max: usize,
}

#[derive(Debug)]
struct Entry<T> {
    key: Box<str>,
    value: T,
    used: AtomicBool,
}

impl<T> Recent<T> {
    pub(super) fn new(max: usize) -> Recent<T> {
        Recent {
            entries: Vec::new(),
            by_key: HashTable::new(),
            hasher: RandomState::new(),
            hand: 0,
            max: max.clamp(1, MOST),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.place(key).map(|at| &self.entries[at].value)
    }

    /// The same, and it counts as a use.
    pub(super) fn touch(&self, key: &str) -> Option<&T> {
        let entry = &self.entries[self.place(key)?];
        entry.used.store(true, Ordering::Relaxed);
        Some(&entry.value)
    }

    /// Returns the key that had to go.
    pub(super) fn insert(&mut self, key: &str, value: T) -> Option<Box<str>> {
        if let Some(at) = self.place(key) {
            let entry = &mut self.entries[at];
            entry.value = value;
            *entry.used.get_mut() = true;
            return None;
        }
        let entry = Entry { key: key.into(), value, used: AtomicBool::new(false) };
        let (at, gone) = if self.entries.len() < self.max {
            (self.push(entry), None)
        } else {
            let at = self.oldest();
            self.unlink(at);
            (at, Some(std::mem::replace(&mut self.entries[at], entry).key))
        };
        let Recent { by_key, hasher, entries, .. } = self;
        let hash = |at: &u32| hasher.hash_one(&*entries[*at as usize].key);
        by_key.insert_unique(hasher.hash_one(key), number(at), hash);
        gone
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<T> {
        let at = self.place(key)?;
        self.unlink(at);
        let last = self.entries.len() - 1;
        if at != last {
            // The last one takes its place.
            let hash = self.hasher.hash_one(&*self.entries[last].key);
            if let Some(place) = self.by_key.find_mut(hash, |known| *known == number(last)) {
                *place = number(at);
            }
        }
        Some(self.entries.swap_remove(at).value)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.key)
    }

    /// Reserves little, so that memory stays near what is held.
    fn push(&mut self, entry: Entry<T>) -> usize {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            let more = (len / GROWTH).max(GROWTH_MIN).min(self.max - len);
            self.entries.reserve_exact(more);
        }
        self.entries.push(entry);
        len
    }

    /// The place of the one that has to go.
    fn oldest(&mut self) -> usize {
        loop {
            let at = self.hand % self.entries.len();
            self.hand = at + 1;
            if !std::mem::take(self.entries[at].used.get_mut()) {
                return at;
            }
        }
    }

    fn unlink(&mut self, at: usize) {
        let hash = self.hasher.hash_one(&*self.entries[at].key);
        if let Ok(entry) = self.by_key.find_entry(hash, |known| *known == number(at)) {
            entry.remove();
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        let is_it = |at: &u32| &*self.entries[*at as usize].key == key;
        self.by_key.find(self.hasher.hash_one(key), is_it).map(|at| *at as usize)
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("no map is as long as its numbers go")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_used_stays_and_the_rest_goes_in_turn() {
        let mut recent = Recent::new(3);
        for key in ["a", "b", "c"] {
            assert_eq!(recent.insert(key, ()), None);
        }
        recent.touch("a");
        assert_eq!(recent.insert("d", ()).as_deref(), Some("b"));
        assert_eq!(recent.insert("e", ()).as_deref(), Some("c"));
        assert_eq!(recent.insert("f", ()).as_deref(), Some("a"), "its mark was wiped");
        assert_eq!(recent.insert("d", ()), None);
        assert_eq!(recent.insert("g", ()).as_deref(), Some("e"), "a new value is a use, too");
        ["d", "f", "g"].iter().for_each(|key| {
            recent.touch(key);
        });
        assert!(recent.insert("h", ()).is_some(), "although each is marked");
        assert_eq!(recent.len(), 3);
    }

    proptest! {
        /// Against a plain map, which is told what had to go.
        #[test]
        fn it_is_a_map(max in 1_usize..12, acts in proptest::collection::vec((0_u8..4, 0_u8..20), 0..300)) {
            let mut recent = Recent::new(max);
            let mut model = BTreeMap::new();
            for (turn, (act, key)) in acts.into_iter().enumerate() {
                let key = format!("k{key}");
                match act {
                    0 => prop_assert_eq!(recent.remove(&key), model.remove(&key)),
                    1 => prop_assert_eq!(recent.touch(&key), model.get(&key)),
                    _ => {
                        let gone = recent.insert(&key, turn);
                        prop_assert_eq!(gone.is_some(), model.len() == max && !model.contains_key(&key));
                        gone.map(|gone| model.remove(&*gone));
                        model.insert(key, turn);
                    }
                }
                prop_assert!(recent.len() <= max);
                let mut keys: Vec<&str> = recent.keys().collect();
                keys.sort_unstable();
                prop_assert!(keys.into_iter().eq(model.keys().map(String::as_str)));
                prop_assert!(model.iter().all(|(key, value)| recent.get(key) == Some(value)));
            }
        }
    }
}
