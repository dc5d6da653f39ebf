//! The round trip of a flow, for its closing note (RFC 6298 §2, §3).

use smoltcp::time::Instant;

use super::segment::Seq;

/// Smoothed, from segments that were sent once (Karn).
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundTrip {
    smoothed_us: u32,
    timed: Option<(Seq, Instant)>,
}

impl RoundTrip {
    /// Microseconds; 0 before the first measurement.
    pub fn micros(&self) -> u32 {
        self.smoothed_us
    }

    pub fn sent(&mut self, now: Instant, end: Seq) {
        self.timed.get_or_insert((end, now));
    }

    pub fn retransmitted(&mut self) {
        self.timed = None;
    }

    pub fn acknowledged(&mut self, now: Instant, number: Seq) {
        let Some((_, sent)) = self.timed.take_if(|(end, _)| number >= *end) else { return };
        let sample = u32::try_from((now - sent).total_micros()).unwrap_or(u32::MAX);
        self.smoothed_us = match self.smoothed_us {
            0 => sample,
            smoothed => smoothed - smoothed / 8 + sample / 8,
        };
    }
}
