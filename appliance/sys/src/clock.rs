//! The system's clock and the one that runs while the power is off.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::time::{ClockId, Timespec};

/// Sets the system's clock.
pub fn set_system(unix_seconds: i64, nanoseconds: u32) -> io::Result<()> {
    let time = Timespec { tv_sec: unix_seconds, tv_nsec: nanoseconds.into() };
    Ok(rustix::time::clock_settime(ClockId::Realtime, time)?)
}

/// Sets the real-time clock, which keeps UTC. Its range begins in 1970 and ends in 9999.
pub fn set_rtc(path: &Path, unix_seconds: i64) -> io::Result<()> {
    let time = RtcTime::from_unix(unix_seconds)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no date that the clock can hold"))?;
    let file = File::open(path)?;
    // SAFETY: the request reads one `struct rtc_time`, which `time` is.
    match unsafe { libc::ioctl(file.as_raw_fd(), RTC_SET_TIME as _, &raw const time) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `_IOW('p', 0x0a, struct rtc_time)`.
const RTC_SET_TIME: libc::c_ulong = 0x4024_700a;

/// `struct rtc_time`: as `struct tm`, so that months count from 0 and years from 1900.
#[repr(C)]
#[derive(Debug, Default, PartialEq, Eq)]
struct RtcTime {
    second: libc::c_int,
    minute: libc::c_int,
    hour: libc::c_int,
    day: libc::c_int,
    month: libc::c_int,
    year: libc::c_int,
    unused: [libc::c_int; 3],
}

impl RtcTime {
    fn from_unix(seconds: i64) -> Option<RtcTime> {
        const DAY: i64 = 86_400;
        const YEAR_10000: i64 = 253_402_300_800;
        if !(0..YEAR_10000).contains(&seconds) {
            return None;
        }
        // Days from 1 March of year 0, so that a leap day ends its year; 400 years have 146,097 days.
        let days = seconds / DAY + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12;
        let year = era * 400 + year_of_era + i64::from(month < 2);
        let int = |value: i64| libc::c_int::try_from(value).ok();
        Some(RtcTime {
            second: int(seconds % 60)?,
            minute: int(seconds / 60 % 60)?,
            hour: int(seconds % DAY / 3_600)?,
            day: int(day)?,
            month: int(month)?,
            year: int(year - 1_900)?,
            unused: [0; 3],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(seconds: i64) -> (i32, i32, i32, i32, i32, i32) {
        let time = RtcTime::from_unix(seconds).unwrap();
        (time.year + 1_900, time.month + 1, time.day, time.hour, time.minute, time.second)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(date(951_782_399), (2000, 2, 28, 23, 59, 59));
        assert_eq!(date(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(date(1_772_323_199), (2026, 2, 28, 23, 59, 59));
        assert_eq!(date(1_772_323_200), (2026, 3, 1, 0, 0, 0));
        assert_eq!(date(253_402_300_799), (9999, 12, 31, 23, 59, 59));
        assert_eq!(RtcTime::from_unix(-1), None);
        assert_eq!(RtcTime::from_unix(253_402_300_800), None);
    }
}
