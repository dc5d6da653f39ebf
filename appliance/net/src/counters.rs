//! What happened how often, by name.

use std::collections::BTreeMap;

use crate::control::{Counter, Statistics};

/// Counters whose names are literals of this crate, so that their number is bounded by the code.
#[derive(Debug, Default)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    pub fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub fn add(&mut self, name: &'static str, value: u64) {
        *self.0.entry(name).or_default() += value;
    }

    /// Sets a gauge.
    pub fn set(&mut self, name: &'static str, value: u64) {
        self.0.insert(name, value);
    }

    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub fn statistics(&self) -> Statistics {
        let counter = |(name, value): (&&str, &u64)| Counter { name: (*name).to_owned(), value: *value };
        Statistics { counters: self.0.iter().map(counter).collect() }
    }
}
