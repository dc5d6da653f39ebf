//! The one packet that is sent and the one that is believed (RFC 5905 §7.3, RFC 4330 §5).

use store::Timestamp;

/// Octets of a packet without extensions.
pub const LEN: usize = 48;
/// Seconds from 1900 to 1970.
const ERA: u64 = 2_208_988_800;
/// RFC 5905 §7.3: a server with more dispersion or delay than this, in 2^-16 s, is not synchronised.
const ROOT_MAX: u32 = 16 << 16;
/// Microseconds: an answer that took longer says too little.
const DELAY_MAX: i64 = 2_000_000;

/// What a request carried, to know its answer by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// 64 random bits in the place of our time: nobody who has not seen the request can answer it, and our time
    /// stays our own.
    pub cookie: [u8; 8],
    /// Our clock when it was sent.
    pub at: Timestamp,
}

/// What a good answer says, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How far the server's clock is ahead of ours.
    pub offset: i64,
    /// How long the way took, there and back.
    pub delay: i64,
}

/// Why an answer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("not an answer to our question")]
    Foreign,
    /// RFC 5905 §7.4; the server wants to be asked less, or no more.
    #[error("the server sends us away")]
    Kiss { forever: bool },
    #[error("the server does not know the time itself")]
    Unsynchronised,
    #[error("the server's times contradict each other")]
    Nonsense,
    #[error("the answer took too long")]
    Slow,
}

/// The packet to send: a client of version 4 that says nothing about itself (RFC 8915 §9.3 has the same advice).
pub fn request(asked: &Asked) -> [u8; LEN] {
    let mut packet = [0; LEN];
    packet[0] = 0b00_100_011;
    packet[40..].copy_from_slice(&asked.cookie);
    packet
}

/// Reads an answer that came when our clock said `now`. The server's time is taken for the first that is not before
/// `floor`, since the 32 bits of a timestamp begin anew in 2036.
pub fn read(packet: &[u8], asked: &Asked, now: Timestamp, floor: Timestamp) -> Result<Sample, Refusal> {
    let Some(packet) = packet.first_chunk::<LEN>() else { return Err(Refusal::Foreign) };
    let (leap, version, mode) = (packet[0] >> 6, packet[0] >> 3 & 7, packet[0] & 7);
    if mode != 4 || !(3..=4).contains(&version) || packet[24..32] != asked.cookie {
        return Err(Refusal::Foreign);
    }
    let stratum = packet[1];
    if stratum == 0 {
        return Err(Refusal::Kiss { forever: matches!(&packet[12..16], b"DENY" | b"RSTR") });
    }
    let short = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    if leap == 3 || stratum > 15 || short(4) > ROOT_MAX || short(8) > ROOT_MAX {
        return Err(Refusal::Unsynchronised);
    }
    let (Some(received), Some(sent)) = (time(packet, 32, floor), time(packet, 40, floor)) else {
        return Err(Refusal::Nonsense);
    };
    let (asked_at, now) = (micros(asked.at), micros(now));
    let (there, here) = (sent - received, now - asked_at);
    if there < 0 || here < 0 || there > here.max(0) + 1_000 {
        return Err(Refusal::Nonsense);
    }
    let delay = (here - there).max(0);
    if delay > DELAY_MAX {
        return Err(Refusal::Slow);
    }
    // RFC 5905 §8; halves first, so that nothing can overflow.
    Ok(Sample { offset: (received - asked_at) / 2 + (sent - now) / 2, delay })
}

/// A timestamp in microseconds since 1970; `None` for zero, which means unknown.
fn time(packet: &[u8; LEN], at: usize, floor: Timestamp) -> Option<i64> {
    let word = |at: usize| {
        u64::from(u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]))
    };
    let (seconds, fraction) = (word(at), word(at + 4));
    if seconds == 0 && fraction == 0 {
        return None;
    }
    // Whole eras are added until it is not before the floor.
    let floor = floor.unix_seconds() + ERA;
    let eras = floor.saturating_sub(seconds).div_ceil(1 << 32);
    let unix = (seconds + (eras << 32)).checked_sub(ERA)?;
    i64::try_from(unix * 1_000_000 + ((fraction * 1_000_000) >> 32)).ok()
}

fn micros(time: Timestamp) -> i64 {
    i64::try_from(time.unix_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const COOKIE: [u8; 8] = *b"cookie!!";

    fn floor() -> Timestamp {
        Timestamp::from_unix_seconds(1_790_000_000)
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_unix_micros(1_795_000_000_000_000 + micros)
    }

    fn ntp(time: Timestamp) -> [u8; 8] {
        let seconds = (time.unix_seconds() + ERA) as u32;
        let fraction = (((time.unix_micros() % 1_000_000) << 32).div_ceil(1_000_000)) as u32;
        [seconds.to_be_bytes(), fraction.to_be_bytes()].concat().try_into().unwrap()
    }

    /// The answer of a server whose clock says `received` and `sent`.
    pub(in crate::time) fn answer(cookie: [u8; 8], received: Timestamp, sent: Timestamp) -> Vec<u8> {
        let mut packet = vec![0; LEN];
        packet[0] = 0b00_100_100;
        packet[1] = 2;
        packet[24..32].copy_from_slice(&cookie);
        packet[32..40].copy_from_slice(&ntp(received));
        packet[40..48].copy_from_slice(&ntp(sent));
        packet
    }

    fn asked() -> Asked {
        Asked { cookie: COOKIE, at: at(0) }
    }

    /// A good answer, changed.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Sample, Refusal> {
        let mut packet = answer(COOKIE, at(3_000_000), at(3_010_000));
        change(&mut packet);
        read(&packet, &asked(), at(50_000), floor())
    }

    #[test]
    fn the_offset_is_the_difference_without_the_way() {
        let sample = changed(|_| ()).unwrap();
        assert!((sample.offset - 2_980_000).abs() <= 2 && (sample.delay - 40_000).abs() <= 2, "{sample:?}");
    }

    #[test]
    fn what_is_no_good_answer_is_refused() {
        use Refusal::*;
        for (change, why) in [
            (Box::new(|p: &mut Vec<u8>| p[24] ^= 1) as Box<dyn FnOnce(&mut Vec<u8>)>, Foreign),
            (Box::new(|p| p[0] = 0b00_100_011), Foreign),
            (Box::new(|p| p[0] = 0b00_010_100), Foreign),
            (Box::new(|p| p.truncate(LEN - 1)), Foreign),
            (Box::new(|p| p[0] |= 0b1100_0000), Unsynchronised),
            (Box::new(|p| p[1] = 16), Unsynchronised),
            (Box::new(|p| p[4] = 1), Unsynchronised),
            (Box::new(|p| p[40..].fill(0)), Nonsense),
            (Box::new(|p| p[32..40].copy_from_slice(&ntp(at(4_000_000)))), Nonsense),
            (Box::new(|p| p[1] = 0), Kiss { forever: false }),
            (
                Box::new(|p| {
                    p[1] = 0;
                    p[12..16].copy_from_slice(b"DENY");
                }),
                Kiss { forever: true },
            ),
        ] {
            assert_eq!(changed(change), Err(why));
        }
        let late = read(&answer(COOKIE, at(0), at(0)), &asked(), at(3_000_000), floor());
        assert_eq!(late, Err(Slow));
    }

    #[test]
    fn after_2036_the_seconds_begin_anew() {
        let later = Timestamp::from_unix_seconds(2_500_000_000);
        let asked = Asked { cookie: COOKIE, at: later };
        let sample = read(&answer(COOKIE, later, later), &asked, later, floor()).unwrap();
        assert!(sample.offset.abs() <= 1);
    }

    #[test]
    fn a_request_tells_nothing_but_the_cookie() {
        let packet = request(&asked());
        assert_eq!((packet[0], &packet[40..]), (0x23, &COOKIE[..]));
        assert!(packet[1..40].iter().all(|octet| *octet == 0));
    }

    proptest! {
        #[test]
        fn no_packet_panics(mut packet in proptest::collection::vec(any::<u8>(), 0..80), ours: bool, now: u64) {
            if ours && packet.len() >= LEN {
                packet[0] = 0x24;
                packet[24..32].copy_from_slice(&COOKIE);
            }
            let _ = read(&packet, &asked(), Timestamp::from_unix_micros(now), floor());
        }
    }
}
