//! ACK numbers (RFC 5961 §5.2): neither for what was never sent, nor from long ago.

use super::Standing;
use crate::tcp::segment::{Segment, Seq};

/// What becomes of the ACK number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    Pass,
    /// Old and harmless, and the segment carries something: shown with this number instead, since smoltcp
    /// would drop it whole.
    Rewrite(Seq),
    Drop,
    Challenge,
}

pub fn judge(standing: &Standing, segment: &Segment<'_>) -> Judged {
    // Every segment of an open connection carries an ACK (RFC 9293 §3.10.7.4).
    let Some(ack) = segment.ack else { return Judged::Drop };
    if ack > standing.max {
        return Judged::Challenge;
    }
    if ack >= standing.una {
        return Judged::Pass;
    }
    if standing.una - ack > standing.peer_window_max as usize {
        return Judged::Challenge;
    }
    if segment.payload.is_empty() && !segment.fin { Judged::Drop } else { Judged::Rewrite(standing.una) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{segment, standing};
    use super::*;
    use smoltcp::wire::TcpSeqNumber;

    #[test]
    fn hole_5_what_was_never_sent_cannot_be_acknowledged() {
        let judge = |ack| judge(&standing(), &segment(50_000, ack, b"x"));
        assert_eq!(judge(3_000), Judged::Pass);
        assert_eq!(judge(3_001), Judged::Challenge);
        assert_eq!(judge(1_000), Judged::Pass);
    }

    #[test]
    fn hole_6_data_with_an_older_ack_is_rewritten() {
        let judge = |ack, payload: &[u8]| judge(&standing(), &segment(50_000, ack, payload));
        assert_eq!(judge(999, b"x"), Judged::Rewrite(TcpSeqNumber(1_000)));
        assert_eq!(judge(-9_000, b"x"), Judged::Rewrite(TcpSeqNumber(1_000)));
        assert_eq!(judge(-9_001, b"x"), Judged::Challenge);
        assert_eq!(judge(999, b""), Judged::Drop);
    }
}
