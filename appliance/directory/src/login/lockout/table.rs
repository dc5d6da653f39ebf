//! A bounded number of buckets.

use std::{collections::HashMap, hash::Hash};

use smtp::Time;

use super::bucket::Bucket;

/// Buckets by what they count for, all with the same budget.
#[derive(Debug)]
pub(super) struct Table<K> {
    most: usize,
    budget: usize,
    buckets: HashMap<K, Bucket>,
}

impl<K: Hash + Eq + Clone> Table<K> {
    pub(super) fn new(most: usize, budget: usize) -> Self {
        Table { most, budget, buckets: HashMap::new() }
    }

    pub(super) fn free_at(&mut self, now: Time, key: &K) -> Time {
        let Some(bucket) = self.buckets.get_mut(key) else { return now };
        bucket.settle(now);
        bucket.free_at(now, self.budget)
    }

    pub(super) fn recent(&mut self, now: Time, key: &K) -> usize {
        let Some(bucket) = self.buckets.get_mut(key) else { return 0 };
        bucket.settle(now);
        bucket.recent()
    }

    pub(super) fn count(&mut self, now: Time, key: K) {
        if !self.buckets.contains_key(&key) && self.buckets.len() >= self.most {
            self.make_room(now);
        }
        self.buckets.entry(key).or_default().count(now, self.budget);
    }

    pub(super) fn take_back(&mut self, at: Time, key: &K) {
        let Some(bucket) = self.buckets.get_mut(key) else { return };
        bucket.take_back(at);
        if bucket.recent() == 0 {
            self.buckets.remove(key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Drops what counts nothing any more; if that is nothing, a few buckets with the fewest tries, and of those the
    /// ones that were quiet longest: names that are tried once must not push out one that is being guessed.
    fn make_room(&mut self, now: Time) {
        self.buckets.retain(|_, bucket| {
            bucket.settle(now);
            bucket.recent() > 0
        });
        if self.buckets.len() < self.most {
            return;
        }
        let mut least: Vec<_> = self
            .buckets
            .iter()
            .map(|(key, bucket)| ((bucket.recent(), bucket.last()), key.clone()))
            .collect();
        // Several at a time, so that not every new name makes us look at all.
        let few = self.most.div_ceil(16).min(least.len().saturating_sub(1));
        least.select_nth_unstable_by_key(few, |(worth, _)| *worth);
        for (_, key) in least.into_iter().take(few) {
            self.buckets.remove(&key);
        }
    }
}
