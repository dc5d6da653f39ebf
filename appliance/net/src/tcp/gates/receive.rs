//! What comes beyond the window that we advertised is cut off.

use super::Standing;
use crate::tcp::segment::Segment;

/// What of a segment is inside the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    Whole,
    /// Its first bytes only, without its FIN.
    Part(usize),
    /// Nothing of its bytes; its ACK counts (RFC 9293 §3.10.7.4: "special allowance"), and it is answered by
    /// one, which is what a window probe wants.
    Nothing,
}

pub fn judge(standing: &Standing, segment: &Segment<'_>) -> Fits {
    if segment.payload.is_empty() || segment.seq + segment.payload.len() <= standing.edge {
        return Fits::Whole;
    }
    if segment.seq >= standing.edge { Fits::Nothing } else { Fits::Part(standing.edge - segment.seq) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{segment, standing};
    use super::*;

    #[test]
    fn beyond_the_edge_is_cut() {
        let judge = |seq| judge(&standing(), &segment(seq, 1_000, b"0123456789"));
        assert_eq!(judge(66_374), Fits::Whole);
        assert_eq!(judge(66_375), Fits::Part(9));
        assert_eq!(judge(66_383), Fits::Part(1));
        assert_eq!(judge(66_384), Fits::Nothing);
    }
}
