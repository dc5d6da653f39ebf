//! The core without a machine: virtual time, streams that are buffers, a link that loses, delays, repeats and
//! damages, and a peer that says exactly what a test wants.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

pub mod link;
pub mod peer;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use net::control::{Configure, FlowId, FromNet, ListenLimits, ListenerId, ToNet, VERSION};
use net::stack::{Setup, Stack};
use net::tcp::budget::MOST;
use net::tcp::ends::{Datagrams, Delivered, Ends, Sent, Stream, Taken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use sys::arena::Arena;

/// What passes between a flow and its gateway.
#[derive(Debug)]
pub struct Pipe {
    /// From the peer, not yet read by the gateway.
    pub received: VecDeque<u8>,
    /// How much of it may wait.
    pub capacity: usize,
    /// From the gateway, not yet taken by the flow.
    pub to_send: VecDeque<u8>,
    /// The gateway shut its side down.
    pub shut: bool,
    /// The gateway closed its end altogether.
    pub closed: bool,
    /// The gateway closed with bytes unread.
    pub aborted: bool,
    /// The peer's FIN arrived.
    pub finished: bool,
}

impl Default for Pipe {
    fn default() -> Pipe {
        Pipe {
            received: VecDeque::new(),
            capacity: 64 * 1024,
            to_send: VecDeque::new(),
            shut: false,
            closed: false,
            aborted: false,
            finished: false,
        }
    }
}

#[derive(Debug, Default)]
pub struct End {
    pipe: Rc<RefCell<Pipe>>,
    datagrams: Rc<RefCell<VecDeque<Vec<u8>>>>,
}

impl Stream for End {
    fn deliver(&mut self, bytes: &[u8]) -> Delivered {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.closed || pipe.aborted {
            return Delivered::Gone;
        }
        let count = bytes.len().min(pipe.capacity.saturating_sub(pipe.received.len()));
        pipe.received.extend(&bytes[..count]);
        Delivered::Took(count)
    }

    fn take(&mut self, room: &mut [u8]) -> Taken {
        let mut pipe = self.pipe.borrow_mut();
        if room.is_empty() {
            return Taken::Nothing;
        }
        if pipe.aborted {
            return Taken::Aborted;
        }
        let count = room.len().min(pipe.to_send.len());
        for (to, from) in room.iter_mut().zip(pipe.to_send.drain(..count)) {
            *to = from;
        }
        match count {
            0 if pipe.shut || pipe.closed => Taken::End,
            0 => Taken::Nothing,
            count => Taken::Bytes(count),
        }
    }

    fn finish(&mut self) {
        self.pipe.borrow_mut().finished = true;
    }
}

impl Datagrams for End {
    fn deliver(&mut self, datagram: &[u8]) -> Sent {
        self.datagrams.borrow_mut().push_back(datagram.to_vec());
        Sent::Took
    }

    fn take(&mut self, room: &mut [u8]) -> Taken {
        Stream::take(self, room)
    }
}

#[derive(Debug, Default)]
pub struct Buffers;

#[derive(Debug, Clone)]
pub struct Passed(pub Rc<RefCell<Pipe>>, pub Rc<RefCell<VecDeque<Vec<u8>>>>);

impl Ends for Buffers {
    type Stream = End;
    type Datagrams = End;
    type Passed = Passed;

    fn stream(&mut self, _: FlowId) -> Option<(End, Passed)> {
        let end = End::default();
        let passed = Passed(Rc::clone(&end.pipe), Rc::clone(&end.datagrams));
        Some((end, passed))
    }

    fn datagrams(&mut self, flow: FlowId) -> Option<(End, Passed)> {
        self.stream(flow)
    }
}

/// A stack and the gateway's side of it.
pub struct Host {
    pub stack: Stack<Buffers>,
    pub pipes: HashMap<FlowId, Passed>,
    pub said: Vec<FromNet>,
}

pub const OUR_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

impl Host {
    /// With an arena of `slots` connections.
    pub fn new(mac: EthernetAddress, seed: u8, slots: u32) -> Host {
        let arena = Arena::reserve(slots, 2 * MOST).unwrap();
        let setup =
            Setup { mac, mtu: 1_500, seed: [seed; 32], arena, buffer_memory: 64 << 20, ends: Buffers };
        let mut stack = Stack::new(setup);
        stack.message_in(Instant::from_secs(1), ToNet::Hello { version: VERSION });
        Host { stack, pipes: HashMap::new(), said: Vec::new() }
    }

    pub fn configure(&mut self, now: Instant, configure: Configure) {
        self.stack.message_in(now, ToNet::Configure(Box::new(configure)));
        self.settle(now);
    }

    pub fn listen(&mut self, now: Instant, port: u16) {
        let (id, limits) = (ListenerId(u32::from(port)), ListenLimits::default());
        self.stack.message_in(now, ToNet::Listen { id, address: None, port, limits });
    }

    /// Lets the stack work until it has nothing to do at this moment, and takes its messages.
    pub fn settle(&mut self, now: Instant) {
        for _ in 0..1_000 {
            let more = self.stack.poll(now);
            while let Some(event) = self.stack.events().pop_front() {
                match (&event.message, event.passed) {
                    (FromNet::Accepted { flow, .. } | FromNet::Connected { flow, .. }, Some(passed))
                    | (FromNet::UdpOpen { flow, .. }, Some(passed)) => {
                        self.pipes.insert(*flow, passed);
                    }
                    _ => {}
                }
                self.said.push(event.message);
            }
            if !more {
                return;
            }
        }
        panic!("the stack never comes to rest");
    }

    /// The only flow so far.
    pub fn flow(&self) -> FlowId {
        *self.pipes.keys().next().expect("a flow")
    }

    pub fn pipe(&self) -> Rc<RefCell<Pipe>> {
        Rc::clone(&self.pipes[&self.flow()].0)
    }

    /// The gateway wrote, read or closed.
    pub fn touched(&mut self, now: Instant) {
        let flows: Vec<FlowId> = self.pipes.keys().copied().collect();
        flows.into_iter().for_each(|flow| self.stack.ready(flow, true, true));
        self.settle(now);
    }

    pub fn ended(&self) -> Vec<net::control::EndReason> {
        let reason = |message: &FromNet| match message {
            FromNet::Ended { reason, .. } => Some(*reason),
            _ => None,
        };
        self.said.iter().filter_map(reason).collect()
    }

    /// The frames that wait, taken.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        let frames = self.stack.out().frames().map(<[u8]>::to_vec).collect();
        self.stack.out().sent(usize::MAX);
        frames
    }
}
