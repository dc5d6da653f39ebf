//! What goes to the wire: smoltcp's segments in the wire's numbers, and a few of our own.

use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

use super::inward::set_len;
use super::{Flow, Surroundings};
use crate::ip::header_len;
use crate::tcp::budget::ALWAYS;
use crate::tcp::cut;
use crate::tcp::ends::Stream;
use crate::tcp::gates::advertise;
use crate::tcp::segment::{Bare, LEAST_MSS, Seq};

/// Segments of this size pass where nobody says that ours are too big (RFC 4821 §7.3's idea).
const SAFE_SEGMENT: usize = 1_200;
/// Full segments lost in a row, with nothing gained, before the path is taken to be narrow.
const NARROW_AFTER: u8 = 2;

impl<S: Stream> Flow<S> {
    /// Asks for a sign of life (RFC 9293 §3.8.4): an old number, which any peer answers.
    pub fn keep_alive(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        self.acknowledge_from(self.standing.una - 1, now, around);
    }

    /// Sends what smoltcp handed over, in the wire's numbers.
    pub(super) fn emit(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        if around.output.is_empty() {
            return;
        }
        let header = header_len(self.tuple.peer.ip());
        let mut output = std::mem::take(around.output);
        for (packet, cut) in output.packets() {
            let Some(tcp) = packet.get_mut(header..) else { continue };
            let data = self.stamp(now, &mut TcpPacket::new_unchecked(&mut *tcp));
            let size = cut.map_or(data.max(1), usize::from).min(self.cut);
            let pieces = cut::send(around.sender, now, &self.tuple, tcp, size);
            around.counters.add("tcp.segments_out", pieces as u64);
        }
        output.clear();
        *around.output = output;
    }

    /// Writes our number and window into a segment and notes what it means. Returns its bytes of data.
    pub(super) fn stamp(&mut self, now: Instant, tcp: &mut TcpPacket<&mut [u8]>) -> usize {
        let smoltcps = tcp.seq_number();
        if tcp.syn() && self.standing.max == self.isn {
            self.offset = self.isn.0.wrapping_sub(smoltcps.0);
        }
        let mut seq = TcpSeqNumber(smoltcps.0.wrapping_add(self.offset));
        let data = tcp.payload_mut().len();
        if data == 0 && !tcp.syn() && !tcp.fin() && !tcp.rst() {
            // smoltcp goes back to SND.UNA when it retransmits; a peer drops ACKs with numbers that it has passed.
            seq = self.standing.acceptable();
        }
        let end = seq + data + usize::from(tcp.syn()) + usize::from(tcp.fin());
        tcp.set_seq_number(seq);
        let probe = data == 1 && self.standing.peer_window == 0 && self.standing.flight == self.standing.una;
        if end > seq && end <= self.standing.max && !probe {
            self.retransmitted(seq, data);
        } else if end > self.standing.max && !probe {
            self.round_trip.sent(now, end);
            if self.standing.flight == self.standing.una {
                self.clocks.progress(now);
            }
        }
        self.standing.max = TcpSeqNumber::max(self.standing.max, end);
        if !probe {
            self.standing.flight = TcpSeqNumber::max(self.standing.flight, end);
        }
        if tcp.fin() {
            self.standing.fin = Some(seq + data);
        }
        if tcp.syn() {
            tcp.set_window_len(ALWAYS as u16); // Never scaled in a SYN (RFC 7323 §2.2).
        } else {
            let ack = tcp.ack_number();
            let (field, edge) = self.field(ack);
            tcp.set_window_len(field);
            self.standing.acked = ack;
            self.standing.edge = edge;
        }
        data
    }

    pub(super) fn retransmitted(&mut self, seq: Seq, data: usize) {
        self.retransmits = self.retransmits.saturating_add(1);
        self.round_trip.retransmitted();
        if seq == self.standing.una && data > SAFE_SEGMENT && self.cut > SAFE_SEGMENT {
            self.stalls = self.stalls.saturating_add(1);
            if self.stalls >= NARROW_AFTER {
                self.cut = SAFE_SEGMENT;
            }
        }
    }

    /// Tells the peer of room that the gateway made.
    pub(super) fn update_window(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        let open = matches!(self.state(), State::Established | State::FinWait1 | State::FinWait2);
        let room = self.room();
        if !open || !advertise::is_update_due(&self.standing, room) {
            return;
        }
        self.acknowledge(now, around);
    }

    pub(super) fn acknowledge(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        self.acknowledge_from(self.standing.acceptable(), now, around);
    }

    fn acknowledge_from(&mut self, seq: Seq, now: Instant, around: &mut Surroundings<'_, '_>) {
        let ack = self.standing.peer_next;
        let (field, edge) = self.field(ack);
        Bare::ack(seq, ack, field).send(around.sender, now, &self.tuple);
        self.standing.edge = edge;
        self.standing.acked = ack;
        self.open_smoltcps_window(now, around);
    }

    /// smoltcp refuses what lies beyond the window that it sent last itself, and the ACK with it. It is shown a
    /// byte that it has had: it takes note of its window, as for an answer, which nobody needs.
    fn open_smoltcps_window(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        if !matches!(self.state(), State::Established | State::FinWait1 | State::FinWait2) {
            return;
        }
        let had = self.standing.peer_next - 1;
        let number = TcpSeqNumber(self.standing.una.0.wrapping_sub(self.offset));
        let mut packet = Bare::ack(had, number, u16::MAX).packet(&self.tuple, true);
        packet.push(0);
        set_len(&mut packet, header_len(self.tuple.peer.ip()));
        self.feed(now, &packet, around.output);
        around.output.clear();
    }

    pub(super) fn may_challenge(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) -> bool {
        self.challenge.take(now) && around.challenges.take(now, around.random)
    }

    pub(super) fn challenge(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        around.counters.count("tcp.challenges");
        if self.may_challenge(now, around) {
            self.acknowledge(now, around);
        }
    }

    pub(super) fn field(&mut self, ack: Seq) -> (u16, Seq) {
        let room = self.room();
        advertise::window(&self.standing, ack, room, self.standing.our_scale)
    }

    /// The path takes packets of `mtu` bytes. What was too large is sent again when its timer says so.
    pub fn set_path(&mut self, mtu: usize) {
        let headers = header_len(self.tuple.peer.ip()) + 20;
        self.cut = self.cut.min(mtu.saturating_sub(headers)).max(usize::from(LEAST_MSS));
    }
}
