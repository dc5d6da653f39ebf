//! TCP (RFC 9293) for strangers: a table of connections, each with smoltcp inside and gates before it.
//!
//! Nothing is allocated for a peer that has not proved its address; work comes from a list of flows that have
//! some and an ordered set of deadlines, never from a walk over all flows.

pub mod budget;
pub mod challenge;
pub mod cookie;
pub mod cut;
pub mod deadlines;
pub mod ends;
pub mod flow;
pub mod gates;
mod icmp;
pub mod numbers;
mod opening;
pub mod port;
pub mod round_trip;
pub mod segment;
pub mod sources;
pub mod syn_cache;
pub mod time_wait;
mod turn;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use smoltcp::time::{Duration, Instant};
use sys::arena::Arena;

use crate::bucket::Shared;
use crate::control::{
    Class, Configure, EndReason, FailReason, FlowId, LISTENERS_MAX, ListenLimits, ListenerId, Rejection,
    RequestId,
};
use crate::counters::Counters;
use crate::ip::{Datagram, path_mtu::PathMtus};
use crate::link::Sender;
use crate::secret::{Key, Random};
use crate::stack::Events;
use budget::Budget;
use challenge::Challenges;
use cookie::Cookies;
use ends::Ends;
use flow::{Flow, Made, Origin, Outcome};
use numbers::Numbers;
use port::Output;
use segment::{FourTuple, Segment};
use sources::Sources;
use syn_cache::SynCache;
use time_wait::{TimeWait, Verdict};

/// RSTs a second for segments that belong to nothing.
const REFUSALS: u32 = 100;

/// Where a connection may be accepted.
#[derive(Debug)]
struct Listener {
    id: ListenerId,
    address: Option<IpAddr>,
    port: u16,
    limits: ListenLimits,
    open: u32,
}

/// What the table lends from its neighbours for a call.
pub struct Context<'a, 'b, E: Ends> {
    pub now: Instant,
    pub sender: Sender<'b>,
    pub counters: &'a mut Counters,
    pub random: &'a mut Random,
    pub paths: &'a mut PathMtus,
    pub ends: &'a mut E,
    pub events: &'a mut Events<E>,
    pub configure: &'a Configure,
}

impl<E: Ends> std::fmt::Debug for Context<'_, '_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

/// All connections.
pub struct Tcp<E: Ends> {
    listeners: Vec<Listener>,
    flows: Vec<Option<Box<Flow<E::Stream>>>>,
    vacant: Vec<usize>,
    open: usize,
    by_tuple: HashMap<FourTuple, usize, Key>,
    dirty: VecDeque<usize>,
    wakes: BTreeSet<(Instant, usize)>,
    half_open: SynCache,
    cookies: Cookies,
    cookies_until: Instant,
    ended: TimeWait,
    numbers: Numbers,
    sources: Sources,
    refusals: Shared,
    challenges: Challenges,
    budget: Budget,
    arena: Arena,
    output: Output,
    scratch: Vec<u8>,
    serial: u64,
}

/// A flow's place is the low bits of its id, so that it is found without a search.
const PLACE_BITS: u32 = 20;

impl<E: Ends> std::fmt::Debug for Tcp<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tcp").finish_non_exhaustive()
    }
}

impl<E: Ends> Tcp<E> {
    pub fn new(random: &mut Random, arena: Arena, buffer_memory: u64) -> Tcp<E> {
        Tcp {
            listeners: Vec::new(),
            flows: Vec::new(),
            vacant: Vec::new(),
            open: 0,
            by_tuple: HashMap::with_hasher(random.key()),
            dirty: VecDeque::new(),
            wakes: BTreeSet::new(),
            half_open: SynCache::new(random.key()),
            cookies: Cookies::new(random.key()),
            cookies_until: Instant::ZERO,
            ended: TimeWait::new(random.key()),
            numbers: Numbers::new(random),
            sources: Sources::new(random.key()),
            refusals: Shared::new(REFUSALS, random.key()),
            challenges: Challenges::default(),
            budget: Budget::new(buffer_memory),
            arena,
            output: Output::default(),
            scratch: Vec::new(),
            serial: 0,
        }
    }

    /// Flows that exist.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Whether every table is empty.
    pub fn is_empty(&self) -> bool {
        self.open == 0
            && self.by_tuple.is_empty()
            && self.half_open.is_empty()
            && self.ended.is_empty()
            && self.sources.is_empty()
            && self.budget.granted() == 0
    }

    pub fn set_buffer_memory(&mut self, bytes: u64) {
        self.budget.set_total(bytes);
    }

    /// Gauges for the statistics.
    pub fn measure(&self, counters: &mut Counters) {
        counters.set("tcp.flows", self.open as u64);
        counters.set("tcp.half_open", self.half_open.len() as u64);
        counters.set("tcp.time_wait", self.ended.len() as u64);
        counters.set("tcp.buffers_granted", self.budget.granted());
    }

    /// Takes connections to a port.
    ///
    /// # Errors
    /// An id or port that is taken, port 0, or too many listeners.
    pub fn listen(
        &mut self,
        id: ListenerId,
        address: Option<IpAddr>,
        port: u16,
        limits: ListenLimits,
    ) -> Result<(), Rejection> {
        if port == 0 {
            return Err(Rejection::BadPort(id));
        }
        let same = |l: &Listener| {
            l.port == port && (l.address == address || l.address.is_none() || address.is_none())
        };
        if self.listeners.iter().any(|listener| listener.id == id || same(listener)) {
            return Err(Rejection::ListenerInUse(id));
        }
        if self.listeners.len() >= LISTENERS_MAX {
            return Err(Rejection::TooManyListeners(id));
        }
        self.listeners.push(Listener { id, address, port, limits, open: 0 });
        Ok(())
    }

    /// # Errors
    /// A listener that is not there.
    pub fn unlisten(&mut self, id: ListenerId) -> Result<(), Rejection> {
        let before = self.listeners.len();
        self.listeners.retain(|listener| listener.id != id);
        if self.listeners.len() == before {
            return Err(Rejection::UnknownListener(id));
        }
        let Tcp { half_open, listeners, .. } = self;
        half_open.retain(|tuple| listeners.iter().any(|listener| listener.takes(tuple.local)));
        Ok(())
    }

    /// Takes a datagram that the filter let in.
    ///
    /// # Errors
    /// The counter of what is dropped.
    pub fn datagram_in(
        &mut self,
        datagram: &Datagram<'_>,
        cx: &mut Context<'_, '_, E>,
    ) -> Result<(), &'static str> {
        let segment = Segment::parse(datagram)?;
        if let Some(place) = self.by_tuple.get(&segment.tuple).copied() {
            self.with_flow(place, cx, |now, flow, around| flow.segment(now, &segment, around));
            self.mark(place);
            return Ok(());
        }
        match self.ended.judge(&segment) {
            Some(Verdict::Reopen(ours)) => self.reopen(&segment, ours, cx),
            Some(Verdict::Acknowledge) => self.acknowledge_ended(&segment, cx),
            Some(Verdict::Ignore) => {}
            None => self.opening(&segment, cx),
        }
        Ok(())
    }

    /// `false`: there is no such flow.
    pub fn set_class(&mut self, id: FlowId, class: Class) -> bool {
        let Some(place) = self.place_of(id) else { return false };
        let Tcp { flows, budget, .. } = self;
        if let Some(flow) = flows.get_mut(place).and_then(Option::as_deref_mut) {
            flow.set_class(class, budget);
        }
        self.mark(place);
        true
    }

    /// Ends a flow by a RST. `false`: there is none.
    pub fn reset(&mut self, id: FlowId, reason: EndReason, cx: &mut Context<'_, '_, E>) -> bool {
        let Some(place) = self.place_of(id) else { return false };
        self.with_flow(place, cx, |now, flow, around| flow.reset_now(now, around, reason));
        true
    }

    /// Ends every flow that `which` names, by a RST.
    pub fn reset_all(
        &mut self,
        reason: EndReason,
        cx: &mut Context<'_, '_, E>,
        which: impl Fn(IpAddr) -> bool,
    ) {
        self.half_open.retain(|tuple| !which(tuple.local.ip()));
        for place in 0..self.flows.len() {
            if self.flow_at(place).is_some_and(|flow| which(flow.tuple.local.ip())) {
                self.with_flow(place, cx, |now, flow, around| {
                    let over = flow.reset_now(now, around, reason);
                    if flow.stream.is_none() { Outcome::Failed(FailReason::ShuttingDown) } else { over }
                });
            }
        }
    }

    pub fn close_listeners(&mut self) {
        self.listeners.clear();
        self.half_open.retain(|_| false);
    }

    /// Opens a connection for the gateway.
    ///
    /// # Errors
    /// Why it cannot even be tried.
    pub fn connect(
        &mut self,
        id: RequestId,
        to: SocketAddr,
        from: Option<IpAddr>,
        deadline_ms: u32,
        cx: &mut Context<'_, '_, E>,
    ) -> Result<(), FailReason> {
        let local = local_address(to, from, cx)?;
        if self.open >= cx.configure.limits.connections as usize {
            return Err(FailReason::Limit);
        }
        let Tcp { numbers, by_tuple, ended, .. } = self;
        let tuple = |port| FourTuple { local: SocketAddr::new(local, port), peer: to };
        let used = |port| by_tuple.contains_key(&tuple(port)) || ended.contains(&tuple(port));
        let tuple = tuple(numbers.port(local, to, used).ok_or(FailReason::NoPort)?);
        let made = self.make(tuple, Origin::Asked(id), None, cx);
        let mut flow = Flow::connect(cx.now, made, &self.arena, &mut self.output).ok_or(FailReason::Limit)?;
        let most = Duration::from_secs(u64::from(cx.configure.deadlines.syn_sent));
        flow.clocks.opening_until = cx.now + most.min(Duration::from_millis(u64::from(deadline_ms)));
        self.insert(flow);
        Ok(())
    }

    fn make(
        &mut self,
        tuple: FourTuple,
        origin: Origin,
        isn: Option<segment::Seq>,
        cx: &mut Context<'_, '_, E>,
    ) -> Made {
        let place = self.vacant.last().copied().unwrap_or(self.flows.len());
        self.serial += 1;
        let mtu = cx.sender.link.mtu;
        Made {
            id: FlowId(self.serial << PLACE_BITS | place as u64),
            tuple,
            origin,
            isn: isn.unwrap_or_else(|| self.numbers.isn(cx.now, &tuple)),
            mtu,
            path_mtu: cx.paths.mtu(cx.now, tuple.peer.ip(), mtu),
            seed: cx.random.word(),
        }
    }

    fn insert(&mut self, flow: Flow<E::Stream>) -> usize {
        let tuple = flow.tuple;
        let place = match self.vacant.pop() {
            Some(place) => place,
            None => {
                self.flows.push(None);
                self.flows.len() - 1
            }
        };
        if let Some(slot) = self.flows.get_mut(place) {
            *slot = Some(Box::new(flow));
        }
        self.by_tuple.insert(tuple, place);
        self.open += 1;
        self.mark(place);
        place
    }

    fn flow_at(&mut self, place: usize) -> Option<&mut Flow<E::Stream>> {
        self.flows.get_mut(place)?.as_deref_mut()
    }

    fn place_of(&mut self, id: FlowId) -> Option<usize> {
        let place = (id.0 & ((1 << PLACE_BITS) - 1)) as usize;
        self.flow_at(place).filter(|flow| flow.id == id).map(|_| place)
    }
}

impl Listener {
    fn takes(&self, local: SocketAddr) -> bool {
        self.port == local.port() && self.address.is_none_or(|address| address == local.ip())
    }
}

/// Our address for a connection to `to`.
///
/// # Errors
/// Why there is none.
pub fn local_address<E: Ends>(
    to: SocketAddr,
    from: Option<IpAddr>,
    cx: &Context<'_, '_, E>,
) -> Result<IpAddr, FailReason> {
    let addresses = cx.sender.addresses;
    let broadcast = matches!(to.ip(), IpAddr::V4(v4) if addresses.is_broadcast(v4));
    if to.port() == 0 || !crate::address::is_usable(to.ip()) || broadcast || addresses.is_ours(to.ip()) {
        return Err(FailReason::BadAddress);
    }
    let local = match from {
        Some(from) if addresses.is_ours(from) && from.is_ipv4() == to.is_ipv4() => Some(from),
        Some(_) => None,
        None => addresses.source(to.ip()),
    };
    addresses.next_hop(to.ip()).ok_or(FailReason::NoRoute)?;
    local.ok_or(FailReason::NoRoute)
}
