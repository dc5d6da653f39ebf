//! When to ask again after an answer that was none.

use std::time::Duration;

/// The first wait without a `Retry-After`; it doubles.
pub(super) const FIRST: Duration = Duration::from_secs(10);
/// The longest wait, whatever the server says.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How long to wait before the next attempt after `failures` in a row. `random` spreads those who failed together.
pub(super) fn wait(retry_after: Option<&str>, unix: u64, failures: u32, random: u64) -> Duration {
    if let Some(asked) = retry_after.and_then(|text| parse(text, unix)) {
        return asked.min(LONGEST);
    }
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let quarter = doubled.as_millis() / 4;
    let spread = u128::from(random) % (quarter + 1);
    (doubled + Duration::from_millis(u64::try_from(spread).unwrap_or(0))).min(LONGEST)
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn parse(text: &str, unix: u64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let at = u64::try_from(date.as_second()).ok()?;
    Some(Duration::from_secs(at.saturating_sub(unix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_obeyed_within_bounds() {
        let secs = |text, unix| wait(Some(text), unix, 1, 0).as_secs();
        assert_eq!(secs("7", 0), 7);
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770), 7);
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:37 GMT", 800_000_000), 0);
        assert_eq!(secs("99999999999", 0), LONGEST.as_secs());
        assert_eq!(secs("soon", 0), FIRST.as_secs());
    }

    #[test]
    fn without_a_word_waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=10).map(|failures| wait(None, 0, failures, 0).as_secs()).collect();
        assert_eq!(waits[..4], [10, 20, 40, 80]);
        assert_eq!(waits[9], LONGEST.as_secs());
        assert!(wait(None, 0, 1, u64::MAX) <= FIRST + FIRST / 4);
        assert_eq!(wait(None, 0, u32::MAX, u64::MAX), LONGEST);
    }
}
