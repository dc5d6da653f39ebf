//! One connection: smoltcp's socket in an interface of its own, the gates before it, the gateway's end
//! behind it.

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpSeqNumber};
use sys::arena::{Arena, Holder, Leased};

use super::budget::{ALWAYS, Budget, INTERACTIVE_SEND, MOST};
use super::challenge::{self, Challenges};
use super::cut;
use super::deadlines::Clocks;
use super::ends::{Delivered, Stream, Taken};
use super::gates::{Standing, Verdict, ack, advertise, duplicate, receive, reset, window};
use super::port::{Output, Port};
use super::round_trip::RoundTrip;
use super::segment::{Bare, FourTuple, LEAST_MSS, Options, Segment, Seq, offered_mss, peer_mss};
use crate::bucket::Bucket;
use crate::control::{Class, EndReason, FailReason, FlowId, ListenerId, RequestId};
use crate::counters::Counters;
use crate::ip::header_len;
use crate::link::Sender;
use crate::secret::Random;

/// Packets of smoltcp's that a flow may send in one turn.
const PACKETS_A_TURN: usize = 16;
/// Bytes that a flow may move to and from the gateway in one turn.
const BYTES_A_TURN: usize = 64 * 1024;
/// Longer than smoltcp's delayed ACK, which must go out before a flow is let go.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// Segments of this size pass where nobody says that ours are too big (RFC 4821 §7.3's idea).
const SAFE_SEGMENT: usize = 1_200;
/// Full segments lost in a row, with nothing gained, before the path is taken to be narrow.
const NARROW_AFTER: u8 = 2;
/// A flow that held so much gives its pages back when it is empty.
const BURST: usize = 32 * 1024;

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
        (peer_isn, peer_window, options): (Seq, u16, Options),
        output: &mut Output,
    ) -> Option<Flow<S>> {
        let mut flow = Flow::build(now, made, arena, output)?;
        let local = made.tuple.local;
        flow.socket(|socket| socket.listen((local.ip(), local.port())).is_ok());
        let syn = Bare { control: TcpControl::Syn, seq: peer_isn, ack: None, window: peer_window, options };
        flow.feed(now, &syn.packet(&made.tuple, true), output);
        output.clear();
        flow.egress(now, output);
        let swallowed = output.packets().next().and_then(|(packet, _)| syn_of(packet));
        output.clear();
        let (number, promised) = swallowed?;
        // Our SYN|ACK went out before smoltcp was asked.
        debug_assert_eq!(promised, promise(&made.tuple, options, made.mtu));
        flow.offset = made.isn.0.wrapping_sub(number.0);
        flow.agree(now, peer_isn, options, promised, u32::from(peer_window));
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
    fn is_acceptable(&self, segment: &Segment<'_>) -> bool {
        let (next, edge) = (self.standing.peer_next, self.standing.edge);
        let end = segment.seq + segment.extent();
        let begins =
            segment.seq >= next && (segment.seq < edge || segment.extent() == 0 && segment.seq <= edge);
        begins || segment.seq < next && end > next
    }

    /// Shows smoltcp an acceptable segment.
    fn pass(&mut self, now: Instant, segment: &Segment<'_>, number: Seq, around: &mut Surroundings<'_, '_>) {
        let fits = receive::judge(&self.standing, segment);
        let keep = match fits {
            receive::Fits::Whole => segment.payload.len(),
            receive::Fits::Part(len) => len,
            receive::Fits::Nothing => {
                self.challenge(now, around);
                return;
            }
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
    }

    /// The packet as smoltcp is to see it: its own numbers, the window of the gate, nothing beyond ours.
    fn rewrite(
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
        let len = into.len();
        if header == 20 {
            Ipv4Packet::new_unchecked(&mut into[..]).set_total_len(len as u16);
        } else {
            Ipv6Packet::new_unchecked(&mut into[..]).set_payload_len((len - header) as u16);
        }
        let mut tcp = TcpPacket::new_unchecked(&mut into[header..]);
        tcp.set_ack_number(TcpSeqNumber(number.0.wrapping_sub(self.offset)));
        tcp.set_window_len(field);
        if cut {
            tcp.set_fin(false);
        }
    }

    fn acknowledged(&mut self, now: Instant, number: Seq) {
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
    fn answer_to_syn(
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
        self.emit(now, around);
        match self.state() {
            State::SynSent | State::SynReceived => Outcome::Continues,
            _ => Outcome::Opened,
        }
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

    /// "Packet too big" about a segment of ours: obeyed if it names one that is on its way (RFC 5927 §7.2).
    pub fn quotes_ours(&self, seq: Seq) -> bool {
        seq >= self.standing.una && seq < self.standing.max
    }

    /// The path takes packets of `mtu` bytes. What was too large is sent again when its timer says so.
    pub fn set_path(&mut self, mtu: usize) {
        let headers = header_len(self.tuple.peer.ip()) + 20;
        self.cut = self.cut.min(mtu.saturating_sub(headers)).max(usize::from(LEAST_MSS));
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

    /// Asks for a sign of life (RFC 9293 §3.8.4): an old number, which any peer answers.
    pub fn keep_alive(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        let (field, _) = self.field(self.standing.peer_next);
        Bare::ack(self.standing.una - 1, self.standing.peer_next, field).send(
            around.sender,
            now,
            &self.tuple,
        );
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

    /// The peer's next number, out of what smoltcp took.
    fn count_peer(&mut self) {
        let (queued, state) = self.socket(|socket| (socket.recv_queue(), socket.state()));
        let fin = matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        let closed_after_fin = state == State::Closed && self.peer_ended;
        self.peer_ended |= fin;
        self.standing.peer_next = self.base + queued + usize::from(fin || closed_after_fin);
        self.peak = self.peak.max(queued);
    }

    fn deliver(&mut self) -> Delivered {
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

    fn finish_if_ended(&mut self) {
        if self.peer_ended && !self.told_end && self.waiting() == 0 {
            self.told_end = true;
            if let Some(stream) = &mut self.stream {
                stream.finish();
            }
        }
    }

    fn fetch(&mut self, budget: &mut Budget) -> Taken {
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
    fn send_room(&mut self, budget: &mut Budget) -> usize {
        let queued = self.socket(|socket| socket.send_queue());
        let most = if self.class == Class::Bulk { MOST } else { INTERACTIVE_SEND };
        if queued >= self.send_limit && self.send_limit < most {
            self.send_limit = budget.change(self.send_limit, most);
        }
        self.peak = self.peak.max(queued);
        self.send_limit.saturating_sub(queued)
    }

    fn room(&mut self) -> usize {
        let (queued, window) = self.socket(|socket| (socket.recv_queue(), socket.recv_capacity()));
        self.receive_limit.min(window).saturating_sub(queued)
    }

    fn field(&mut self, ack: Seq) -> (u16, Seq) {
        let room = self.room();
        advertise::window(&self.standing, ack, room, self.standing.our_scale)
    }

    /// Sends what smoltcp handed over, in the wire's numbers.
    fn emit(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
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
    fn stamp(&mut self, now: Instant, tcp: &mut TcpPacket<&mut [u8]>) -> usize {
        let smoltcps = tcp.seq_number();
        if tcp.syn() && self.standing.max == self.isn {
            self.offset = self.isn.0.wrapping_sub(smoltcps.0);
        }
        let seq = TcpSeqNumber(smoltcps.0.wrapping_add(self.offset));
        let data = tcp.payload_mut().len();
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

    fn retransmitted(&mut self, seq: Seq, data: usize) {
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
    fn update_window(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        let open = matches!(self.state(), State::Established | State::FinWait1 | State::FinWait2);
        let room = self.room();
        if !open || !advertise::is_update_due(&self.standing, room) {
            return;
        }
        self.acknowledge(now, around);
    }

    fn acknowledge(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        let ack = self.standing.peer_next;
        let (field, edge) = self.field(ack);
        Bare::ack(self.standing.flight, ack, field).send(around.sender, now, &self.tuple);
        self.standing.edge = edge;
        self.standing.acked = ack;
    }

    fn may_challenge(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) -> bool {
        self.challenge.take(now) && around.challenges.take(now, around.random)
    }

    fn challenge(&mut self, now: Instant, around: &mut Surroundings<'_, '_>) {
        around.counters.count("tcp.challenges");
        if self.may_challenge(now, around) {
            self.acknowledge(now, around);
        }
    }

    /// After a burst the pages go back, once nothing is in them.
    fn give_back(&mut self) {
        let empty = self.socket(|socket| socket.recv_queue() == 0 && socket.send_queue() == 0);
        // Bytes that came out of order lie in the buffer, beyond those that it says it holds.
        if self.peak > BURST && empty && self.furthest <= self.standing.peer_next {
            self.buffers.discard();
            self.peak = 0;
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
