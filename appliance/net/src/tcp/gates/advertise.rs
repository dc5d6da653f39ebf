//! The window that we advertise: as large as the flow's class allows, never moved left.

use smoltcp::wire::TcpSeqNumber;

use super::Standing;
use crate::tcp::segment::Seq;

/// The window field, and the edge that we hold to, for a segment that acknowledges `ack` while the flow may
/// still take `room` bytes beyond the peer's next number.
///
/// The field is rounded down, so that it may say up to a unit less than the edge, which stays (RFC 7323 §2.4).
/// Rounded up, the edge would creep on with each ACK, beyond what there is room for.
pub fn window(standing: &Standing, ack: Seq, room: usize, scale: u8) -> (u16, Seq) {
    let unit = 1_usize << scale;
    let wished = standing.peer_next + room;
    let worth = wished >= standing.edge && wished - standing.edge >= least_step(standing, room);
    let edge = if worth { wished } else { standing.edge };
    let open = if edge > ack { edge - ack } else { 0 };
    let field = u16::try_from(open / unit).unwrap_or(u16::MAX);
    let meant = ack + usize::from(field) * unit;
    (field, TcpSeqNumber::max(meant, standing.edge))
}

/// Whether the peer should hear of new room at once (RFC 9293 §3.8.6.2.2: not for a few bytes).
pub fn is_update_due(standing: &Standing, room: usize) -> bool {
    let (_, edge) = window(standing, standing.peer_next, room, standing.our_scale);
    let open = if standing.edge > standing.peer_next { standing.edge - standing.peer_next } else { 0 };
    edge > standing.edge && edge - standing.edge >= room.div_ceil(2) && open <= room / 2
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
        fn the_edge_never_moves_left_nor_beyond_the_room(next in any::<i32>(), scale in 0..8_u8,
                steps in proptest::collection::vec((0..3_000_usize, 0..3_000_usize, 0..2_000_usize), 1..200)) {
            let limit = 16_384;
            let mut standing =
                Standing { peer_next: N(next), acked: N(next), edge: N(next) + limit, ..standing() };
            let mut held = 0_usize;
            for (sent, read, behind) in steps {
                let taken = sent.min(standing.edge - standing.peer_next);
                standing.peer_next += taken;
                held += taken;
                held -= read.min(held);
                let ack = standing.peer_next - behind.min(taken);
                let (field, edge) = window(&standing, ack, limit.saturating_sub(held), scale);
                prop_assert!(edge >= standing.edge, "never left");
                prop_assert!(edge - standing.peer_next + held <= limit, "room for all that may come");
                let said = ack + (usize::from(field) << scale);
                prop_assert!(said <= edge && (field == u16::MAX || edge - said < 1 << scale));
                standing.edge = edge;
            }
        }

        #[test]
        fn an_update_is_sent_once(ahead in 0..20_000_usize, room in 0..20_000_usize, scale in 0..8_u8) {
            let standing = Standing { our_scale: scale, ..standing() };
            let standing = Standing { edge: standing.peer_next + ahead, ..standing };
            let (_, edge) = window(&standing, standing.peer_next, room, scale);
            let told = Standing { edge, ..standing };
            prop_assert!(!is_update_due(&told, room));
        }
    }
}
