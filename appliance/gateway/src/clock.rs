//! The two times of the gateway: how long it has run, which only goes forward, and what time it is, which SNTP sets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use smtp::Time;
use store::Timestamp;
use tokio::time::Instant;

/// A cheap handle on both clocks. Under tokio's paused time both stand still with it.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    /// Unix microseconds at `start`.
    unix_at_start: AtomicU64,
}

impl Clock {
    /// Begins with what the system's clock says.
    pub fn system() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock::starting_at(Timestamp::from_unix_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Begins at `now`.
    pub fn starting_at(now: Timestamp) -> Clock {
        let unix_at_start = AtomicU64::new(now.unix_micros());
        Clock(Arc::new(Inner { start: Instant::now(), unix_at_start }))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.unix_at_start.load(Ordering::Relaxed))
            .after(self.0.start.elapsed())
    }

    /// How long the gateway has run: the time that protocol sessions are told.
    pub fn elapsed(&self) -> Time {
        Time::from_start(self.0.start.elapsed())
    }

    /// The runtime's name for `time`, to sleep until it.
    pub fn instant(&self, time: Time) -> Instant {
        // A day: a deadline beyond it is looked at again when it comes, and the addition cannot overflow.
        let ahead = time.since(self.elapsed()).min(std::time::Duration::from_secs(86_400));
        Instant::now() + ahead
    }

    /// Says that it is `now`. What was measured by [`elapsed`](Self::elapsed) is not moved.
    pub fn set(&self, now: Timestamp) {
        let run = u64::try_from(self.0.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.unix_at_start.store(now.unix_micros().saturating_sub(run), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn setting_the_time_moves_no_deadline() {
        let clock = Clock::starting_at(Timestamp::from_unix_seconds(1_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Timestamp::from_unix_seconds(1_005));
        let deadline = clock.elapsed() + Duration::from_secs(10);
        clock.set(Timestamp::from_unix_seconds(9_000));
        assert_eq!(clock.now(), Timestamp::from_unix_seconds(9_000));
        assert_eq!(clock.elapsed(), Time::from_start(Duration::from_secs(5)));
        assert_eq!(clock.instant(deadline), Instant::now() + Duration::from_secs(10));
    }
}
