//! SYN cookies (RFC 4987 §3.6): the half-open connection kept by the peer, in our initial number.
//!
//! 5 bits: the minute-like counter; 3 bits: which MSS; 24 bits: SipHash of connection, peer's number, counter
//! and MSS.

use smoltcp::time::Instant;
use smoltcp::wire::TcpSeqNumber;

use super::segment::{FourTuple, Seq};
use crate::secret::Key;

/// The sizes that three bits can say.
const SIZES: [u16; 8] = [536, 1_200, 1_300, 1_360, 1_400, 1_440, 1_452, 1_460];
/// Seconds of one count.
const PERIOD_S: i64 = 64;

/// Makes and checks cookies.
#[derive(Debug)]
pub struct Cookies {
    key: Key,
}

impl Cookies {
    pub fn new(key: Key) -> Cookies {
        Cookies { key }
    }

    pub fn make(&self, now: Instant, tuple: &FourTuple, peer_isn: Seq, mss: u16) -> Seq {
        let size = SIZES.iter().rposition(|size| *size <= mss).unwrap_or(0);
        let count = now.secs() / PERIOD_S;
        self.cookie(count, tuple, peer_isn, size)
    }

    /// The peer's MSS, if `cookie` is ours and at most two periods old.
    pub fn check(&self, now: Instant, tuple: &FourTuple, peer_isn: Seq, cookie: Seq) -> Option<u16> {
        let size = (cookie.0 as u32 >> 24) as usize & 7;
        let count = now.secs() / PERIOD_S;
        let fresh =
            [count, count - 1].into_iter().any(|count| self.cookie(count, tuple, peer_isn, size) == cookie);
        if fresh { SIZES.get(size).copied() } else { None }
    }

    fn cookie(&self, count: i64, tuple: &FourTuple, peer_isn: Seq, size: usize) -> Seq {
        let hash = self.key.hash((tuple, peer_isn.0, count, size)) as u32;
        let word = (count as u32 & 31) << 27 | (size as u32) << 24 | (hash & 0xff_ffff);
        TcpSeqNumber(word as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Random;
    use smoltcp::time::Duration;

    #[test]
    fn ours_are_known_others_and_old_ones_are_not() {
        let cookies = Cookies::new(Random::new([1; 32]).key());
        let tuple = FourTuple { local: ([192, 0, 2, 1], 25).into(), peer: ([198, 51, 100, 1], 9).into() };
        let other = FourTuple { peer: ([198, 51, 100, 1], 10).into(), ..tuple };
        let (now, isn) = (Instant::from_secs(1_000), TcpSeqNumber(7));
        for (mss, told) in [(1_460, 1_460), (1_459, 1_452), (536, 536), (100, 536), (9_000, 1_460)] {
            let cookie = cookies.make(now, &tuple, isn, mss);
            assert_eq!(cookies.check(now, &tuple, isn, cookie), Some(told));
            assert_eq!(cookies.check(now + Duration::from_secs(64), &tuple, isn, cookie), Some(told));
            assert_eq!(cookies.check(now + Duration::from_secs(192), &tuple, isn, cookie), None);
            assert_eq!(cookies.check(now, &other, isn, cookie), None);
            assert_eq!(cookies.check(now, &tuple, TcpSeqNumber(8), cookie), None);
            assert_eq!(cookies.check(now, &tuple, isn, cookie + 1), None);
        }
    }
}
