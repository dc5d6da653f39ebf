//! The window that we advertise: as large as the flow's class allows, never moved left.

use smoltcp::wire::TcpSeqNumber;

use super::Standing;
use crate::tcp::segment::Seq;

/// The window field, and the edge that it means, for a segment that acknowledges `ack` while the flow may
/// still take `room` bytes beyond the peer's next number.
pub fn window(standing: &Standing, ack: Seq, room: usize, scale: u8) -> (u16, Seq) {
    let unit = 1_usize << scale;
    let wished = standing.peer_next + room;
    let worth = wished >= standing.edge && wished - standing.edge >= least_step(standing, room);
    let edge = if worth { wished } else { standing.edge };
    let open = if edge > ack { edge - ack } else { 0 };
    // Rounded down where that moves nothing left, otherwise up.
    let floor = open / unit;
    let down = ack + floor * unit >= standing.edge;
    let field = if down { floor } else { open.div_ceil(unit) };
    let field = u16::try_from(field).unwrap_or(u16::MAX);
    let meant = ack + usize::from(field) * unit;
    (field, TcpSeqNumber::max(meant, standing.edge))
}

/// Whether the peer should hear of new room at once (RFC 9293 §3.8.6.2.2: not for a few bytes).
pub fn is_update_due(standing: &Standing, room: usize) -> bool {
    let wished = standing.peer_next + room;
    let open = if standing.edge > standing.peer_next { standing.edge - standing.peer_next } else { 0 };
    wished > standing.edge && wished - standing.edge >= room.div_ceil(2).max(1) && open <= room / 2
}

fn least_step(standing: &Standing, room: usize) -> usize {
    usize::from(standing.mss).min(room.div_ceil(2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::testing::standing;
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::TcpSeqNumber as N;

    #[test]
    fn opens_by_worthwhile_steps_only() {
        let standing = standing();
        assert_eq!(window(&standing, N(50_000), 16_384, 3), (2_048, N(66_384)));
        assert_eq!(window(&standing, N(50_000), 17_000, 3), (2_048, N(66_384)));
        assert_eq!(window(&standing, N(50_000), 32_768, 3), (4_096, N(82_768)));
        assert_eq!(window(&standing, N(50_000), 0, 3), (2_048, N(66_384)));
        assert!(!is_update_due(&standing, 17_000));
        let full = Standing { edge: N(50_000), ..standing };
        assert!(is_update_due(&full, 16_384) && !is_update_due(&full, 0));
    }

    proptest! {
        #[test]
        fn the_edge_never_moves_left(next in any::<i32>(), ahead in 0..20_000_usize, behind in 0..3_000_usize,
                room in 0..262_144_usize, scale in 0..8_u8) {
            let peer_next = N(next);
            let standing = Standing { peer_next, edge: peer_next + ahead, ..standing() };
            let ack = peer_next - behind;
            let (field, edge) = window(&standing, ack, room, scale);
            prop_assert!(edge >= standing.edge);
            let said = ack + (usize::from(field) << scale);
            prop_assert!(field == u16::MAX || said >= standing.edge);
            let most = TcpSeqNumber::max(standing.edge, peer_next + room) + (1 << scale);
            prop_assert!(said <= most);
        }
    }
}
