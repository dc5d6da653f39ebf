//! Initial sequence numbers (RFC 6528) and ports (RFC 6056) that nobody can guess.

use std::net::{IpAddr, SocketAddr};

use smoltcp::time::Instant;
use smoltcp::wire::TcpSeqNumber;

use super::segment::{FourTuple, Seq};
use crate::secret::{Key, Random};

/// Where connections of ours come from; below it some networks filter.
pub const FIRST_PORT: u16 = 16_384;
const PORTS: u32 = 65_536 - FIRST_PORT as u32;
/// Ports tried before a destination counts as full.
const TRIES: u32 = 256;

/// The secrets behind numbers and ports.
#[derive(Debug)]
pub struct Numbers {
    isn: Key,
    port: Key,
    table_key: Key,
    /// RFC 6056 §3.3.4 (algorithm 4): counters shared by destinations of the same hash.
    table: [u16; 64],
}

impl Numbers {
    pub fn new(random: &mut Random) -> Numbers {
        let table = std::array::from_fn(|_| random.word() as u16);
        Numbers { isn: random.key(), port: random.key(), table_key: random.key(), table }
    }

    /// A clock of 250 kHz plus a hash of the connection (RFC 6528 §3).
    pub fn isn(&self, now: Instant, tuple: &FourTuple) -> Seq {
        let clock = now.total_micros() as u64 / 4;
        TcpSeqNumber((clock as u32).wrapping_add(self.isn.hash(tuple) as u32) as i32)
    }

    /// A port that is not in use; `None` when none was found.
    pub fn port(&mut self, local: IpAddr, peer: SocketAddr, in_use: impl Fn(u16) -> bool) -> Option<u16> {
        let offset = self.port.hash((local, peer)) as u32;
        let slot = self.table_key.hash((local, peer)) as usize % self.table.len();
        for _ in 0..TRIES {
            let count = self.table.get_mut(slot)?;
            *count = count.wrapping_add(1);
            let port = FIRST_PORT + ((offset.wrapping_add(u32::from(*count))) % PORTS) as u16;
            if !in_use(port) {
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::time::Duration;

    #[test]
    fn numbers_move_with_the_clock_and_differ_by_connection_and_secret() {
        let numbers = Numbers::new(&mut Random::new([1; 32]));
        let others = Numbers::new(&mut Random::new([2; 32]));
        let tuple =
            |port| FourTuple { local: ([192, 0, 2, 1], 25).into(), peer: ([198, 51, 100, 1], port).into() };
        let now = Instant::from_secs(1_000);
        let later = numbers.isn(now + Duration::from_secs(1), &tuple(1));
        assert_eq!(later - numbers.isn(now, &tuple(1)), 250_000);
        assert_ne!(numbers.isn(now, &tuple(1)), numbers.isn(now, &tuple(2)));
        assert_ne!(numbers.isn(now, &tuple(1)), others.isn(now, &tuple(1)));
    }

    #[test]
    fn ports_are_in_range_and_avoid_those_in_use() {
        let mut numbers = Numbers::new(&mut Random::new([1; 32]));
        let (local, peer) = (IpAddr::from([192, 0, 2, 1]), ([198, 51, 100, 1], 25).into());
        let first = numbers.port(local, peer, |_| false).unwrap();
        assert!(first >= FIRST_PORT);
        assert!((0..1_000).all(|_| numbers.port(local, peer, |port| port == first) != Some(first)));
        assert_eq!(numbers.port(local, peer, |_| true), None);
    }
}
