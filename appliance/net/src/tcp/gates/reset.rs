//! RST (RFC 5961 §3.2): believed only with the exact next number.

use super::{Standing, Verdict};
use crate::tcp::segment::Segment;

/// `Pass`: the peer resets the connection.
pub fn judge(standing: &Standing, segment: &Segment<'_>) -> Verdict {
    if segment.seq == standing.peer_next {
        Verdict::Pass
    } else if segment.seq > standing.peer_next && segment.seq < standing.edge {
        Verdict::Challenge
    } else {
        Verdict::Drop
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{segment, standing};
    use super::*;

    #[test]
    fn hole_1_only_the_exact_number_resets() {
        let judge = |seq| judge(&standing(), &segment(seq, 0, &[]));
        assert_eq!(judge(50_000), Verdict::Pass);
        assert_eq!(judge(50_001), Verdict::Challenge);
        assert_eq!(judge(66_383), Verdict::Challenge);
        assert_eq!(judge(66_384), Verdict::Drop);
        assert_eq!(judge(49_999), Verdict::Drop);
    }
}
