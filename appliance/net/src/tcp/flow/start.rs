//! How much a new connection may send before the first ACK.

use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::TcpPacket;

use super::Flow;
use crate::ip::header_len;
use crate::tcp::ends::Stream;
use crate::tcp::port::Output;
use crate::tcp::segment::{Bare, Seq};

/// RFC 6928 §2: ten segments.
const SEGMENTS: usize = 10;
/// What smoltcp begins with.
const SMOLTCPS: usize = 2_048;

impl<S: Stream> Flow<S> {
    /// smoltcp begins with two small segments and adds one for each ACK. It is made to send segments that
    /// nobody sees, and to hear ACKs of them that nobody sent, until its window is RFC 6928's; the numbers that
    /// it used up are the offset's business. Nothing may be queued yet. A path that lost our SYN is spared.
    pub(super) fn open_congestion_window(
        &mut self,
        now: Instant,
        peer_next: Seq,
        mss: u16,
        output: &mut Output,
    ) {
        let header = header_len(self.tuple.peer.ip());
        let mss = usize::from(mss).min(self.mtu.saturating_sub(header + 20)).max(1);
        let unseen = (SEGMENTS * mss).saturating_sub(SMOLTCPS) / mss;
        for _ in 0..if self.retransmits == 0 { unseen } else { 0 } {
            if self.state() != State::Established {
                return;
            }
            // Not more than it sends at once: what stayed behind would be taken for the gateway's.
            let len = mss.min(SMOLTCPS);
            self.socket(|socket| socket.send(|room| (len.min(room.len()), ())).unwrap_or_default());
            self.egress(now, output);
            let number = |packet: &[u8]| {
                let tcp = TcpPacket::new_checked(packet.get(header..)?).ok()?;
                Some(tcp.seq_number() + tcp.payload().len())
            };
            let end = output.packets().filter_map(|(packet, _)| number(packet)).last();
            output.clear();
            let Some(end) = end else { return };
            let ack = Bare::ack(peer_next, end, u16::MAX);
            self.feed(now, &ack.packet(&self.tuple, true), output);
            output.clear();
            self.offset = self.offset.wrapping_sub(len as i32);
            debug_assert_eq!(self.socket(|socket| socket.send_queue()), 0);
        }
    }
}
