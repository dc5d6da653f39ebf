//! Values with a unit, parsed into types: sizes and durations.

use std::{fmt, str::FromStr, time::Duration};

/// A number of bytes, written such as `150 MB`, `64 kB`, `4 GiB` or `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A length of time, written such as `5 min`, `30 s`, `4 h`, `5 days` or `500 ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// A text that is no value with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Neither a number of bytes nor one with a known unit.
    #[error("not a size, expected a number with kB, MB, GB, KiB, MiB or GiB, such as \"150 MB\"")]
    Size,
    /// Not a number with a known unit of time.
    #[error("not a period, expected a number with ms, s, min, h or days, such as \"5 min\"")]
    Period,
    /// The number does not fit.
    #[error("the number is too large, expected one that 64 bits hold")]
    TooLarge,
}

const SIZES: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

const PERIODS: [(&str, u64); 10] = [
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("min", 60_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("hour", 3_600_000),
    ("hours", 3_600_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
];

/// The number and the factor of its unit, or nothing if either is unknown.
fn split(text: &str, units: &[(&str, u64)]) -> Option<(u64, u64)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    Some((number.parse().ok()?, factor))
}

impl ByteSize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> ByteSize {
        ByteSize(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, factor) = split(text, &SIZES).ok_or(ValueError::Size)?;
        number.checked_mul(factor).map(ByteSize).ok_or(ValueError::TooLarge)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units =
            [("GB", 1_000_000_000), ("GiB", 1 << 30), ("MB", 1_000_000), ("MiB", 1 << 20), ("kB", 1_000)];
        match units.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Period {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Period {
        Period(Duration::from_secs(seconds))
    }

    /// The same as the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, factor) = split(text, &PERIODS).ok_or(ValueError::Period)?;
        let millis = number.checked_mul(factor).ok_or(ValueError::TooLarge)?;
        Ok(Period(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)];
        match units.iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{} {unit}", millis / factor),
            None => write!(f, "{millis} ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_printed_with_their_unit() {
        for (text, bytes) in
            [("1000", 1_000), ("150 MB", 150_000_000), ("64KiB", 65_536), ("4 gb", 4_000_000_000)]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        for (text, seconds) in [("30 s", 30), ("5min", 300), ("4 h", 14_400), ("5 days", 432_000)] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.duration().as_secs(), seconds);
            assert_eq!(period.to_string().parse(), Ok(period));
        }
    }

    #[test]
    fn what_has_no_known_unit_is_refused() {
        assert_eq!("12 furlongs".parse::<ByteSize>(), Err(ValueError::Size));
        assert_eq!("12".parse::<Period>(), Err(ValueError::Period));
        assert_eq!("18446744073709551615 GB".parse::<ByteSize>(), Err(ValueError::TooLarge));
        assert_eq!("99999999999999999999 s".parse::<Period>(), Err(ValueError::Period));
    }
}
