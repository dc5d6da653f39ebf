//! The whole core: frames, messages and time in; frames, messages and the next deadline out. It opens nothing,
//! sleeps never and reads no clock.

mod frame;
mod message;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpProtocol, Ipv4Packet, Ipv6Packet};
use sys::arena::Arena;

use crate::address::dhcp::{Dhcp, News};
use crate::address::slaac::Slaac;
use crate::address::{Addresses, Origin};
use crate::control::{Configure, FlowId, FromNet};
use crate::counters::Counters;
use crate::icmp::Icmp;
use crate::ip::path_mtu::PathMtus;
use crate::link::conflict::Conflicts;
use crate::link::neighbour::Cause;
use crate::link::{Link, Sender};
use crate::secret::Random;
use crate::tcp::ends::Ends;
use crate::tcp::segment::FourTuple;
use crate::tcp::{Context, Tcp};
use crate::udp::Udp;

/// A message for the gateway.
pub struct Event<E: Ends> {
    pub message: FromNet,
    /// Goes along with it.
    pub passed: Option<E::Passed>,
    /// Closed once the message is on its way, never before.
    pub closes: Option<E::Stream>,
}

/// Messages that wait for the gateway, oldest first.
pub type Events<E> = VecDeque<Event<E>>;

/// Messages that may wait: one for each flow that can be, and some. Beyond it a gateway that reads nothing is
/// given up.
pub const EVENTS_MAX: usize = 80_000;

impl<E: Ends> std::fmt::Debug for Event<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.message.fmt(f)
    }
}

impl<E: Ends> Event<E> {
    pub fn of(message: FromNet) -> Event<E> {
        Event { message, passed: None, closes: None }
    }
}

/// The network, but for its device and its descriptors.
pub struct Stack<E: Ends> {
    link: Link,
    addresses: Addresses,
    conflicts: Conflicts,
    dhcp: Option<Dhcp>,
    /// The client while it is not wanted: its buffer is for ever, so that there is one only.
    resting_dhcp: Option<Dhcp>,
    slaac: Option<Slaac>,
    icmp: Icmp,
    tcp: Tcp<E>,
    udp: Udp<E>,
    paths: PathMtus,
    counters: Counters,
    random: Random,
    ends: E,
    events: Events<E>,
    configure: Configure,
    /// Makes the automatic addresses, unless the gateway keeps one for us.
    secret: [u8; 32],
    greeted: bool,
    device_mtu: usize,
    memory: u64,
    /// Whether the device had a carrier when it was last looked at.
    carrier: bool,
    stopping: bool,
}

/// What a stack is made of.
#[derive(Debug)]
pub struct Setup<E> {
    pub mac: EthernetAddress,
    /// Bytes of IP packet in a frame: 576 to 1,500.
    pub mtu: usize,
    /// 32 bytes of the system's generator.
    pub seed: [u8; 32],
    /// Slots of twice [`crate::tcp::budget::MOST`].
    pub arena: Arena,
    /// Bytes that buffers may hold, unless the configuration says otherwise.
    pub buffer_memory: u64,
    pub ends: E,
}

impl<E: Ends> std::fmt::Debug for Stack<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}

impl<E: Ends> Stack<E> {
    pub fn new(setup: Setup<E>) -> Stack<E> {
        let mut random = Random::new(setup.seed);
        let mtu = setup.mtu.clamp(crate::ip::path_mtu::LEAST_V4, 1_500);
        let secret = std::array::from_fn(|_| random.word() as u8);
        Stack {
            link: Link::new(setup.mac, mtu, random.key()),
            addresses: Addresses::default(),
            conflicts: Conflicts::default(),
            dhcp: None,
            resting_dhcp: None,
            slaac: None,
            icmp: Icmp::new(&mut random),
            tcp: Tcp::new(&mut random, setup.arena, setup.buffer_memory),
            udp: Udp::new(&mut random),
            paths: PathMtus::new(random.key()),
            counters: Counters::default(),
            random,
            ends: setup.ends,
            events: VecDeque::from([Event::of(FromNet::Hello { version: crate::control::VERSION })]),
            configure: Configure::default(),
            secret,
            greeted: false,
            device_mtu: mtu,
            memory: setup.buffer_memory,
            carrier: true,
            stopping: false,
        }
    }

    /// Messages for the gateway; the caller takes them from the front as they are sent.
    pub fn events(&mut self) -> &mut Events<E> {
        &mut self.events
    }

    /// Frames for the device; the caller says what was sent.
    pub fn out(&mut self) -> &mut crate::link::outbox::Outbox {
        &mut self.link.out
    }

    pub fn ends(&mut self) -> &mut E {
        &mut self.ends
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Whether no connection and no trace of one is left.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }

    /// Flows that exist.
    pub fn open(&self) -> usize {
        self.tcp.open() + self.udp.len()
    }

    /// A flow's end can be read from, or written to, again.
    pub fn ready(&mut self, flow: FlowId, readable: bool, writable: bool) {
        if crate::udp::is_udp(flow) { self.udp.ready(flow) } else { self.tcp.ready(flow, readable, writable) }
    }

    /// Works on all that is due or waiting. `true`: call again without waiting.
    pub fn poll(&mut self, now: Instant) -> bool {
        self.link.cause = Cause::Ours;
        self.conflicts.due(now, &mut self.link);
        if let Some(news) = self.dhcp.as_mut().and_then(|dhcp| dhcp.poll(now, &mut self.link.out)) {
            self.leased(now, news);
        }
        if let Some(slaac) = &mut self.slaac {
            slaac.due(now, &mut self.link, &mut self.addresses);
        }
        Sender { link: &mut self.link, addresses: &self.addresses }.neighbours_due(now);
        self.fail_unanswered(now);
        self.tell_addresses(now);
        let more = self.with(now, |tcp, udp, cx| tcp.poll(cx) | udp.poll(cx));
        more && self.link.out.len() < crate::link::outbox::OUTBOX_MAX / 2
    }

    /// When [`Self::poll`] is to be called at the latest; `None`: not before something comes in.
    pub fn next_due(&mut self, now: Instant) -> Option<Instant> {
        let dhcp = self.dhcp.as_mut().and_then(|dhcp| dhcp.next_due(now));
        let slaac = self.slaac.as_ref().and_then(Slaac::next_due);
        let neighbours = self.link.neighbours.next_due();
        let due = [dhcp, slaac, neighbours, self.conflicts.next_due(), self.tcp.next_due()];
        due.into_iter().flatten().min()
    }

    /// Whether the device has a carrier. One that is there again may lead to another network: what was learnt of the
    /// last one is asked for anew.
    pub fn carrier(&mut self, now: Instant, up: bool) {
        if std::mem::replace(&mut self.carrier, up) == up {
            return;
        }
        self.events.push_back(Event::of(FromNet::Link { up }));
        if !up {
            return;
        }
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.link_returned(now);
        }
        if let Some(slaac) = &mut self.slaac {
            slaac.link_returned(now);
        }
        self.conflicts.link_returned(now);
        self.link.neighbours.link_returned(now);
        for router in self.addresses.routers() {
            self.link.neighbours.mark_router(now, router);
        }
    }

    /// Stops: no new connections, every flow reset.
    pub fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.with(now, |tcp, udp, cx| {
            tcp.forget_gateway(cx);
            udp.reset_all(crate::control::EndReason::ShuttingDown, cx, |_| true);
        });
    }

    fn with<R>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut Tcp<E>, &mut Udp<E>, &mut Context<'_, '_, E>) -> R,
    ) -> R {
        let Stack { link, addresses, tcp, udp, paths, counters, random, ends, events, configure, .. } = self;
        let sender = Sender { link, addresses };
        work(tcp, udp, &mut Context { now, sender, counters, random, paths, ends, events, configure })
    }

    /// Packets that no neighbour was found for: a connection that waits for its first answer fails.
    fn fail_unanswered(&mut self, now: Instant) {
        for packet in self.link.take_failed() {
            self.counters.count("link.no_neighbour");
            if let Some(tuple) = tuple_of(&packet) {
                self.with(now, |tcp, _, cx| tcp.no_neighbour(&tuple, cx));
            }
        }
    }

    fn leased(&mut self, now: Instant, news: News) {
        let gone = self.addresses.remove_all(Origin::Dhcp);
        if gone.is_empty() && news == News::Lost {
            return;
        }
        let lease = match news {
            News::Lost => None,
            News::Leased(lease) => {
                self.addresses.add(lease.address.into(), Origin::Dhcp);
                if let Some(router) = lease.router {
                    self.addresses.add_router(router.into(), Origin::Dhcp);
                }
                Some(lease)
            }
        };
        self.lose(now, &gone);
        self.events.push_back(Event::of(FromNet::Address(lease)));
    }

    /// Ends the flows of addresses that were ours and are not.
    fn lose(&mut self, now: Instant, gone: &[IpAddr]) {
        for address in gone.iter().copied() {
            if self.addresses.is_ours(address) {
                continue;
            }
            self.conflicts.forget(address);
            let reason = crate::control::EndReason::AddressLost;
            self.with(now, |tcp, udp, cx| {
                tcp.reset_all(reason, cx, |local| local == address);
                udp.reset_all(reason, cx, |local| local == address);
            });
        }
    }

    /// Watches new addresses, asks for routers, and tells the gateway, when something changed.
    fn tell_addresses(&mut self, now: Instant) {
        if !self.addresses.take_changed() {
            return;
        }
        for (net, _) in self.addresses.own() {
            self.conflicts.watch(now, net.addr());
        }
        for router in self.addresses.routers() {
            self.link.neighbours.mark_router(now, router);
        }
        self.conflicts.due(now, &mut self.link);
        Sender { link: &mut self.link, addresses: &self.addresses }.neighbours_due(now);
        if self.greeted {
            self.events.push_back(Event::of(FromNet::Ready { addresses: self.addresses.usable() }));
        }
    }
}

/// The connection that a TCP packet of ours belongs to.
fn tuple_of(packet: &[u8]) -> Option<FourTuple> {
    let (source, target, protocol, transport): (IpAddr, IpAddr, _, _) = match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), packet.get(20..)?)
        }
        _ => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), packet.get(40..)?)
        }
    };
    let &[a, b, c, d, ..] = transport else { return None };
    let (local, peer) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let tuple = FourTuple { local: SocketAddr::new(source, local), peer: SocketAddr::new(target, peer) };
    (protocol == IpProtocol::Tcp).then_some(tuple)
}
