//! Between smoltcp's buffers and the gateway's end.

use smoltcp::socket::tcp;

use super::Flow;
use crate::control::Class;
use crate::tcp::budget::{ALWAYS, Budget, INTERACTIVE_SEND, MOST};
use crate::tcp::ends::{Delivered, Stream, Taken};

/// Bytes that a flow may move to and from the gateway in one turn.
const BYTES_A_TURN: usize = 64 * 1024;
/// A flow that held so much gives its pages back when it is empty.
const BURST: usize = 32 * 1024;

impl<S: Stream> Flow<S> {
    pub(super) fn deliver(&mut self) -> Delivered {
        let mut moved = 0;
        let Flow { stream: Some(stream), buffers, writable, .. } = self else { return Delivered::Took(0) };
        while moved < BYTES_A_TURN && *writable {
            let step = buffers.with(|(set, handle)| {
                let socket = set.get_mut::<tcp::Socket<'_>>(*handle);
                if socket.recv_queue() == 0 {
                    return None;
                }
                let mut full = false;
                let delivered = socket.recv(|bytes| match stream.deliver(bytes) {
                    Delivered::Took(count) => {
                        full = count < bytes.len();
                        (count, Delivered::Took(count))
                    }
                    Delivered::Gone => (0, Delivered::Gone),
                });
                Some((delivered.unwrap_or(Delivered::Took(0)), full))
            });
            match step {
                None => break,
                Some((Delivered::Gone, _)) => return Delivered::Gone,
                Some((Delivered::Took(count), full)) => {
                    moved += count;
                    *writable = !full;
                }
            }
        }
        self.base += moved;
        self.received += moved as u64;
        if moved >= BYTES_A_TURN {
            self.dirty = true;
        }
        self.finish_if_ended();
        Delivered::Took(moved)
    }

    pub(super) fn finish_if_ended(&mut self) {
        if self.peer_ended && !self.told_end && self.waiting() == 0 {
            self.told_end = true;
            if let Some(stream) = &mut self.stream {
                stream.finish();
            }
        }
    }

    pub(super) fn fetch(&mut self, budget: &mut Budget) -> Taken {
        let mut moved = 0;
        while self.readable && moved < BYTES_A_TURN {
            let room = self.send_room(budget);
            let Flow { stream: Some(stream), buffers, .. } = self else { return Taken::Nothing };
            if room == 0 {
                break;
            }
            let taken = buffers.with(|(set, handle)| {
                let socket = set.get_mut::<tcp::Socket<'_>>(*handle);
                let result = socket.send(|space| {
                    let len = space.len().min(room);
                    let taken = stream.take(space.get_mut(..len).unwrap_or_default());
                    (if let Taken::Bytes(count) = taken { count.min(len) } else { 0 }, taken)
                });
                result.ok()
            });
            match taken {
                Some(Taken::Bytes(count)) => moved += count,
                Some(Taken::End) => {
                    self.readable = false;
                    self.heard_end = true;
                    self.socket(|socket| socket.close());
                }
                Some(Taken::Aborted) => return Taken::Aborted,
                // Nothing there, or our side is closed already.
                Some(Taken::Nothing) | None => self.readable = false,
            }
        }
        if moved >= BYTES_A_TURN {
            self.dirty = true;
        }
        Taken::Nothing
    }

    /// What may be put into the send buffer; a full one grows while the class and the budget allow.
    pub(super) fn send_room(&mut self, budget: &mut Budget) -> usize {
        let queued = self.socket(|socket| socket.send_queue());
        let most = if self.class == Class::Bulk { MOST } else { INTERACTIVE_SEND };
        if queued >= self.send_limit && self.send_limit < most {
            self.send_limit = budget.change(self.send_limit, most);
        }
        self.peak = self.peak.max(queued);
        self.send_limit.saturating_sub(queued)
    }

    pub(super) fn room(&mut self) -> usize {
        let (queued, capacity) = self.socket(|socket| (socket.recv_queue(), socket.recv_capacity()));
        // smoltcp rounds its own window down to a unit, and takes nothing beyond.
        let window = capacity - (1 << self.standing.our_scale);
        self.receive_limit.min(window).saturating_sub(queued)
    }

    /// After a burst the pages go back, once nothing is in them.
    pub(super) fn give_back(&mut self) {
        let empty = self.socket(|socket| socket.recv_queue() == 0 && socket.send_queue() == 0);
        // Bytes that came out of order lie in the buffer, beyond those that it says it holds.
        if self.peak > BURST && empty && self.furthest <= self.standing.peer_next {
            self.buffers.discard();
            self.peak = 0;
        }
    }

    /// The gateway says what the flow is used for.
    pub fn set_class(&mut self, class: Class, budget: &mut Budget) {
        self.class = class;
        let wished = if class == Class::Bulk { MOST } else { ALWAYS };
        self.receive_limit = budget.change(self.receive_limit, wished);
        if class == Class::Interactive {
            self.send_limit = budget.change(self.send_limit, ALWAYS);
        }
    }

    /// Gives its grants back, before it is dropped.
    pub fn release(&mut self, budget: &mut Budget) {
        self.receive_limit = budget.change(self.receive_limit, ALWAYS);
        self.send_limit = budget.change(self.send_limit, ALWAYS);
    }
}
