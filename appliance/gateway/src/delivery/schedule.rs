//! When a delivery is tried again.

use std::time::Duration;

/// A next hop that is Microsoft 365 hides hundreds of machines behind its few addresses: the next try meets another.
const MICROSOFT: Duration = Duration::from_secs(60);
/// The first tries at Microsoft 365 that come after a minute; then it is down rather than busy.
const MICROSOFT_TRIES: u32 = 10;

/// How long to wait after the attempt number `attempts` (from 1) failed.
///
/// `first` doubles up to `longest` (RFC 5321 §4.5.4.1 advises 30 minutes at least; sooner ones catch greylisting and
/// restarts). `random` (any number) takes up to a quarter off, so that what failed together is not tried together.
pub(super) fn wait(
    attempts: u32,
    first: Duration,
    longest: Duration,
    microsoft: bool,
    random: u32,
) -> Duration {
    let attempts = attempts.max(1);
    let whole = if microsoft && attempts <= MICROSOFT_TRIES {
        MICROSOFT
    } else {
        let doublings = attempts.saturating_sub(if microsoft { MICROSOFT_TRIES + 1 } else { 1 }).min(20);
        first.saturating_mul(1 << doublings).min(longest)
    };
    whole - whole.mul_f64(f64::from(random % 1024) / 4096.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(300);
    const LONGEST: Duration = Duration::from_secs(4 * 3600);

    fn wait(attempts: u32, first: Duration, microsoft: bool, random: u32) -> Duration {
        super::wait(attempts, first, LONGEST, microsoft, random)
    }

    #[test]
    fn waits_double_up_to_four_hours() {
        let minutes: Vec<u64> = (1..9).map(|n| wait(n, FIRST, false, 0).as_secs() / 60).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 80, 160, 240, 240]);
        assert_eq!(wait(u32::MAX, FIRST, false, 0), LONGEST);
    }

    #[test]
    fn microsoft_is_tried_again_after_a_minute() {
        assert_eq!(wait(1, FIRST, true, 0), MICROSOFT);
        assert_eq!(wait(10, FIRST, true, 0), MICROSOFT);
        assert_eq!(wait(11, FIRST, true, 0), FIRST);
        assert_eq!(wait(12, FIRST, true, 0), FIRST * 2);
    }

    #[test]
    fn chance_takes_off_a_quarter_at_most() {
        for random in [1, 511, 1023, u32::MAX] {
            let waited = wait(1, FIRST, false, random);
            assert!(waited <= FIRST && waited > FIRST.mul_f64(0.75), "{waited:?}");
        }
    }
}
