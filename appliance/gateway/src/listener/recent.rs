//! A table that forgets: bounded, and the entry untouched for longest goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A map of at most `max` entries. Look-ups are by a keyed hash, so that no peer can choose collisions.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// The keys by when they were last touched.
    order: BTreeMap<u64, K>,
    touched: u64,
    max: usize,
}

impl<K: Hash + Eq + Copy, V> Recent<K, V> {
    pub(super) fn new(max: usize) -> Recent<K, V> {
        Recent { entries: HashMap::new(), order: BTreeMap::new(), touched: 0, max: max.max(1) }
    }

    /// The entry of `key`, made by `new` if there is none; an old one gives way where there is no room.
    pub(super) fn touch(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        self.touched += 1;
        if let Some((at, _)) = self.entries.get(&key) {
            self.order.remove(at);
        } else if self.entries.len() >= self.max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.order.insert(self.touched, key);
        let entry = self.entries.entry(key).or_insert_with(|| (0, new()));
        entry.0 = self.touched;
        &mut entry.1
    }

    /// The entry of `key`, without touching it.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (at, value) = self.entries.remove(key)?;
        self.order.remove(&at);
        Some(value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_untouched_goes_first() {
        let mut table = Recent::new(2);
        table.touch('a', || 1);
        table.touch('b', || 2);
        table.touch('a', || 9);
        table.touch('c', || 3);
        assert_eq!((table.get(&'a'), table.get(&'b'), table.get(&'c')), (Some(&1), None, Some(&3)));
        assert_eq!(table.remove(&'a'), Some(1));
        assert_eq!(table.len(), 1);
    }
}
