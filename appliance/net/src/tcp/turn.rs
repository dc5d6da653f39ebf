//! Turns of the flows that have something to do, and what becomes of them.

use smoltcp::time::Instant;

use super::deadlines::{Expired, Situation};
use super::ends::{Ends, Stream};
use super::flow::{Flow, Origin, Outcome, Surroundings};
use super::syn_cache::Due;
use super::{Context, Tcp};
use crate::control::{EndReason, FailReason, FlowId, FromNet};
use crate::stack::Event;

/// Flows polled in one turn.
const FLOWS_A_TURN: usize = 256;

impl<E: Ends> Tcp<E> {
    /// Works on what is due and on the flows that have something to do. `true`: more is left for another turn.
    pub fn poll(&mut self, cx: &mut Context<'_, '_, E>) -> bool {
        self.ended.due(cx.now);
        while let Some(due) = self.half_open.due(cx.now) {
            match due {
                Due::Resend(tuple, entry) => {
                    self.answer_syn(&tuple, entry.peer_isn, entry.our_isn, entry.options, cx)
                }
                Due::GivenUp => cx.counters.count("tcp.half_open_given_up"),
            }
        }
        while let Some((when, place)) = self.wakes.first().copied() {
            if when > cx.now {
                break;
            }
            self.wakes.remove(&(when, place));
            if let Some(flow) = self.flow_at(place) {
                flow.wake = None;
            }
            self.mark(place);
        }
        for _ in 0..self.dirty.len().min(FLOWS_A_TURN) {
            let Some(place) = self.dirty.pop_front() else { break };
            // A place in the list may have been left by a flow that is gone.
            if let Some(flow) = self.flow_at(place).filter(|flow| flow.dirty) {
                flow.dirty = false;
                self.expire(place, cx);
                self.with_flow(place, cx, |now, flow, around| flow.poll(now, around));
                self.schedule(place, cx);
            }
        }
        !self.dirty.is_empty()
    }

    pub fn next_due(&self) -> Option<Instant> {
        let wake = self.wakes.first().map(|(when, _)| *when);
        [wake, self.half_open.next_due(), self.ended.next_due()].into_iter().flatten().min()
    }

    /// The gateway's end can be read from, or written to, again.
    pub fn ready(&mut self, id: FlowId, readable: bool, writable: bool) {
        let Some(place) = self.place_of(id) else { return };
        if let Some(flow) = self.flow_at(place) {
            flow.readable |= readable;
            flow.writable |= writable;
        }
        self.mark(place);
    }

    /// Puts a flow on the list of those with work, once.
    pub(super) fn mark(&mut self, place: usize) {
        if let Some(flow) = self.flow_at(place)
            && !std::mem::replace(&mut flow.dirty, true)
        {
            self.dirty.push_back(place);
        }
    }

    /// Lets a flow work, and does what its outcome asks for.
    pub(super) fn with_flow(
        &mut self,
        place: usize,
        cx: &mut Context<'_, '_, E>,
        work: impl FnOnce(Instant, &mut Flow<E::Stream>, &mut Surroundings<'_, '_>) -> Outcome,
    ) {
        let Tcp { flows, budget, challenges, output, scratch, .. } = self;
        let Some(flow) = flows.get_mut(place).and_then(Option::as_deref_mut) else { return };
        let listed = flow.dirty;
        let mut around = Surroundings {
            sender: &mut cx.sender,
            counters: cx.counters,
            challenges,
            random: cx.random,
            budget,
            output,
            scratch,
        };
        let outcome = work(cx.now, flow, &mut around);
        // The flow asks for another turn by its mark; the list is kept here.
        if flow.dirty && !listed {
            self.dirty.push_back(place);
        }
        match outcome {
            Outcome::Continues => {}
            Outcome::Opened => self.opened(place, cx),
            Outcome::Failed(reason) => self.failed(place, reason, cx),
            Outcome::Over(reason) => self.remove(place, Some(reason), cx),
            Outcome::TimeWait => {
                if let Some(flow) = self.flow_at(place) {
                    let (tuple, (ours, peers)) = (flow.tuple, flow.last_numbers());
                    self.by_tuple.remove(&tuple);
                    self.ended.insert(cx.now, tuple, ours, peers);
                }
            }
        }
    }

    /// A flow that did nothing new leaves the list; its next deadline is noted.
    pub(super) fn schedule(&mut self, place: usize, cx: &mut Context<'_, '_, E>) {
        let now = cx.now;
        let Some(flow) = self.flows.get_mut(place).and_then(Option::as_deref_mut) else { return };
        let state = flow.state();
        flow.clocks.enter(now, state);
        let situation = situation(flow);
        let own = flow.clocks.due(&situation, &cx.configure.deadlines).map(|(when, _)| when);
        let own = if flow.is_ending() { None } else { own };
        let wake = [flow.next_due(now), own].into_iter().flatten().min().map(|when| when.max(now));
        let old = std::mem::replace(&mut flow.wake, wake);
        if let Some(old) = old {
            self.wakes.remove(&(old, place));
        }
        if let Some(wake) = wake {
            self.wakes.insert((wake, place));
        }
    }

    /// Ends a flow whose deadline has passed.
    pub(super) fn expire(&mut self, place: usize, cx: &mut Context<'_, '_, E>) {
        let Some(flow) = self.flow_at(place) else { return };
        if flow.is_ending() {
            return;
        }
        let situation = situation(flow);
        let due = flow.clocks.due(&situation, &cx.configure.deadlines);
        match due {
            Some((when, expired)) if when <= cx.now => match expired {
                Expired::Opening => self.failed(place, FailReason::TimedOut, cx),
                Expired::Phase(phase) => {
                    let reason = EndReason::TimedOut(phase);
                    self.with_flow(place, cx, |now, flow, around| flow.reset_now(now, around, reason));
                }
                Expired::AskAlive => self.with_flow(place, cx, |now, flow, around| {
                    flow.clocks.asked_alive();
                    flow.keep_alive(now, around);
                    Outcome::Continues
                }),
            },
            _ => {}
        }
    }

    /// Our SYN was answered: the gateway gets its end.
    pub(super) fn opened(&mut self, place: usize, cx: &mut Context<'_, '_, E>) {
        let Some(flow) = self.flow_at(place) else { return };
        let (flow_id, local, origin) = (flow.id, flow.tuple.local, flow.origin);
        let Origin::Asked(id) = origin else { return };
        match cx.ends.stream(flow_id) {
            Some((stream, passed)) => {
                flow.stream = Some(stream);
                let message = FromNet::Connected { id, flow: flow_id, local };
                cx.events.push_back(Event { message, passed: Some(passed), closes: None });
                self.mark(place);
            }
            None => {
                self.with_flow(place, cx, |now, flow, around| {
                    flow.reset_now(now, around, EndReason::LocalReset);
                    Outcome::Failed(FailReason::Limit)
                });
            }
        }
    }

    pub(super) fn failed(&mut self, place: usize, reason: FailReason, cx: &mut Context<'_, '_, E>) {
        let Some(flow) = self.flow_at(place) else { return };
        if let Origin::Asked(id) = flow.origin {
            cx.events.push_back(Event::of(FromNet::Failed { id, reason }));
        }
        self.remove(place, None, cx);
    }

    pub(super) fn remove(&mut self, place: usize, reason: Option<EndReason>, cx: &mut Context<'_, '_, E>) {
        let Some(mut flow) = self.flows.get_mut(place).and_then(Option::take) else { return };
        self.vacant.push(place);
        self.open -= 1;
        flow.release(&mut self.budget);
        if let Some(wake) = flow.wake {
            self.wakes.remove(&(wake, place));
        }
        if self.by_tuple.get(&flow.tuple) == Some(&place) {
            self.by_tuple.remove(&flow.tuple);
        }
        if let Origin::Accepted(id) = flow.origin {
            self.sources.ended(flow.tuple.peer.ip());
            if let Some(listener) = self.listeners.iter_mut().find(|listener| listener.id == id) {
                listener.open = listener.open.saturating_sub(1);
            }
        }
        if let (Some(reason), Some(stream)) = (reason, flow.stream.take()) {
            let message = FromNet::Ended {
                flow: flow.id,
                reason,
                received: flow.received,
                sent: flow.sent,
                rtt_us: flow.round_trip.micros(),
                retransmits: flow.retransmits,
            };
            cx.events.push_back(Event { message, passed: None, closes: Some(stream) });
        }
    }
}

fn situation<S: Stream>(flow: &mut Flow<S>) -> Situation {
    let (queued, in_flight) = flow.unfinished();
    Situation {
        state: flow.state(),
        class: flow.class,
        queued,
        in_flight,
        outgoing: matches!(flow.origin, Origin::Asked(_)),
    }
}
