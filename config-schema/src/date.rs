//! A day of the calendar.

use std::{fmt, str::FromStr};

use jiff::tz::Offset;

/// A day, written such as `2027-05-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(jiff::civil::Date);

/// A text that is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a day, expected such as \"2027-05-31\"")]
pub struct DateError;

impl Date {
    /// The day of a moment, in universal time.
    pub fn of_unix(seconds: u64) -> Option<Date> {
        let moment = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        Some(Date(Offset::UTC.to_datetime(moment).date()))
    }

    /// The moment at which the day begins in universal time, in Unix seconds; none before 1970.
    pub fn begins_at(self) -> u64 {
        let moment = Offset::UTC.to_timestamp(self.0.at(0, 0, 0, 0)).ok();
        moment.and_then(|day| u64::try_from(day.as_second()).ok()).unwrap_or(0)
    }
}

impl FromStr for Date {
    type Err = DateError;
    fn from_str(text: &str) -> Result<Date, DateError> {
        // The library reads times and zones too, which mean nothing here.
        if text.len() != "2027-05-31".len() {
            return Err(DateError);
        }
        text.parse().map(Date).map_err(|_| DateError)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_printed_and_counted() {
        let day: Date = "2027-05-31".parse().unwrap();
        assert_eq!(day.to_string(), "2027-05-31");
        assert_eq!(day.begins_at(), 1_811_721_600);
        assert_eq!(Date::of_unix(day.begins_at() + 86_399), Some(day));
        assert_eq!("1969-12-31".parse::<Date>().unwrap().begins_at(), 0);
        for text in ["", "2027-02-30", "31.05.2027", "2027-05-31T00:00:00Z", "20270531"] {
            assert_eq!(text.parse::<Date>(), Err(DateError), "{text}");
        }
    }
}
