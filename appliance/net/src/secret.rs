//! What strangers must not guess: keyed hashes, and random numbers out of one seed.

use std::hash::{BuildHasher, Hash, Hasher};

use siphasher::sip::{SipHasher13, SipHasher24};

/// A key of SipHash, for one purpose.
#[derive(Clone, Copy)]
pub struct Key([u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// SipHash-2-4 of `value`.
    pub fn hash(&self, value: impl Hash) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

/// Hashes the tables that strangers fill (SipHash-1-3).
impl BuildHasher for Key {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}

/// Random numbers: SipHash of a counter, under a key that nobody sees.
#[derive(Debug)]
pub struct Random {
    key: Key,
    count: u64,
}

impl Random {
    /// From 32 bytes of the system's generator (in tests and fuzzing: of the test's choice).
    pub fn new(seed: [u8; 32]) -> Random {
        let (first, second) = seed.split_at(16);
        let halves: [Key; 2] = [first, second].map(|half| Key(std::array::from_fn(|i| half[i])));
        let half = |n: u8| halves[0].hash((n, halves[1].hash(n))).to_le_bytes();
        let (low, high) = (half(0), half(1));
        Random { key: Key(std::array::from_fn(|i| if i < 8 { low[i] } else { high[i - 8] })), count: 0 }
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.count += 1;
        self.key.hash(self.count)
    }

    /// Evenly out of `0..limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.word() as u32) * u64::from(limit)) >> 32) as u32
    }

    /// A key of its own.
    pub fn key(&mut self) -> Key {
        let (low, high) = (self.word().to_le_bytes(), self.word().to_le_bytes());
        Key(std::array::from_fn(|i| if i < 8 { low[i] } else { high[i - 8] }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_below() {
        let mut random = Random::new([7; 32]);
        assert!((0..1_000).all(|_| random.below(10) < 10));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn seeds_and_keys_differ() {
        let (mut a, mut b) = (Random::new([1; 32]), Random::new([2; 32]));
        assert_ne!(a.word(), b.word());
        assert_ne!(a.key().hash(1), a.key().hash(1));
    }
}
