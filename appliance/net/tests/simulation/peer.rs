//! A peer that sends what a test says, beside a stack with one static address.

use net::control::{Configure, Deadlines, Ipv4Addressing, Ipv6Addressing, Limits};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::*;
use std::net::{IpAddr, Ipv4Addr};
use sys::frames::Checksum;

use super::{Host, OUR_MAC};

pub const OUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub const PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const ROUTER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);
pub const PORT: u16 = 25;
/// Where the peer's numbers begin: they wrap soon.
pub const PEER_ISN: i32 = i32::MAX - 10;

/// A segment that the stack sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub to: IpAddr,
    pub ports: (u16, u16),
    pub control: TcpControl,
    pub seq: i32,
    pub ack: Option<i32>,
    pub window: u16,
    pub mss: Option<u16>,
    pub scale: Option<u8>,
    pub sack: bool,
    pub payload: Vec<u8>,
}

/// A segment that the peer sends.
#[derive(Debug, Clone, Copy)]
pub struct Say<'a> {
    pub source: Ipv4Addr,
    pub port: u16,
    pub control: TcpControl,
    pub seq: i32,
    pub ack: Option<i32>,
    pub window: u16,
    pub mss: Option<u16>,
    pub scale: Option<u8>,
    pub sack: bool,
    pub payload: &'a [u8],
}

pub const SAY: Say<'static> = Say {
    source: PEER,
    port: 40_000,
    control: TcpControl::None,
    seq: 0,
    ack: None,
    window: 60_000,
    mss: None,
    scale: None,
    sack: false,
    payload: &[],
};

/// A stack and its scripted peer.
pub struct Scene {
    pub host: Host,
    pub now: Instant,
    pub sent: Vec<Sent>,
    /// Frames that were not TCP.
    pub others: Vec<Vec<u8>>,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with(Deadlines::default(), Limits::default())
    }

    pub fn with(deadlines: Deadlines, limits: Limits) -> Scene {
        Scene::sized(deadlines, limits, 512)
    }

    /// With an arena of `slots` connections.
    pub fn sized(deadlines: Deadlines, limits: Limits, slots: u32) -> Scene {
        let mut host = Host::new(OUR_MAC, 1, slots);
        let now = Instant::from_secs(1_000);
        let ipv4 = Ipv4Addressing::Static(vec!["192.0.2.10/24".parse().unwrap()]);
        let routers = vec![IpAddr::V4(ROUTER)];
        let ipv6 = Ipv6Addressing::None;
        host.configure(now, Configure { ipv4, ipv6, routers, limits, deadlines, ..Configure::default() });
        host.listen(now, PORT);
        let mut scene = Scene { host, now, sent: Vec::new(), others: Vec::new() };
        scene.collect();
        scene
    }

    /// A connection of the peer's, with its SYN|ACK's number. The peer agreed to scale 2.
    pub fn open() -> (Scene, i32) {
        let mut scene = Scene::new();
        let isn = scene.handshake(40_000);
        (scene, isn)
    }

    pub fn handshake(&mut self, port: u16) -> i32 {
        let syn =
            Say { port, control: TcpControl::Syn, seq: PEER_ISN, mss: Some(1_460), scale: Some(2), ..SAY };
        self.say(syn);
        let answer = self.take().pop().expect("a SYN|ACK");
        assert_eq!((answer.control, answer.ack), (TcpControl::Syn, Some(PEER_ISN.wrapping_add(1))));
        self.say(Say { port, ..self.next(answer.seq, 0) });
        answer.seq.wrapping_add(1)
    }

    /// An ACK after `got` bytes of the peer's own, for our number `isn + 1`.
    pub fn next(&self, isn: i32, got: i32) -> Say<'static> {
        let seq = PEER_ISN.wrapping_add(1).wrapping_add(got);
        Say { seq, ack: Some(isn.wrapping_add(1)), window: 15_000, ..SAY }
    }

    pub fn say(&mut self, say: Say<'_>) {
        let frame = frame(&say);
        self.frame(&frame);
    }

    pub fn frame(&mut self, frame: &[u8]) {
        self.host.stack.frame_in(self.now, frame, Checksum::Unknown);
        self.host.settle(self.now);
        self.collect();
    }

    /// Time passes, with everything that falls due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.host.stack.next_due(self.now).filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.host.settle(self.now);
            self.collect();
        }
        self.now = end;
        self.host.settle(end);
        self.collect();
    }

    /// The segments since the last call.
    pub fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.host.pipe().borrow_mut().to_send.extend(bytes);
        self.touched();
    }

    pub fn shut(&mut self) {
        self.host.pipe().borrow_mut().shut = true;
        self.touched();
    }

    pub fn touched(&mut self) {
        self.host.touched(self.now);
        self.collect();
    }

    pub fn received(&self) -> Vec<u8> {
        self.host.pipe().borrow().received.iter().copied().collect()
    }

    fn collect(&mut self) {
        loop {
            let frames = self.host.frames();
            if frames.is_empty() {
                return;
            }
            for frame in frames {
                if let Some(answer) = arp_answer(&frame) {
                    self.host.stack.frame_in(self.now, &answer, Checksum::Unknown);
                    self.host.settle(self.now);
                } else if let Some(sent) = tcp(&frame) {
                    self.sent.push(sent);
                } else {
                    self.others.push(frame);
                }
            }
        }
    }
}

pub fn ethernet(kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 14 + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    EthernetRepr { src_addr: ROUTER_MAC, dst_addr: OUR_MAC, ethertype: kind }.emit(&mut frame);
    frame.payload_mut().copy_from_slice(payload);
    bytes
}

pub fn frame(say: &Say<'_>) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: say.port,
        dst_port: PORT,
        control: say.control,
        seq_number: TcpSeqNumber(say.seq),
        ack_number: say.ack.map(TcpSeqNumber),
        window_len: say.window,
        window_scale: say.scale,
        max_seg_size: say.mss,
        sack_permitted: say.sack,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: say.payload,
    };
    let mut tcp = vec![0; repr.buffer_len()];
    let (source, target) = (say.source.into(), OUR.into());
    repr.emit(
        &mut TcpPacket::new_unchecked(&mut tcp[..]),
        &source,
        &target,
        &ChecksumCapabilities::default(),
    );
    ethernet(EthernetProtocol::Ipv4, &ipv4(say.source, IpProtocol::Tcp, &tcp))
}

/// The same to another port of ours.
pub fn frame_to(port: u16, say: &Say<'_>) -> Vec<u8> {
    let mut frame = frame(say);
    let mut tcp = TcpPacket::new_unchecked(&mut frame[34..]);
    tcp.set_dst_port(port);
    tcp.fill_checksum(&say.source.into(), &OUR.into());
    frame
}

pub fn ipv4(source: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let payload_len = payload.len();
    let repr =
        Ipv4Repr { src_addr: source, dst_addr: OUR, next_header: protocol, payload_len, hop_limit: 60 };
    let mut packet = vec![0; 20 + payload.len()];
    let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
    repr.emit(&mut ip, &ChecksumCapabilities::default());
    ip.payload_mut().copy_from_slice(payload);
    packet
}

pub fn icmp(source: Ipv4Addr, repr: &Icmpv4Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    ethernet(EthernetProtocol::Ipv4, &ipv4(source, IpProtocol::Icmp, &bytes))
}

fn arp_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let arp = ArpPacket::new_checked(ethernet.payload()).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&arp).ok()?
    else {
        return None;
    };
    if operation != ArpOperation::Request || target_protocol_addr != ROUTER {
        return None;
    }
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: ROUTER_MAC,
        source_protocol_addr: ROUTER,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    Some(self::ethernet(EthernetProtocol::Arp, &bytes))
}

/// A segment out of a frame, with every checksum checked.
pub fn tcp(frame: &[u8]) -> Option<Sent> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    assert!(ip.verify_checksum() && ip.hop_limit() == 64);
    if ip.next_header() != IpProtocol::Tcp {
        return None;
    }
    let packet = TcpPacket::new_checked(ip.payload()).ok()?;
    let checksums = ChecksumCapabilities::default();
    let repr =
        TcpRepr::parse(&packet, &ip.src_addr().into(), &ip.dst_addr().into(), &checksums).expect("a segment");
    Some(Sent {
        to: ip.dst_addr().into(),
        ports: (repr.src_port, repr.dst_port),
        control: repr.control,
        seq: repr.seq_number.0,
        ack: repr.ack_number.map(|ack| ack.0),
        window: repr.window_len,
        mss: repr.max_seg_size,
        scale: repr.window_scale,
        sack: repr.sack_permitted,
        payload: repr.payload.to_vec(),
    })
}
