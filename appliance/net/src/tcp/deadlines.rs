//! How long each phase of a connection may take: ours, since smoltcp waits for ever or kills the healthy.

use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

use crate::control::{Class, Deadlines, TcpPhase};

/// Questions to an idle peer, and the time between them, before it counts as gone (RFC 9293 §3.8.4).
const KEEP_ALIVES: u8 = 4;
const KEEP_ALIVE_GAP: Duration = Duration::from_secs(75);

/// When what happened last.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    heard: Instant,
    data: Instant,
    progress: Instant,
    window_closed: Option<Instant>,
    phase: State,
    since: Instant,
    keep_alives: u8,
    /// Until when the handshake of ours must be over.
    pub opening_until: Instant,
}

/// What a deadline means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    Opening,
    Phase(TcpPhase),
    /// Not the end: the peer is asked for a sign of life.
    AskAlive,
}

/// What the deadline depends on beside the clocks.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    pub state: State,
    pub class: Class,
    /// Bytes in the send buffer, and whether anything sent is unacknowledged.
    pub queued: usize,
    pub in_flight: bool,
    /// A connection that the gateway asked for.
    pub outgoing: bool,
}

impl Clocks {
    pub fn new(now: Instant) -> Clocks {
        Clocks {
            heard: now,
            data: now,
            progress: now,
            window_closed: None,
            phase: State::Closed,
            since: now,
            keep_alives: 0,
            opening_until: now,
        }
    }

    /// An acceptable segment came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.keep_alives = 0;
    }

    /// Data came.
    pub fn data(&mut self, now: Instant) {
        self.data = now;
    }

    /// The peer acknowledged something, or something is in flight that was not.
    pub fn progress(&mut self, now: Instant) {
        self.progress = now;
        self.window_closed = self.window_closed.map(|_| now);
    }

    /// The peer said how large its window is.
    pub fn window(&mut self, now: Instant, closed: bool) {
        if !closed && self.window_closed.is_some() {
            self.progress = now;
        }
        self.window_closed = closed.then(|| self.window_closed.unwrap_or(now));
    }

    pub fn enter(&mut self, now: Instant, state: State) {
        if self.phase != state {
            self.phase = state;
            self.since = now;
        }
    }

    pub fn asked_alive(&mut self) {
        self.keep_alives += 1;
    }

    /// The next deadline and what it means.
    pub fn due(&self, situation: &Situation, limits: &Deadlines) -> Option<(Instant, Expired)> {
        let at = |from: Instant, seconds: u32, phase| {
            Some((from + Duration::from_secs(u64::from(seconds)), Expired::Phase(phase)))
        };
        let waits = situation.queued > 0;
        match situation.state {
            State::SynSent | State::SynReceived => Some((self.opening_until, Expired::Opening)),
            _ if waits => match (self.window_closed, situation.class) {
                (Some(since), Class::Bulk) => at(since, limits.zero_window_bulk, TcpPhase::ZeroWindow),
                (Some(since), Class::Interactive) => at(since, limits.zero_window, TcpPhase::ZeroWindow),
                (None, _) => at(self.progress, limits.unacknowledged, TcpPhase::Unacknowledged),
            },
            State::FinWait1 | State::Closing => {
                at(self.progress.max(self.since), limits.fin_wait_1, TcpPhase::FinWait1)
            }
            State::LastAck => at(self.progress.max(self.since), limits.last_ack, TcpPhase::LastAck),
            State::FinWait2 => at(self.since.max(self.data), limits.fin_wait_2, TcpPhase::FinWait2),
            State::Established | State::CloseWait if situation.outgoing && !situation.in_flight => {
                let first = self.heard + Duration::from_secs(u64::from(limits.keep_alive));
                let due = first + KEEP_ALIVE_GAP * u32::from(self.keep_alives);
                let gone = self.keep_alives >= KEEP_ALIVES;
                Some((due, if gone { Expired::Phase(TcpPhase::KeepAlive) } else { Expired::AskAlive }))
            }
            _ => None,
        }
    }
}
