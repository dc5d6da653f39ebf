//! The peer's window as smoltcp is shown it.

use super::Standing;
use crate::tcp::segment::{Segment, Seq};

/// The window field to show. While data is unacknowledged it is never below one segment: a peer that shrinks
/// its window to nothing would silence smoltcp for ever, whereas a retransmission is as good a probe as any
/// (RFC 9293 §3.8.6.1).
pub fn shown(standing: &Standing, segment: &Segment<'_>, ack: Seq) -> u16 {
    if ack >= standing.flight {
        return segment.window;
    }
    let least = u32::from(standing.mss).div_ceil(1 << standing.peer_scale.min(14));
    segment.window.max(u16::try_from(least).unwrap_or(u16::MAX))
}

/// The window that the peer means, in bytes.
pub fn meant(standing: &Standing, segment: &Segment<'_>) -> u32 {
    u32::from(segment.window) << standing.peer_scale.min(14)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{segment, standing};
    use super::*;
    use smoltcp::wire::TcpSeqNumber;

    #[test]
    fn hole_7_never_below_a_segment_while_data_is_in_flight() {
        let mut closed = segment(50_000, 1_000, b"");
        closed.window = 0;
        assert_eq!(shown(&standing(), &closed, TcpSeqNumber(1_000)), 365);
        assert_eq!(shown(&standing(), &closed, TcpSeqNumber(3_000)), 0);
        closed.window = 400;
        assert_eq!(shown(&standing(), &closed, TcpSeqNumber(1_000)), 400);
        assert_eq!(meant(&standing(), &closed), 1_600);
    }
}
