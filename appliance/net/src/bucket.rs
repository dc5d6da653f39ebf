//! Token buckets: how often something may happen, in all and for each source.

use std::net::IpAddr;

use smoltcp::time::Instant;

use crate::secret::Key;

/// Sources told apart at one time; beyond that some share a bucket.
const SOURCES: usize = 1_024;

/// So many a second, with a second's worth at once.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    rate: u32,
    /// Tokens in millionths, so that a microsecond adds `rate` of them.
    tokens: u64,
    filled: Instant,
}

impl Bucket {
    pub fn new(rate: u32) -> Bucket {
        Bucket { rate, tokens: u64::from(rate) * 1_000_000, filled: Instant::ZERO }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = (now.total_micros() - self.filled.total_micros()).clamp(0, 1_000_000) as u64;
        self.filled = self.filled.max(now);
        let full = u64::from(self.rate) * 1_000_000;
        self.tokens = (self.tokens + elapsed * u64::from(self.rate)).min(full);
        let taken = self.tokens >= 1_000_000;
        if taken {
            self.tokens -= 1_000_000;
        }
        taken
    }
}

/// A bucket for all, and one of a tenth for each source.
#[derive(Debug)]
pub struct Shared {
    all: Bucket,
    sources: Box<[Bucket]>,
    key: Key,
}

impl Shared {
    pub fn new(rate: u32, key: Key) -> Shared {
        let each = Bucket::new((rate / 10).max(1));
        Shared { all: Bucket::new(rate), sources: vec![each; SOURCES].into_boxed_slice(), key }
    }

    /// Takes a token on behalf of `source`.
    pub fn take(&mut self, now: Instant, source: IpAddr) -> bool {
        let slot = (self.key.hash(source) as usize) % self.sources.len();
        let own = self.sources.get_mut(slot).is_some_and(|bucket| bucket.take(now));
        own && self.all.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;
    use smoltcp::time::Duration;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let mut bucket = Bucket::new(10);
        let start = Instant::from_secs(100);
        let mut given = 0;
        for tick in 0..5_000 {
            given += u32::from(bucket.take(start + Duration::from_millis(tick)));
        }
        assert_eq!(given, 10 + 49); // A second's worth at first, then 10 a second for 4.999 s.
    }

    #[test]
    fn one_source_takes_a_tenth() {
        let mut shared = Shared::new(100, Random::new([0; 32]).key());
        let now = Instant::from_secs(1);
        let given = (0..1_000).filter(|_| shared.take(now, IpAddr::from([192, 0, 2, 1]))).count();
        assert_eq!(given, 10);
        let given = (0..=255).filter(|n| shared.take(now, IpAddr::from([198, 51, 100, *n]))).count();
        assert_eq!(given, 90);
    }
}
