//! Connections from outside, before they exist: SYN, SYN|ACK, and the ACK that proves the peer's address.

use smoltcp::time::Duration;
use smoltcp::wire::{TcpControl, TcpSeqNumber};

use super::budget::ALWAYS;
use super::ends::Ends;
use super::flow::{Flow, Heard, Origin, promise};
use super::segment::{Bare, FourTuple, LEAST_MSS, Options, Segment, Seq, peer_mss};
use super::syn_cache::HalfOpen;
use super::{Context, Tcp};
use crate::control::{EndReason, FromNet};
use crate::stack::Event;

/// So long a cookie may come back: two of its periods.
const COOKIES_LAST: Duration = Duration::from_secs(128);
/// A new connection of the same peer begins so far beyond the old one's numbers.
const BEYOND: usize = 65_537;

impl<E: Ends> Tcp<E> {
    /// A segment that belongs to no connection.
    pub(super) fn opening(&mut self, segment: &Segment<'_>, cx: &mut Context<'_, '_, E>) {
        if segment.syn && segment.ack.is_none() {
            if self.listeners.iter().any(|listener| listener.takes(segment.tuple.local)) {
                self.syn(segment, None, cx);
            } else {
                self.refuse(segment, "tcp.closed_port", cx);
            }
            return;
        }
        let known = self.half_open.get(&segment.tuple).map(|entry| (entry.peer_isn, entry.our_isn));
        match (segment.rst, segment.ack, known) {
            // RFC 5961 §3.2 here too: the exact number, nothing else.
            (true, _, Some((peer_isn, _))) if segment.seq == peer_isn + 1 => {
                self.half_open.remove(&segment.tuple);
            }
            (true, ..) => cx.counters.count("drops.tcp.rst"),
            (false, Some(ack), Some((peer_isn, our_isn))) if ack == our_isn + 1 => {
                self.proved_by_cache(segment, peer_isn, cx);
            }
            (false, Some(_), None) if cx.now < self.cookies_until && !segment.syn => {
                self.proved_by_cookie(segment, cx)
            }
            _ => self.refuse(segment, "tcp.no_connection", cx),
        }
    }

    /// A SYN after TIME-WAIT (RFC 9293 §3.6.1); our number must lie beyond the old one's.
    pub(super) fn reopen(&mut self, segment: &Segment<'_>, our_next: Seq, cx: &mut Context<'_, '_, E>) {
        if self.listeners.iter().any(|listener| listener.takes(segment.tuple.local)) {
            self.ended.remove(&segment.tuple);
            self.syn(segment, Some(our_next), cx);
        }
    }

    pub(super) fn acknowledge_ended(&mut self, segment: &Segment<'_>, cx: &mut Context<'_, '_, E>) {
        let Some(ended) = self.ended.get(&segment.tuple) else { return };
        if self.challenges.take(cx.now, cx.random) {
            let ack = Bare::ack(ended.our_next, ended.peer_next, 0);
            ack.send(&mut cx.sender, cx.now, &segment.tuple);
        }
    }

    fn syn(&mut self, segment: &Segment<'_>, after: Option<Seq>, cx: &mut Context<'_, '_, E>) {
        let tuple = segment.tuple;
        if peer_mss(&segment.options, tuple.peer.ip()) < LEAST_MSS {
            self.refuse(segment, "refused.segment_size", cx);
            return;
        }
        if let Some(entry) = self.half_open.get(&tuple).copied() {
            if entry.peer_isn == segment.seq {
                self.half_open.repeated(&tuple);
                self.answer_syn(&tuple, entry.peer_isn, entry.our_isn, entry.options, cx);
            } else if self.challenges.take(cx.now, cx.random) {
                // Another number: whoever is right says so by a RST with the exact one.
                let ack = Bare::ack(entry.our_isn + 1, entry.peer_isn + 1, ALWAYS as u16);
                ack.send(&mut cx.sender, cx.now, &tuple);
            }
            return;
        }
        cx.counters.count("tcp.syns");
        if self.half_open.has_room(&tuple) || after.is_some() {
            let fresh = self.numbers.isn(cx.now, &tuple);
            let least = after.map_or(fresh, |after| after + BEYOND);
            let isn = if fresh > least { fresh } else { least };
            self.half_open.insert(cx.now, tuple, (segment.seq, isn), segment.window, segment.options);
            self.answer_syn(&tuple, segment.seq, isn, segment.options, cx);
        } else {
            let isn =
                self.cookies.make(cx.now, &tuple, segment.seq, peer_mss(&segment.options, tuple.peer.ip()));
            self.cookies_until = cx.now + COOKIES_LAST;
            cx.counters.count("tcp.cookies_sent");
            self.answer_syn(
                &tuple,
                segment.seq,
                isn,
                Options { mss: segment.options.mss, ..Options::default() },
                cx,
            );
        }
    }

    /// Sends the SYN|ACK, which promises what smoltcp will do.
    pub(super) fn answer_syn(
        &mut self,
        tuple: &FourTuple,
        peer_isn: Seq,
        our_isn: Seq,
        theirs: Options,
        cx: &mut Context<'_, '_, E>,
    ) {
        let options = promise(tuple, theirs, cx.sender.link.mtu);
        let (seq, ack) = (our_isn, Some(peer_isn + 1));
        let answer = Bare { control: TcpControl::Syn, seq, ack, window: ALWAYS as u16, options };
        answer.send(&mut cx.sender, cx.now, tuple);
    }

    fn proved_by_cache(&mut self, segment: &Segment<'_>, peer_isn: Seq, cx: &mut Context<'_, '_, E>) {
        // RFC 9293 §3.10.7.4: not acceptable, therefore told where we stand.
        let ahead = segment.seq.0.wrapping_sub((peer_isn + 1).0);
        if !(0..=ALWAYS as i32).contains(&ahead) {
            cx.counters.count("drops.tcp.opening");
            return;
        }
        let Some(entry) = self.half_open.remove(&segment.tuple) else { return };
        let HalfOpen { peer_isn: isn, peer_window: window, options, .. } = entry;
        self.establish(segment, entry.our_isn, Heard { isn, window, options, again: entry.again() }, cx);
    }

    fn proved_by_cookie(&mut self, segment: &Segment<'_>, cx: &mut Context<'_, '_, E>) {
        let tuple = segment.tuple;
        let (peer_isn, cookie) = (segment.seq - 1, segment.ack.unwrap_or(TcpSeqNumber(0)) - 1);
        let listens = self.listeners.iter().any(|listener| listener.takes(tuple.local));
        match self.cookies.check(cx.now, &tuple, peer_isn, cookie).filter(|_| listens) {
            Some(mss) => {
                cx.counters.count("tcp.cookies_taken");
                let options = Options { mss: Some(mss), ..Options::default() };
                let heard = Heard { isn: peer_isn, window: segment.window, options, again: false };
                self.establish(segment, cookie, heard, cx);
            }
            None => self.refuse(segment, "tcp.no_connection", cx),
        }
    }

    /// The handshake is complete: limits, then the flow, then the segment that completed it.
    fn establish(&mut self, segment: &Segment<'_>, isn: Seq, heard: Heard, cx: &mut Context<'_, '_, E>) {
        let (tuple, now) = (segment.tuple, cx.now);
        let Some(at) = self.listeners.iter().position(|listener| listener.takes(tuple.local)) else { return };
        let full =
            self.listeners.get(at).is_some_and(|l| l.limits.connections.is_some_and(|most| l.open >= most));
        let admitted = if full {
            Err("refused.listener")
        } else {
            self.sources.admit(now, tuple.peer.ip(), self.open, &cx.configure.limits)
        };
        if let Err(limit) = admitted {
            self.refuse(segment, limit, cx);
            return;
        }
        let Some(listener) = self.listeners.get_mut(at).map(|listener| {
            listener.open += 1;
            listener.id
        }) else {
            return;
        };
        let made = self.make(tuple, Origin::Accepted(listener), Some(isn), cx);
        let flow = Flow::accept(now, made, &self.arena, heard, &mut self.output);
        let ends = flow.and_then(|flow| Some((flow, cx.ends.stream(made.id)?)));
        let Some((mut flow, (stream, passed))) = ends else {
            self.sources.ended(tuple.peer.ip());
            if let Some(listener) = self.listeners.get_mut(at) {
                listener.open -= 1;
            }
            self.refuse(segment, "refused.resources", cx);
            return;
        };
        flow.stream = Some(stream);
        cx.counters.count("tcp.accepted");
        let message = FromNet::Accepted { listener, flow: made.id, peer: tuple.peer, local: tuple.local };
        cx.events.push_back(Event { message, passed: Some(passed), closes: None });
        let place = self.insert(flow);
        self.with_flow(place, cx, |now, flow, around| flow.segment(now, segment, around));
    }

    /// Answers by a RST, if the bucket allows, and counts why.
    fn refuse(&mut self, segment: &Segment<'_>, why: &'static str, cx: &mut Context<'_, '_, E>) {
        cx.counters.count(why);
        if let Some(refusal) = Bare::refusal(segment)
            && self.refusals.take(cx.now, segment.tuple.peer.ip())
        {
            refusal.send(&mut cx.sender, cx.now, &segment.tuple);
        }
    }

    /// Ends everything, as when the gateway is replaced.
    pub fn forget_gateway(&mut self, cx: &mut Context<'_, '_, E>) {
        self.close_listeners();
        self.reset_all(EndReason::ShuttingDown, cx, |_| true);
    }
}
