//! The gateway's end of a flow, as the stack sees it: Unix sockets in the driver, buffers in tests.

use crate::control::FlowId;

/// What became of bytes for the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It took so many; fewer than were offered means that it is full.
    Took(usize),
    /// It will take no more, ever.
    Gone,
}

/// What the gateway had to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes, at least one.
    Bytes(usize),
    Nothing,
    /// It will send no more; what it sent is whole.
    End,
    /// It closed with bytes of the peer's unread.
    Aborted,
}

/// One end of a stream. Never blocks.
pub trait Stream {
    fn deliver(&mut self, bytes: &[u8]) -> Delivered;
    fn take(&mut self, room: &mut [u8]) -> Taken;
    /// The peer sends no more.
    fn finish(&mut self);
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Took,
    /// No room: the datagram is lost, as datagrams are.
    Full,
    Gone,
}

/// One end of a UDP flow. Never blocks.
pub trait Datagrams {
    fn deliver(&mut self, datagram: &[u8]) -> Sent;
    /// One datagram, cut to the room; `End` when the gateway closed.
    fn take(&mut self, room: &mut [u8]) -> Taken;
}

/// Makes the two ends of a flow.
pub trait Ends {
    type Stream: Stream;
    type Datagrams: Datagrams;
    /// What is handed to the gateway.
    type Passed;

    /// `None`: no descriptor is left.
    fn stream(&mut self, flow: FlowId) -> Option<(Self::Stream, Self::Passed)>;
    fn datagrams(&mut self, flow: FlowId) -> Option<(Self::Datagrams, Self::Passed)>;
}
