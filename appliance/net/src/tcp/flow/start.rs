//! How much a new connection may send before the first ACK (RFC 6928).

use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::TcpPacket;

use super::{Flow, Heard};
use crate::ip::header_len;
use crate::tcp::ends::Stream;
use crate::tcp::port::Output;
use crate::tcp::segment::Bare;

/// RFC 6928 §2: ten segments, of so many bytes in all unless two are more.
const SEGMENTS: usize = 10;
const BYTES: usize = 14_600;
/// smoltcp's congestion window at first, whatever the size of a segment.
const SMOLTCPS: usize = 2_048;
/// smoltcp's segment size for a peer that names none, of either family.
const MSS: u16 = 536;

impl<S: Stream> Flow<S> {
    /// Opens smoltcp's congestion window to RFC 6928's. There is no other way into it than a past: before anything
    /// of the gateway's is queued, smoltcp hands over bytes that nobody is sent and hears them acknowledged, each
    /// before the next. The numbers that it used up become the offset's business.
    ///
    /// Never more than the peer's window holds: it is what smoltcp is shown, and of what exceeds it smoltcp would
    /// keep a part. A path that lost a SYN or its answer is spared (RFC 6928 §2). `false`: smoltcp kept something
    /// all the same, and nothing may be sent with it.
    #[must_use]
    pub(super) fn open_congestion_window(
        &mut self,
        now: Instant,
        heard: &Heard,
        output: &mut Output,
    ) -> bool {
        let ours = self.mtu.saturating_sub(header_len(self.tuple.peer.ip()) + 20);
        let theirs = usize::from(heard.options.mss.unwrap_or(MSS));
        let mss = theirs.min(ours);
        let initial = (SEGMENTS * mss).min(BYTES.max(2 * mss)).min(heard.shown_window());
        // At each ACK smoltcp opens its window to one of the peer's segments at least, whatever the link takes.
        if heard.again || theirs > initial {
            return true;
        }
        let mut open = SMOLTCPS;
        while open < initial {
            let len = (initial - open).min(mss).min(SMOLTCPS);
            if !self.rehearse(now, len, heard, output) {
                return false;
            }
            open = (open + len).max(theirs);
        }
        true
    }

    /// One segment of `len` bytes, sent to nobody and acknowledged at once.
    fn rehearse(&mut self, now: Instant, len: usize, heard: &Heard, output: &mut Output) -> bool {
        if self.state() != State::Established {
            return false;
        }
        // What lies in the buffer is never seen by anybody.
        let queued = self.socket(|socket| socket.send(|room| (len.min(room.len()), ())).is_ok());
        self.egress(now, output);
        let header = header_len(self.tuple.peer.ip());
        let end = output.packets().last().and_then(|(packet, _)| {
            let tcp = TcpPacket::new_checked(packet.get(header..)?).ok()?;
            Some(tcp.seq_number() + tcp.payload().len())
        });
        output.clear();
        let Some(end) = end.filter(|_| queued) else { return false };
        let ack = Bare::ack(heard.isn + 1, end, heard.scaled_window());
        self.feed(now, &ack.packet(&self.tuple, true), output);
        output.clear();
        self.offset = self.offset.wrapping_sub(len as i32);
        self.socket(|socket| socket.send_queue()) == 0
    }
}
