//! What stands between the wire and smoltcp. A gate is a pure function of the connection's numbers and a
//! segment; each closes a hole by which a stranger, or a strange peer, could harm a connection.

pub mod ack;
pub mod advertise;
pub mod duplicate;
pub mod receive;
pub mod reset;
pub mod window;

use super::segment::Seq;

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Drop,
    /// Dropped, and answered by an ACK that says where we stand (RFC 5961).
    Challenge,
}

/// Where a connection stands, in the wire's numbers.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The oldest of ours that is not acknowledged (SND.UNA).
    pub una: Seq,
    /// Beyond everything that we sent.
    pub max: Seq,
    /// The same without probes of a closed window.
    pub flight: Seq,
    /// The number of our FIN, once it was sent.
    pub fin: Option<Seq>,
    /// The peer's next (RCV.NXT).
    pub peer_next: Seq,
    /// What we acknowledged last.
    pub acked: Seq,
    /// The end of the window that we advertised; never moves left (RFC 9293 §3.8.6.2.2).
    pub edge: Seq,
    /// The peer's window as it said last, in bytes.
    pub peer_window: u32,
    /// The largest that it ever said.
    pub peer_window_max: u32,
    /// RFC 7323; 0 where it was not agreed upon.
    pub peer_scale: u8,
    pub our_scale: u8,
    /// What the peer takes in one segment.
    pub mss: u16,
}

impl Standing {
    /// The number that an ACK without data carries: SND.NXT (RFC 9293 §3.10.7.4), or the end of the peer's window
    /// when we sent beyond it, since the peer drops what begins there. Windows are rounded to the peer's unit.
    pub fn acceptable(&self) -> Seq {
        let end = self.una + self.peer_window as usize;
        let within = end >= self.flight || self.flight - end < 1 << self.peer_scale.min(14);
        if within { self.flight } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::standing;
    use super::*;
    use smoltcp::wire::TcpSeqNumber as N;

    #[test]
    fn an_ack_lies_in_the_peers_window() {
        let within = |peer_window| Standing { peer_window, ..standing() }.acceptable();
        assert_eq!(within(8_000), N(3_000));
        assert_eq!(within(1_997), N(3_000), "rounded down to four");
        assert_eq!(within(1_996), N(2_996));
        assert_eq!(within(0), N(1_000));
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::tcp::segment::{FourTuple, Options, Segment};
    use smoltcp::wire::TcpSeqNumber as N;

    pub(crate) fn standing() -> Standing {
        Standing {
            una: N(1_000),
            max: N(3_000),
            flight: N(3_000),
            fin: None,
            peer_next: N(50_000),
            acked: N(50_000),
            edge: N(66_384),
            peer_window: 8_000,
            peer_window_max: 10_000,
            peer_scale: 2,
            our_scale: 3,
            mss: 1_460,
        }
    }

    pub(crate) fn segment(seq: i32, ack: i32, payload: &[u8]) -> Segment<'_> {
        Segment {
            tuple: FourTuple { local: ([192, 0, 2, 1], 25).into(), peer: ([198, 51, 100, 1], 9).into() },
            seq: N(seq),
            ack: Some(N(ack)),
            syn: false,
            fin: false,
            rst: false,
            window: 2_000,
            options: Options::default(),
            payload,
            packet: &[],
        }
    }
}
