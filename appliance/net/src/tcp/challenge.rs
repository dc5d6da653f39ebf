//! How many challenge ACKs we send: few, and not a number that a stranger could count on (CVE-2016-5696).

use smoltcp::time::{Duration, Instant};

use crate::secret::Random;

/// A second's challenge ACKs of one flow.
pub const PER_FLOW: u32 = 10;
/// A second's challenge ACKs in all, less or more by up to a quarter, drawn anew each second.
pub const IN_ALL: u32 = 500;

/// What is left of this second.
#[derive(Debug)]
pub struct Challenges {
    left: u32,
    until: Instant,
}

impl Default for Challenges {
    fn default() -> Challenges {
        Challenges { left: 0, until: Instant::ZERO }
    }
}

impl Challenges {
    pub fn take(&mut self, now: Instant, random: &mut Random) -> bool {
        if now >= self.until {
            self.left = IN_ALL - IN_ALL / 4 + random.below(IN_ALL / 2);
            self.until = now + Duration::from_secs(1);
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_five_hundred_a_second_but_never_the_same() {
        let (mut challenges, mut random) = (Challenges::default(), Random::new([3; 32]));
        let count = |second: i64, challenges: &mut Challenges, random: &mut Random| {
            (0..10_000).filter(|_| challenges.take(Instant::from_secs(second), random)).count()
        };
        let counts: Vec<usize> = (1..20).map(|second| count(second, &mut challenges, &mut random)).collect();
        assert!(counts.iter().all(|count| (375..=625).contains(count)));
        assert!(counts.iter().any(|count| *count != counts[0]));
    }
}
