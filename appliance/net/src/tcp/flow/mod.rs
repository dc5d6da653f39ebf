//! One connection: smoltcp's socket in an interface of its own, the gates before it, the gateway's end
//! behind it.

mod gateway;
mod inward;
mod outward;
mod start;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, TcpControl, TcpPacket, TcpSeqNumber};
use sys::arena::{Arena, Holder, Leased};

use crate::bucket::Bucket;
use crate::control::{Class, EndReason, FailReason, FlowId, ListenerId, RequestId};
use crate::counters::Counters;
use crate::ip::header_len;
use crate::link::Sender;
use crate::secret::Random;
use crate::tcp::budget::{ALWAYS, Budget, MOST};
use crate::tcp::challenge::{self, Challenges};
use crate::tcp::deadlines::Clocks;
use crate::tcp::ends::{Delivered, Stream, Taken};
use crate::tcp::gates::Standing;
use crate::tcp::port::{Output, Port};
use crate::tcp::round_trip::RoundTrip;
use crate::tcp::segment::{Bare, FourTuple, LEAST_MSS, Options, Seq, offered_mss, peer_mss};

/// Packets of smoltcp's that a flow may send in one turn.
const PACKETS_A_TURN: usize = 16;
/// Longer than smoltcp's delayed ACK, which must go out before a flow is let go.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// The buffers' user.
#[derive(Debug)]
pub struct Buffers;
impl Holder for Buffers {
    type With<'a> = (SocketSet<'a>, SocketHandle);
}

/// Who wanted the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Accepted(ListenerId),
    Asked(RequestId),
}

/// What happened to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Continues,
    /// Our SYN was answered.
    Opened,
    /// The connection that the gateway asked for cannot be.
    Failed(FailReason),
    /// It is over, and everything for the gateway was delivered.
    Over(EndReason),
    /// Both sides are done; what is left is the gateway's reading and the TIME-WAIT entry.
    TimeWait,
}

/// What a flow works with during a call.
pub struct Surroundings<'a, 'b> {
    pub sender: &'a mut Sender<'b>,
    pub counters: &'a mut Counters,
    pub challenges: &'a mut Challenges,
    pub random: &'a mut Random,
    pub budget: &'a mut Budget,
    pub output: &'a mut Output,
    pub scratch: &'a mut Vec<u8>,
}

impl std::fmt::Debug for Surroundings<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// A connection.
pub struct Flow<S> {
    pub id: FlowId,
    pub tuple: FourTuple,
    pub origin: Origin,
    pub stream: Option<S>,
    pub class: Class,
    pub clocks: Clocks,
    pub round_trip: RoundTrip,
    /// When it wants to be polled; kept in the driver's ordered set.
    pub wake: Option<Instant>,
    pub dirty: bool,
    /// The gateway may have something to send, or room to take.
    pub readable: bool,
    pub writable: bool,
    pub received: u64,
    pub sent: u64,
    pub retransmits: u32,
    iface: Interface,
    buffers: Leased<Buffers>,
    mtu: usize,
    standing: Standing,
    /// Wire numbers less smoltcp's.
    offset: i32,
    /// The number of our SYN on the wire.
    isn: Seq,
    /// The number of the first byte in the receive buffer.
    base: Seq,
    /// The end of the furthest byte that smoltcp was given.
    furthest: Seq,
    receive_limit: usize,
    send_limit: usize,
    /// The most that the buffers held since their pages were given back.
    peak: usize,
    challenge: Bucket,
    /// Over but for the bytes that the gateway has not taken yet.
    ending: Option<EndReason>,
    peer_ended: bool,
    told_end: bool,
    heard_end: bool,
    stalls: u8,
    cut: usize,
}

/// What a new flow is made of.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    pub id: FlowId,
    pub tuple: FourTuple,
    pub origin: Origin,
    pub isn: Seq,
    /// Of the link, which the offered segment size follows.
    pub mtu: usize,
    /// Of the path, which the cutter obeys.
    pub path_mtu: usize,
    pub seed: u64,
}

/// What the peer's SYN said.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    pub isn: Seq,
    /// Not scaled.
    pub window: u16,
    pub options: Options,
    /// It, or our answer, had to be said again.
    pub again: bool,
}

impl Heard {
    fn scale(&self) -> u8 {
        self.options.window_scale.unwrap_or(0).min(14)
    }

    /// The same window as a later segment says it (RFC 7323 §2.2); never more.
    fn scaled_window(&self) -> u16 {
        self.window >> self.scale()
    }

    /// What that is worth, in bytes.
    fn shown_window(&self) -> usize {
        usize::from(self.scaled_window()) << self.scale()
    }
}

impl<S> std::fmt::Debug for Flow<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("id", &self.id).field("tuple", &self.tuple).finish_non_exhaustive()
    }
}

impl<S: Stream> Flow<S> {
    /// A connection whose handshake is over: smoltcp is told of it as if it happened now. `None`: no slot is
    /// free.
    pub fn accept(
        now: Instant,
        made: Made,
        arena: &Arena,
        heard: Heard,
        output: &mut Output,
    ) -> Option<Flow<S>> {
        let mut flow = Flow::build(now, made, arena, output)?;
        let local = made.tuple.local;
        flow.socket(|socket| socket.listen((local.ip(), local.port())).is_ok());
        let Heard { isn: seq, window, options, .. } = heard;
        let syn = Bare { control: TcpControl::Syn, seq, ack: None, window, options };
        flow.feed(now, &syn.packet(&made.tuple, true), output);
        output.clear();
        flow.egress(now, output);
        let swallowed = output.packets().next().and_then(|(packet, _)| syn_of(packet));
        output.clear();
        let (number, promised) = swallowed?;
        // Our SYN|ACK went out before smoltcp was asked.
        debug_assert_eq!(promised, promise(&made.tuple, options, made.mtu));
        flow.offset = made.isn.0.wrapping_sub(number.0);
        // Its address is proved; the segment that did it may carry data, whose ACK must be seen.
        let proof = Bare::ack(seq + 1, number + 1, heard.scaled_window());
        flow.feed(now, &proof.packet(&made.tuple, true), output);
        output.clear();
        if !flow.open_congestion_window(now, &heard, output) {
            return None;
        }
        flow.agree(now, seq, options, promised, u32::from(window));
        Some(flow)
    }

    /// A connection of ours; the next poll sends its SYN. `None`: no slot is free.
    pub fn connect(now: Instant, made: Made, arena: &Arena, output: &mut Output) -> Option<Flow<S>> {
        let mut flow: Flow<S> = Flow::build(now, made, arena, output)?;
        let (local, peer) = (made.tuple.local, made.tuple.peer);
        let Flow { iface, buffers, .. } = &mut flow;
        let connected = buffers.with(|(set, handle)| {
            let socket = set.get_mut::<tcp::Socket<'_>>(*handle);
            socket.connect(iface.context(), (peer.ip(), peer.port()), (local.ip(), local.port())).is_ok()
        });
        connected.then_some(flow)
    }

    fn build(now: Instant, made: Made, arena: &Arena, output: &mut Output) -> Option<Flow<S>> {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = made.seed;
        let mut port = Port { input: None, output, mtu: made.mtu, budget: 0 };
        let mut iface = Interface::new(config, &mut port, now);
        let local = made.tuple.local.ip();
        let prefix = if local.is_ipv4() { 32 } else { 128 };
        // The table is new, so that there is room for one.
        iface.update_ip_addrs(|own| own.push(IpCidr::new(local.into(), prefix)).unwrap_or_default());
        let routed = match local {
            std::net::IpAddr::V4(v4) => iface.routes_mut().add_default_ipv4_route(v4).is_ok(),
            std::net::IpAddr::V6(v6) => iface.routes_mut().add_default_ipv6_route(v6).is_ok(),
        };
        debug_assert!(routed);
        let buffers = arena.lease::<Buffers>(|receive, send| {
            let mut set = SocketSet::new(Vec::with_capacity(1));
            let handle =
                set.add(tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(send)));
            (set, handle)
        })?;
        let zero = TcpSeqNumber(0);
        let standing = Standing {
            una: made.isn,
            max: made.isn,
            flight: made.isn,
            fin: None,
            peer_next: zero,
            acked: zero,
            edge: zero,
            peer_window: 0,
            peer_window_max: 0,
            peer_scale: 0,
            our_scale: 0,
            mss: 536,
        };
        Some(Flow {
            id: made.id,
            tuple: made.tuple,
            origin: made.origin,
            stream: None,
            class: Class::Interactive,
            clocks: Clocks::new(now),
            round_trip: RoundTrip::default(),
            wake: None,
            dirty: false,
            readable: true,
            writable: true,
            received: 0,
            sent: 0,
            retransmits: 0,
            iface,
            buffers,
            mtu: made.mtu,
            standing,
            offset: 0,
            isn: made.isn,
            base: zero,
            furthest: zero,
            receive_limit: ALWAYS,
            send_limit: ALWAYS,
            peak: 0,
            challenge: Bucket::new(challenge::PER_FLOW),
            ending: None,
            peer_ended: false,
            told_end: false,
            heard_end: false,
            stalls: 0,
            cut: made
                .path_mtu
                .saturating_sub(header_len(made.tuple.peer.ip()) + 20)
                .max(usize::from(LEAST_MSS)),
        })
    }

    /// Both SYNs are known: what was agreed upon.
    fn agree(&mut self, now: Instant, peer_isn: Seq, theirs: Options, ours: Options, peer_window: u32) {
        let scaled = theirs.window_scale.zip(ours.window_scale);
        let next = peer_isn + 1;
        self.base = next;
        self.furthest = next;
        self.standing = Standing {
            una: self.isn,
            max: self.isn + 1,
            flight: self.isn + 1,
            peer_next: next,
            acked: next,
            edge: next + ALWAYS,
            peer_window,
            peer_window_max: peer_window,
            peer_scale: scaled.map_or(0, |(theirs, _)| theirs),
            our_scale: scaled.map_or(0, |(_, ours)| ours),
            mss: peer_mss(&theirs, self.tuple.peer.ip()),
            ..self.standing
        };
        self.clocks.heard(now);
    }

    pub fn state(&mut self) -> State {
        self.socket(|socket| socket.state())
    }

    /// Whether it waits for the answer to our SYN.
    pub fn is_opening(&mut self) -> bool {
        matches!(self.state(), State::SynSent | State::SynReceived)
    }

    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// A turn: to the gateway, from the gateway, to the wire.
    pub fn poll(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) -> Outcome {
        if self.deliver() == Delivered::Gone {
            return self.reset_now(now, around, EndReason::LocalReset);
        }
        if let Some(reason) = self.ending {
            return if self.waiting() == 0 { Outcome::Over(reason) } else { Outcome::Continues };
        }
        if self.fetch(around.budget) == Taken::Aborted {
            return self.reset_now(now, around, EndReason::LocalReset);
        }
        self.egress(now, around.output);
        self.emit(now, around);
        self.update_window(now, around);
        self.give_back();
        match self.state() {
            State::Closed => self.end(EndReason::Closed),
            State::TimeWait => {
                // The last ACK may be delayed, and nothing polls this socket again.
                self.egress(now + ACK_DELAY, around.output);
                self.emit(now, around);
                self.ending = Some(EndReason::Closed);
                self.dirty = true;
                Outcome::TimeWait
            }
            _ => Outcome::Continues,
        }
    }

    /// Both sides' next numbers, for the TIME-WAIT table.
    pub fn last_numbers(&self) -> (Seq, Seq) {
        (self.standing.max, self.standing.peer_next)
    }

    /// Ends the flow without a segment; what was received is still delivered.
    pub fn end(&mut self, reason: EndReason) -> Outcome {
        self.ending = Some(reason);
        self.dirty = true;
        if self.waiting() == 0 { Outcome::Over(reason) } else { Outcome::Continues }
    }

    /// Ends the flow by a RST, at once.
    pub fn reset_now(
        &mut self,
        now: Instant,
        around: &mut Surroundings<'_, '_>,
        reason: EndReason,
    ) -> Outcome {
        if self.ending.is_none() {
            Bare::reset(self.standing.flight, Some(self.standing.peer_next)).send(
                around.sender,
                now,
                &self.tuple,
            );
        }
        self.ending = Some(reason);
        Outcome::Over(reason)
    }

    /// When it wants to be polled, whatever happens.
    pub fn next_due(&mut self, now: Instant) -> Option<Instant> {
        if self.ending.is_some() {
            return None;
        }
        let Flow { iface, buffers, .. } = self;
        buffers.with(|(set, _)| iface.poll_at(now, set))
    }

    /// Bytes that wait to be acknowledged or sent, and the FIN.
    pub fn unfinished(&mut self) -> (usize, bool) {
        let queued = self.socket(|socket| socket.send_queue());
        (queued, self.standing.flight > self.standing.una)
    }

    fn waiting(&mut self) -> usize {
        self.socket(|socket| socket.recv_queue())
    }

    fn socket<R>(&mut self, work: impl FnOnce(&mut tcp::Socket<'_>) -> R) -> R {
        self.buffers.with(|(set, handle)| work(set.get_mut::<tcp::Socket<'_>>(*handle)))
    }

    fn feed(&mut self, now: Instant, packet: &[u8], output: &mut Output) {
        let Flow { iface, buffers, mtu, .. } = self;
        let mut port = Port { input: Some(packet), output, mtu: *mtu, budget: PACKETS_A_TURN };
        let taken = buffers.with(|(set, _)| iface.poll_ingress_single(now, &mut port, set));
        debug_assert!(taken != PollIngressSingleResult::None);
    }

    fn egress(&mut self, now: Instant, output: &mut Output) {
        let Flow { iface, buffers, mtu, .. } = self;
        let mut port = Port { input: None, output, mtu: *mtu, budget: PACKETS_A_TURN };
        buffers.with(
            |(set, _)| {
                while port.budget > 0 && iface.poll_egress(now, &mut port, set) != PollResult::None {}
            },
        );
        if port.budget == 0 {
            self.dirty = true;
        }
    }
}

/// The options of our SYN|ACK: what smoltcp will do.
pub fn promise(tuple: &FourTuple, theirs: Options, mtu: usize) -> Options {
    Options {
        mss: Some(offered_mss(tuple.peer.ip(), mtu)),
        window_scale: theirs.window_scale.map(|_| our_scale()),
        sack: theirs.sack,
    }
}

/// What smoltcp's receive buffer of half a slot makes it offer.
fn our_scale() -> u8 {
    (usize::BITS - MOST.leading_zeros()).saturating_sub(16) as u8
}

/// Number and options of a SYN that smoltcp made.
fn syn_of(packet: &[u8]) -> Option<(Seq, Options)> {
    let header = if packet.first()? >> 4 == 4 { 20 } else { 40 };
    let tcp = TcpPacket::new_checked(packet.get(header..)?).ok()?;
    let summary = tcp.options_summary().ok()?;
    let options = Options {
        mss: summary.max_segment_size,
        window_scale: summary.window_scale,
        sack: summary.sack_permitted,
    };
    (tcp.syn() && tcp.ack()).then_some((tcp.seq_number(), options))
}
