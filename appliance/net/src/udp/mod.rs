//! UDP (RFC 768): flows that the gateway opened to one peer each; everything else is unreachable.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, UdpPacket, UdpRepr};

use sys::frames::Checksum;

use crate::control::{DATAGRAM_MAX, EndReason, FailReason, FlowId, FromNet, RequestId};
use crate::icmp::quoted::{Quoted, Said};
use crate::ip::{self, Datagram, Header};
use crate::secret::{Key, Random};
use crate::stack::Event;
use crate::tcp::ends::{Datagrams, Ends, Sent, Taken};
use crate::tcp::numbers::Numbers;
use crate::tcp::segment::FourTuple;
use crate::tcp::{Context, local_address};

/// UDP flows at one time: questions to name and time servers.
pub const FLOWS_MAX: usize = 1_024;
/// Datagrams that a flow may send in one turn.
const DATAGRAMS_A_TURN: usize = 16;
/// Ids of UDP flows are told from those of TCP by this bit.
const UDP_BIT: u64 = 1 << 63;

struct Flow<D> {
    id: FlowId,
    end: D,
    received: u64,
    sent: u64,
}

/// All UDP flows.
pub struct Udp<E: Ends> {
    flows: HashMap<FourTuple, Flow<E::Datagrams>, Key>,
    by_id: HashMap<FlowId, FourTuple>,
    ready: Vec<FourTuple>,
    numbers: Numbers,
    serial: u64,
}

impl<E: Ends> std::fmt::Debug for Udp<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Udp").finish_non_exhaustive()
    }
}

impl<E: Ends> Udp<E> {
    pub fn new(random: &mut Random) -> Udp<E> {
        let flows = HashMap::with_hasher(random.key());
        Udp { flows, by_id: HashMap::new(), ready: Vec::new(), numbers: Numbers::new(random), serial: 0 }
    }

    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Opens a flow from a random port (RFC 5452 §9.2).
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn open(
        &mut self,
        id: RequestId,
        to: SocketAddr,
        cx: &mut Context<'_, '_, E>,
    ) -> Result<(), FailReason> {
        let local = local_address(to, None, cx)?;
        if self.flows.len() >= FLOWS_MAX {
            return Err(FailReason::Limit);
        }
        let flows = &self.flows;
        let tuple = |port| FourTuple { local: SocketAddr::new(local, port), peer: to };
        // Not next to one another: a DNS answer is forged by guessing the port.
        let first = crate::tcp::numbers::FIRST_PORT;
        let random = (0..64).map(|_| first + cx.random.below(65_536 - u32::from(first)) as u16);
        let free = random.into_iter().find(|port| !flows.contains_key(&tuple(*port)));
        let port = free.or_else(|| self.numbers.port(local, to, |port| flows.contains_key(&tuple(port))));
        let tuple = tuple(port.ok_or(FailReason::NoPort)?);
        self.serial += 1;
        let flow = FlowId(UDP_BIT | self.serial);
        let (end, passed) = cx.ends.datagrams(flow).ok_or(FailReason::Limit)?;
        self.flows.insert(tuple, Flow { id: flow, end, received: 0, sent: 0 });
        self.by_id.insert(flow, tuple);
        let message = FromNet::UdpOpen { id, flow, local: tuple.local };
        cx.events.push_back(Event { message, passed: Some(passed), closes: None });
        Ok(())
    }

    /// Takes a datagram that the filter let in. `Ok(false)`: nobody takes it.
    ///
    /// # Errors
    /// The counter of what is dropped.
    pub fn datagram_in(
        &mut self,
        datagram: &Datagram<'_>,
        cx: &mut Context<'_, '_, E>,
    ) -> Result<bool, &'static str> {
        let udp = UdpPacket::new_checked(datagram.payload).map_err(|_| "drops.udp.length")?;
        let unsummed = udp.checksum() == 0 && datagram.source.is_ipv6();
        let sound = || !unsummed && udp.verify_checksum(&datagram.source.into(), &datagram.target.into());
        if datagram.checksum != Checksum::Trusted && !sound() {
            return Err("drops.udp.checksum");
        }
        if udp.src_port() == 0 || udp.dst_port() == 0 {
            return Err("drops.udp.port");
        }
        let local = SocketAddr::new(datagram.target, udp.dst_port());
        let tuple = FourTuple { local, peer: SocketAddr::new(datagram.source, udp.src_port()) };
        let Some(flow) = self.flows.get_mut(&tuple) else { return Ok(false) };
        let payload = udp.payload();
        if payload.len() > DATAGRAM_MAX {
            return Err("drops.udp.size");
        }
        // An empty packet on a SOCK_SEQPACKET would look like the end.
        if payload.is_empty() {
            return Err("drops.udp.empty");
        }
        match flow.end.deliver(payload) {
            Sent::Took => flow.received += payload.len() as u64,
            Sent::Full => cx.counters.count("drops.udp.full"),
            Sent::Gone => self.end(tuple, EndReason::DatagramsClosed, cx),
        }
        Ok(true)
    }

    /// The gateway has a datagram to send, or closed its end.
    pub fn ready(&mut self, id: FlowId) {
        if let Some(tuple) = self.by_id.get(&id)
            && self.ready.len() < FLOWS_MAX
        {
            self.ready.push(*tuple);
        }
    }

    /// Sends what the gateway wrote. `true`: more is left for another turn.
    pub fn poll(&mut self, cx: &mut Context<'_, '_, E>) -> bool {
        let ready = std::mem::take(&mut self.ready);
        for tuple in ready {
            for turn in 0.. {
                if turn == DATAGRAMS_A_TURN {
                    self.ready.push(tuple);
                    break;
                }
                let Some(flow) = self.flows.get_mut(&tuple) else { break };
                let mut room = [0; DATAGRAM_MAX + 1];
                match flow.end.take(&mut room) {
                    Taken::Bytes(len) if len <= DATAGRAM_MAX => {
                        flow.sent += len as u64;
                        send(&tuple, room.get(..len).unwrap_or_default(), cx);
                    }
                    Taken::Bytes(_) => cx.counters.count("drops.udp.size"),
                    Taken::Nothing => break,
                    Taken::End | Taken::Aborted => {
                        self.end(tuple, EndReason::DatagramsClosed, cx);
                        break;
                    }
                }
            }
        }
        !self.ready.is_empty()
    }

    /// `false`: there is no such flow.
    pub fn reset(&mut self, id: FlowId, cx: &mut Context<'_, '_, E>) -> bool {
        let Some(tuple) = self.by_id.get(&id).copied() else { return false };
        self.end(tuple, EndReason::LocalReset, cx);
        true
    }

    pub fn reset_all(
        &mut self,
        reason: EndReason,
        cx: &mut Context<'_, '_, E>,
        which: impl Fn(IpAddr) -> bool,
    ) {
        let gone: Vec<FourTuple> =
            self.flows.keys().filter(|tuple| which(tuple.local.ip())).copied().collect();
        gone.into_iter().for_each(|tuple| self.end(tuple, reason, cx));
    }

    /// An ICMP error about a datagram of ours.
    pub fn icmp_error(&mut self, quoted: &Quoted, said: Said, cx: &mut Context<'_, '_, E>) {
        let local = SocketAddr::new(quoted.source, quoted.source_port);
        let tuple = FourTuple { local, peer: SocketAddr::new(quoted.target, quoted.target_port) };
        if let (true, Said::Unreachable { kind, code, hard: true }) = (self.flows.contains_key(&tuple), said)
        {
            self.end(tuple, EndReason::Unreachable { kind, code }, cx);
        }
    }

    fn end(&mut self, tuple: FourTuple, reason: EndReason, cx: &mut Context<'_, '_, E>) {
        let Some(flow) = self.flows.remove(&tuple) else { return };
        self.by_id.remove(&flow.id);
        let Flow { id: flow, received, sent, end } = flow;
        let message = FromNet::Ended { flow, reason, received, sent, rtt_us: 0, retransmits: 0 };
        cx.events.push_back(Event::of(message));
        drop(end);
    }
}

/// Whether an id is that of a UDP flow.
pub fn is_udp(id: FlowId) -> bool {
    id.0 & UDP_BIT != 0
}

fn send<E: Ends>(tuple: &FourTuple, payload: &[u8], cx: &mut Context<'_, '_, E>) {
    let repr = UdpRepr { src_port: tuple.local.port(), dst_port: tuple.peer.port() };
    let (source, target) = (tuple.local.ip(), tuple.peer.ip());
    let header = Header { source, target, protocol: IpProtocol::Udp };
    ip::send(&mut cx.sender, cx.now, header, repr.header_len() + payload.len(), |out| {
        let mut udp = UdpPacket::new_unchecked(out);
        let copy = |out: &mut [u8]| out.copy_from_slice(payload);
        let checksums = ChecksumCapabilities::default();
        repr.emit(&mut udp, &source.into(), &target.into(), payload.len(), copy, &checksums);
    });
}
