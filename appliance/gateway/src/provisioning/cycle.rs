//! Billing cycles: months that begin on a day of the administrator's choice, in UTC.

use jiff::tz::TimeZone;
use store::Timestamp;

/// The cycle that `at` lies in, as the number of six digits of the month in which it begins, such as 202611.
pub fn of(at: Timestamp, first_day: u32) -> u32 {
    let seconds = i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let date = time.to_zoned_datetime(TimeZone::UTC);
    let (year, month) = (i32::from(date.year()), i32::from(date.month()));
    let months = year * 12 + month - 1 - i32::from(i64::from(date.day()) < i64::from(first_day));
    let months = months.max(0);
    u32::try_from(months / 12 * 100 + months % 12 + 1).unwrap_or(0)
}

/// `2026-11` for 202611.
pub fn text(cycle: u32) -> String {
    format!("{:04}-{:02}", cycle / 100, cycle % 100)
}

/// The cycle that is written so.
pub fn parse(text: &str) -> Option<u32> {
    let (year, month) = text.split_once('-')?;
    let digits = |text: &str, len: usize| {
        (text.len() == len && text.bytes().all(|c| c.is_ascii_digit())).then(|| text.parse::<u32>().ok())?
    };
    let (year, month) = (digits(year, 4)?, digits(month, 2)?);
    (1..=12).contains(&month).then_some(year * 100 + month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_unix_seconds(u64::try_from(time.as_second()).unwrap())
    }

    #[test]
    fn a_cycle_is_named_after_the_month_in_which_it_begins() {
        for (time, day, cycle) in [
            ("2026-11-01T00:00:00Z", 1, 202_611),
            ("2026-10-31T23:59:59Z", 1, 202_610),
            ("2026-11-14T23:59:59Z", 15, 202_610),
            ("2026-11-15T00:00:00Z", 15, 202_611),
            ("2027-01-03T12:00:00Z", 28, 202_612),
            ("2028-02-29T12:00:00Z", 28, 202_802),
        ] {
            assert_eq!(of(at(time), day), cycle, "{time} from day {day}");
        }
    }

    #[test]
    fn a_cycle_is_written_and_read() {
        assert_eq!(text(202_603), "2026-03");
        assert_eq!(parse("2026-03"), Some(202_603));
        for wrong in ["", "2026", "2026-13", "2026-3", "26-03", "2026-00", "+026-03"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
