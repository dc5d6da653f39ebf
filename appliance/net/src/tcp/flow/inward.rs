//! What comes from the wire: gates first, then smoltcp.

use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};

use super::{Flow, Heard, Outcome, Surroundings, our_scale};
use crate::control::{EndReason, FailReason};
use crate::ip::header_len;
use crate::tcp::ends::Stream;
use crate::tcp::gates::{Verdict, ack, duplicate, receive, reset, window};
use crate::tcp::segment::{Bare, LEAST_MSS, Options, Segment, Seq, peer_mss};

impl<S: Stream> Flow<S> {
    /// Takes a segment of the peer's, or of somebody who pretends to be it.
    pub fn segment(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        around: &mut Surroundings<'_, '_>,
    ) -> Outcome {
        if self.ending.is_some() {
            return Outcome::Continues;
        }
        let state = self.state();
        if state == State::SynSent {
            return self.answer_to_syn(now, segment, around);
        }
        if segment.rst {
            match reset::judge(&self.standing, segment) {
                Verdict::Pass if state == State::SynReceived => return Outcome::Failed(FailReason::Refused),
                Verdict::Pass => return self.end(EndReason::PeerReset),
                Verdict::Challenge => self.challenge(now, around),
                Verdict::Drop => around.counters.count("drops.tcp.rst"),
            }
            return Outcome::Continues;
        }
        if segment.syn || !self.is_acceptable(segment) {
            // RFC 5961 §4.2, RFC 9293 §3.10.7.4.
            self.challenge(now, around);
            return Outcome::Continues;
        }
        let number = match ack::judge(&self.standing, segment) {
            ack::Judged::Pass => segment.ack.unwrap_or(self.standing.una),
            ack::Judged::Rewrite(number) => number,
            ack::Judged::Drop => {
                around.counters.count("drops.tcp.ack");
                return Outcome::Continues;
            }
            ack::Judged::Challenge => {
                self.challenge(now, around);
                return Outcome::Continues;
            }
        };
        self.pass(now, segment, number, around);
        if state == State::SynReceived && self.state() != State::SynReceived {
            Outcome::Opened
        } else {
            Outcome::Continues
        }
    }

    /// RFC 9293 §3.10.7.4, first: some of it lies between the peer's next number and our window's end.
    pub(super) fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let (next, edge) = (self.standing.peer_next, self.standing.edge);
        let end = segment.seq + segment.extent();
        // At the edge itself: its ACK is good, whatever becomes of its bytes.
        let begins = segment.seq >= next && segment.seq <= edge;
        begins || segment.seq < next && end > next
    }

    /// Shows smoltcp an acceptable segment.
    pub(super) fn pass(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        number: Seq,
        around: &mut Surroundings<'_, '_>,
    ) {
        let fits = receive::judge(&self.standing, segment);
        let keep = match fits {
            receive::Fits::Whole => segment.payload.len(),
            receive::Fits::Part(len) => len,
            receive::Fits::Nothing => 0,
        };
        self.clocks.heard(now);
        if number >= self.standing.una && segment.ack == Some(number) {
            let meant = window::meant(&self.standing, segment);
            self.standing.peer_window = meant;
            self.standing.peer_window_max = self.standing.peer_window_max.max(meant);
            self.clocks.window(now, meant == 0);
        }
        if duplicate::is_hidden(&self.standing, segment, number) {
            return;
        }
        let field = window::shown(&self.standing, segment, number);
        self.rewrite(segment, number, field, keep, fits != receive::Fits::Whole, around.scratch);
        let packet = std::mem::take(around.scratch);
        self.feed(now, &packet, around.output);
        *around.scratch = packet;
        self.acknowledged(now, number);
        self.furthest = TcpSeqNumber::max(self.furthest, segment.seq + keep);
        if keep > 0 {
            self.clocks.data(now);
        }
        self.count_peer();
        self.emit(now, around);
        if fits == receive::Fits::Nothing {
            self.challenge(now, around);
        }
    }

    /// The packet as smoltcp is to see it: its own numbers, the window of the gate, nothing beyond ours.
    pub(super) fn rewrite(
        &self,
        segment: &Segment<'_>,
        number: Seq,
        field: u16,
        keep: usize,
        cut: bool,
        into: &mut Vec<u8>,
    ) {
        into.clear();
        into.extend_from_slice(segment.packet);
        let header = header_len(self.tuple.peer.ip());
        into.truncate(segment.packet.len() - (segment.payload.len() - keep));
        set_len(into, header);
        let mut tcp = TcpPacket::new_unchecked(&mut into[header..]);
        tcp.set_ack_number(TcpSeqNumber(number.0.wrapping_sub(self.offset)));
        tcp.set_window_len(field);
        if cut {
            tcp.set_fin(false);
        }
    }

    pub(super) fn acknowledged(&mut self, now: Instant, number: Seq) {
        if number <= self.standing.una {
            return;
        }
        let fin_or_syn = usize::from(self.standing.una == self.isn)
            + usize::from(self.standing.fin.is_some_and(|fin| number > fin));
        self.sent += (number - self.standing.una).saturating_sub(fin_or_syn) as u64;
        self.standing.una = number;
        self.standing.flight = TcpSeqNumber::max(self.standing.flight, number);
        self.stalls = 0;
        self.round_trip.acknowledged(now, number);
        self.clocks.progress(now);
    }

    /// The answer to our SYN (RFC 9293 §3.10.7.3).
    pub(super) fn answer_to_syn(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        around: &mut Surroundings<'_, '_>,
    ) -> Outcome {
        let acks_syn = segment.ack == Some(self.standing.max) && self.standing.max == self.isn + 1;
        if segment.rst {
            // Only with an ACK of our SYN.
            return if acks_syn { Outcome::Failed(FailReason::Refused) } else { Outcome::Continues };
        }
        if !segment.syn || segment.ack.is_some() && !acks_syn {
            // RFC 9293 §3.10.7.3: a RST for an ACK of something else, so that the peer forgets an old connection.
            let refusal = Bare::refusal(segment).filter(|_| segment.ack.is_some() && !acks_syn);
            if let Some(refusal) = refusal
                && self.may_challenge(now, around)
            {
                refusal.send(around.sender, now, &self.tuple);
            }
            return Outcome::Continues;
        }
        if peer_mss(&segment.options, self.tuple.peer.ip()) < LEAST_MSS {
            Bare::reset(self.standing.max, None).send(around.sender, now, &self.tuple);
            return Outcome::Failed(FailReason::SegmentSize);
        }
        let scale = segment.options.window_scale.map(|_| our_scale());
        let ours = Options { window_scale: scale, ..Options::default() };
        let number = segment.ack.unwrap_or(TcpSeqNumber(0));
        self.rewrite(segment, number, segment.window, segment.payload.len(), false, around.scratch);
        let packet = std::mem::take(around.scratch);
        self.feed(now, &packet, around.output);
        *around.scratch = packet;
        self.agree(now, segment.seq, segment.options, ours, u32::from(segment.window));
        if acks_syn {
            self.acknowledged(now, number);
        }
        // The ACK of its SYN, before what nobody sees.
        self.egress(now, around.output);
        self.emit(now, around);
        match self.state() {
            State::SynSent | State::SynReceived => Outcome::Continues,
            _ => self.open(now, segment, around),
        }
    }

    /// Our SYN was answered by a SYN and an ACK.
    fn open(&mut self, now: Instant, segment: &Segment<'_>, around: &mut Surroundings<'_, '_>) -> Outcome {
        let (window, options) = (segment.window, segment.options);
        let heard = Heard { isn: segment.seq, window, options, again: self.retransmits > 0 };
        // Data on a SYN is rare, and its ACK must be seen.
        if !segment.payload.is_empty() || self.open_congestion_window(now, &heard, around.output) {
            return Outcome::Opened;
        }
        self.reset_now(now, around, EndReason::LocalReset);
        Outcome::Failed(FailReason::Limit)
    }

    /// The peer's next number, out of what smoltcp took.
    pub(super) fn count_peer(&mut self) {
        let (queued, state) = self.socket(|socket| (socket.recv_queue(), socket.state()));
        let fin = matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        let closed_after_fin = state == State::Closed && self.peer_ended;
        self.peer_ended |= fin;
        self.standing.peer_next = self.base + queued + usize::from(fin || closed_after_fin);
        self.peak = self.peak.max(queued);
    }

    /// "Packet too big" about a segment of ours: obeyed if it names one that is on its way (RFC 5927 §7.2).
    pub fn quotes_ours(&self, seq: Seq) -> bool {
        seq >= self.standing.una && seq < self.standing.max
    }
}

/// Writes the length of an IP packet into its header.
pub(super) fn set_len(packet: &mut [u8], header: usize) {
    let len = packet.len();
    if header == 20 {
        Ipv4Packet::new_unchecked(packet).set_total_len(len as u16);
    } else {
        Ipv6Packet::new_unchecked(packet).set_payload_len((len - header) as u16);
    }
}
