//! Duplicate ACKs while only our FIN is unacknowledged.

use super::Standing;
use crate::tcp::segment::{Segment, Seq};

/// Whether smoltcp must not see the segment: three such ACKs would make it retransmit data that it no longer
/// has, and forget the FIN.
pub fn is_hidden(standing: &Standing, segment: &Segment<'_>, ack: Seq) -> bool {
    let only_fin = standing.fin == Some(standing.una);
    only_fin && ack == standing.una && segment.payload.is_empty() && !segment.fin
}

#[cfg(test)]
mod tests {
    use super::super::testing::{segment, standing};
    use super::*;
    use smoltcp::wire::TcpSeqNumber as N;

    #[test]
    fn hole_8_duplicate_acks_of_a_lost_fin_are_hidden() {
        let mut standing = standing();
        standing.fin = Some(N(2_999));
        assert!(!is_hidden(&standing, &segment(50_000, 1_000, b""), N(1_000)));
        standing.una = N(2_999);
        assert!(is_hidden(&standing, &segment(50_000, 2_999, b""), N(2_999)));
        assert!(!is_hidden(&standing, &segment(50_000, 3_000, b""), N(3_000)));
        assert!(!is_hidden(&standing, &segment(50_000, 2_999, b"x"), N(2_999)));
    }
}
