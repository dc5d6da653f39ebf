//! A TCP segment that came in, and the small ones that we send without smoltcp.

use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Instant;
use smoltcp::wire::{IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use sys::frames::Checksum;

use crate::ip::{self, Datagram, Header};
use crate::link::Sender;

/// A connection: our end and the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourTuple {
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

/// A sequence number; compared modulo 2³² (RFC 9293 §3.4).
pub type Seq = TcpSeqNumber;

/// What a segment says.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    pub tuple: FourTuple,
    pub seq: Seq,
    /// `None` without the ACK flag.
    pub ack: Option<Seq>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    /// Not scaled.
    pub window: u16,
    pub options: Options,
    pub payload: &'a [u8],
    /// The whole IP packet.
    pub packet: &'a [u8],
}

/// The options of a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub mss: Option<u16>,
    pub window_scale: Option<u8>,
    pub sack: bool,
}

impl<'a> Segment<'a> {
    /// Reads a datagram that passed the filter.
    ///
    /// # Errors
    /// The name of the counter for what is dropped.
    pub fn parse(datagram: &Datagram<'a>) -> Result<Segment<'a>, &'static str> {
        let tcp = TcpPacket::new_checked(datagram.payload).map_err(|_| "drops.tcp.length")?;
        let trusted = datagram.checksum == Checksum::Trusted;
        if !trusted && !tcp.verify_checksum(&datagram.target.into(), &datagram.source.into()) {
            return Err("drops.tcp.checksum");
        }
        let (syn, fin, rst) = (tcp.syn(), tcp.fin(), tcp.rst());
        if syn && (fin || rst) || fin && rst || !(syn || fin || rst || tcp.ack()) {
            return Err("drops.tcp.flags");
        }
        if tcp.src_port() == 0 || tcp.dst_port() == 0 {
            return Err("drops.tcp.port");
        }
        let source = (&datagram.source.into(), &datagram.target.into());
        let repr = TcpRepr::parse(&tcp, source.0, source.1, &ChecksumCapabilities::ignored());
        let repr = repr.map_err(|_| "drops.tcp.options")?;
        Ok(Segment {
            tuple: FourTuple {
                local: SocketAddr::new(datagram.target, tcp.dst_port()),
                peer: SocketAddr::new(datagram.source, tcp.src_port()),
            },
            seq: tcp.seq_number(),
            ack: tcp.ack().then(|| tcp.ack_number()),
            syn,
            fin,
            rst,
            window: tcp.window_len(),
            options: Options {
                mss: repr.max_seg_size.filter(|mss| *mss != 0),
                // RFC 7323 §2.3: above 14 counts as 14.
                window_scale: repr.window_scale.map(|scale| scale.min(14)),
                sack: repr.sack_permitted,
            },
            payload: tcp.payload(),
            packet: datagram.packet,
        })
    }

    /// Sequence numbers that it takes up.
    pub fn extent(&self) -> usize {
        self.payload.len() + usize::from(self.syn) + usize::from(self.fin)
    }
}

/// A segment of ours without data.
#[derive(Debug, Clone, Copy)]
pub struct Bare {
    pub control: TcpControl,
    pub seq: Seq,
    pub ack: Option<Seq>,
    pub window: u16,
    /// Of a SYN: MSS, window scale, SACK permitted.
    pub options: Options,
}

impl Bare {
    pub fn ack(seq: Seq, ack: Seq, window: u16) -> Bare {
        Bare { control: TcpControl::None, seq, ack: Some(ack), window, options: Options::default() }
    }

    pub fn reset(seq: Seq, ack: Option<Seq>) -> Bare {
        Bare { control: TcpControl::Rst, seq, ack, window: 0, options: Options::default() }
    }

    /// The RST that answers a segment of no connection (RFC 9293 §3.5.2); none to a RST.
    pub fn refusal(segment: &Segment<'_>) -> Option<Bare> {
        match segment.ack {
            _ if segment.rst => None,
            Some(ack) => Some(Bare::reset(ack, None)),
            None => Some(Bare::reset(TcpSeqNumber(0), Some(segment.seq + segment.extent()))),
        }
    }

    /// Sends it. `false`: no route.
    pub fn send(&self, sender: &mut Sender<'_>, now: Instant, tuple: &FourTuple) -> bool {
        let (local, peer) = (tuple.local, tuple.peer);
        let repr = self.repr(tuple);
        let header = Header { source: local.ip(), target: peer.ip(), protocol: IpProtocol::Tcp };
        ip::send(sender, now, header, repr.buffer_len(), |out| {
            let mut tcp = TcpPacket::new_unchecked(out);
            repr.emit(&mut tcp, &local.ip().into(), &peer.ip().into(), &ChecksumCapabilities::default());
        })
    }

    /// The IP packet, without a checksum in its TCP header.
    pub fn packet(&self, tuple: &FourTuple, from_peer: bool) -> Vec<u8> {
        let turned = FourTuple { local: tuple.peer, peer: tuple.local };
        let tuple = if from_peer { &turned } else { tuple };
        let repr = self.repr(tuple);
        let (source, target) = (tuple.local.ip(), tuple.peer.ip());
        let header = Header { source, target, protocol: IpProtocol::Tcp };
        let mut packet = vec![0; header.size() + repr.buffer_len()];
        header.emit(&mut packet);
        let out = packet.get_mut(header.size()..).unwrap_or_default();
        repr.emit(
            &mut TcpPacket::new_unchecked(out),
            &source.into(),
            &target.into(),
            &ChecksumCapabilities::ignored(),
        );
        packet
    }

    fn repr(&self, tuple: &FourTuple) -> TcpRepr<'static> {
        TcpRepr {
            src_port: tuple.local.port(),
            dst_port: tuple.peer.port(),
            control: self.control,
            seq_number: self.seq,
            ack_number: self.ack,
            window_len: self.window,
            window_scale: self.options.window_scale,
            max_seg_size: self.options.mss,
            sack_permitted: self.options.sack,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        }
    }
}

/// The segment size that we offer on a link: MTU less the headers (RFC 9293 §3.7.1), never above Ethernet's.
pub fn offered_mss(peer: IpAddr, mtu: usize) -> u16 {
    let headers = ip::header_len(peer) + 20;
    mtu.saturating_sub(headers).clamp(usize::from(LEAST_MSS), 1_460) as u16
}

/// A peer that offers less only wants us to waste ourselves (CVE-2019-11479).
pub const LEAST_MSS: u16 = 88;

/// The peer's segment size; absent it is RFC 9293's default (§3.7.1).
pub fn peer_mss(options: &Options, peer: IpAddr) -> u16 {
    options.mss.unwrap_or(if peer.is_ipv4() { 536 } else { 1_220 })
}
