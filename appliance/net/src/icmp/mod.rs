//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echo, and errors in and out; neighbours and routers are the link's.

pub mod quoted;

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable,
    Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    NdiscRepr,
};

use crate::bucket::Shared;
use crate::ip::{self, Datagram, Header};
use crate::link::{Sender, nd};
use crate::secret::Random;
use quoted::{Quoted, Said};

/// Echo replies a second, in all.
const ECHO_REPLIES: u32 = 100;
/// The largest echo that is answered, in bytes of ICMP: a kilobyte and the header.
pub const ECHO_MAX: usize = 1_028;
/// Errors of ours a second, in all.
const ERRORS: u32 = 20;
/// Bytes of the offending packet that we quote (RFC 1122 §3.2.2, as little as it allows).
const QUOTE: usize = 28;
const QUOTE_V6: usize = 48;

/// What a message means for the others.
#[derive(Debug)]
pub enum Heard<'a> {
    Done,
    /// About a packet of ours.
    Error(Quoted, Said),
    Claims(IpAddr, EthernetAddress),
    /// A router advertisement, checked (RFC 4861 §6.1.2), with its source.
    Router(std::net::Ipv6Addr, Icmpv6Packet<&'a [u8]>),
}

/// How much we answer.
#[derive(Debug)]
pub struct Icmp {
    echo: Shared,
    errors: Shared,
}

impl Icmp {
    pub fn new(random: &mut Random) -> Icmp {
        Icmp { echo: Shared::new(ECHO_REPLIES, random.key()), errors: Shared::new(ERRORS, random.key()) }
    }

    /// Takes an ICMPv4 message.
    ///
    /// # Errors
    /// The counter of what is dropped.
    pub fn v4<'a>(
        &mut self,
        sender: &mut Sender<'_>,
        now: Instant,
        datagram: &Datagram<'a>,
    ) -> Result<Heard<'a>, &'static str> {
        let packet = Icmpv4Packet::new_checked(datagram.payload).map_err(|_| "drops.icmp.length")?;
        if !packet.verify_checksum() {
            return Err("drops.icmp.checksum");
        }
        if packet.msg_type() != Icmpv4Message::EchoRequest {
            let (quoted, said) = quoted::v4(&packet)?;
            return Ok(Heard::Error(quoted, said));
        }
        self.may_echo(now, datagram)?;
        let (ident, seq_no) = (packet.echo_ident(), packet.echo_seq_no());
        let reply = Icmpv4Repr::EchoReply { ident, seq_no, data: packet.data() };
        let header = Header { source: datagram.target, target: datagram.source, protocol: IpProtocol::Icmp };
        ip::send(sender, now, header, reply.buffer_len(), |out| {
            reply.emit(&mut Icmpv4Packet::new_unchecked(out), &ChecksumCapabilities::default());
        });
        Ok(Heard::Done)
    }

    /// Takes an ICMPv6 message that `station` sent.
    ///
    /// # Errors
    /// The counter of what is dropped.
    pub fn v6<'a>(
        &mut self,
        sender: &mut Sender<'_>,
        now: Instant,
        station: EthernetAddress,
        datagram: &Datagram<'a>,
    ) -> Result<Heard<'a>, &'static str> {
        let (IpAddr::V6(source), IpAddr::V6(target)) = (datagram.source, datagram.target) else {
            return Err("drops.icmp.kind");
        };
        let packet = Icmpv6Packet::new_checked(datagram.payload).map_err(|_| "drops.icmp.length")?;
        if !packet.verify_checksum(&source, &target) {
            return Err("drops.icmp.checksum");
        }
        if packet.msg_type().is_ndisc() {
            return neighbour(sender, now, station, datagram, packet);
        }
        if source.is_unspecified() {
            return Err("drops.ip.source");
        }
        if packet.msg_type() != Icmpv6Message::EchoRequest {
            let (quoted, said) = quoted::v6(&packet)?;
            return Ok(Heard::Error(quoted, said));
        }
        if target.is_multicast() {
            return Err("drops.ip.multicast"); // No amplifier (RFC 4443 §4.2 lets us be silent).
        }
        self.may_echo(now, datagram)?;
        let (ident, seq_no) = (packet.echo_ident(), packet.echo_seq_no());
        let reply = Icmpv6Repr::EchoReply { ident, seq_no, data: packet.payload() };
        let header =
            Header { source: datagram.target, target: datagram.source, protocol: IpProtocol::Icmpv6 };
        ip::send(sender, now, header, reply.buffer_len(), |out| {
            reply.emit(
                &target,
                &source,
                &mut Icmpv6Packet::new_unchecked(out),
                &ChecksumCapabilities::default(),
            );
        });
        Ok(Heard::Done)
    }

    /// Tells the sender of a datagram that nobody takes it.
    pub fn port_unreachable(&mut self, sender: &mut Sender<'_>, now: Instant, datagram: &Datagram<'_>) {
        if !self.errors.take(now, datagram.source) {
            return;
        }
        let header = |protocol| Header { source: datagram.target, target: datagram.source, protocol };
        match (datagram.source, datagram.target) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let Ok(quoted) = Ipv4Packet::new_checked(datagram.packet) else { return };
                let Ok(quoted) = Ipv4Repr::parse(&quoted, &ChecksumCapabilities::ignored()) else { return };
                let data = datagram.payload.get(..QUOTE - 20).unwrap_or(datagram.payload);
                let reason = Icmpv4DstUnreachable::PortUnreachable;
                let error = Icmpv4Repr::DstUnreachable { reason, header: quoted, data };
                ip::send(sender, now, header(IpProtocol::Icmp), error.buffer_len(), |out| {
                    error.emit(&mut Icmpv4Packet::new_unchecked(out), &ChecksumCapabilities::default());
                });
            }
            (IpAddr::V6(peer), IpAddr::V6(ours)) => {
                let Ok(quoted) = Ipv6Packet::new_checked(datagram.packet) else { return };
                let Ok(quoted) = Ipv6Repr::parse(&quoted) else { return };
                let data = datagram.payload.get(..QUOTE_V6 - 40).unwrap_or(datagram.payload);
                let reason = Icmpv6DstUnreachable::PortUnreachable;
                let error = Icmpv6Repr::DstUnreachable { reason, header: quoted, data };
                ip::send(sender, now, header(IpProtocol::Icmpv6), error.buffer_len(), |out| {
                    let mut packet = Icmpv6Packet::new_unchecked(out);
                    error.emit(&ours, &peer, &mut packet, &ChecksumCapabilities::default());
                });
            }
            _ => {}
        }
    }

    fn may_echo(&mut self, now: Instant, datagram: &Datagram<'_>) -> Result<(), &'static str> {
        if datagram.payload.len() > ECHO_MAX {
            return Err("drops.icmp.echo_size");
        }
        if self.echo.take(now, datagram.source) { Ok(()) } else { Err("drops.icmp.echo_rate") }
    }
}

/// RFC 4861 §6.1, §7.1: hop limit 255, code 0.
fn neighbour<'a>(
    sender: &mut Sender<'_>,
    now: Instant,
    station: EthernetAddress,
    datagram: &Datagram<'a>,
    packet: Icmpv6Packet<&'a [u8]>,
) -> Result<Heard<'a>, &'static str> {
    let IpAddr::V6(source) = datagram.source else { return Err("drops.nd.kind") };
    if datagram.hop_limit != 255 || packet.msg_code() != 0 || !station.is_unicast() {
        return Err("drops.nd.far");
    }
    if packet.msg_type() == Icmpv6Message::RouterAdvert {
        if !source.is_unicast_link_local() {
            return Err("drops.nd.router");
        }
        return Ok(Heard::Router(source, packet));
    }
    let checksums = ChecksumCapabilities::ignored();
    let IpAddr::V6(target) = datagram.target else { return Err("drops.nd.kind") };
    let message = Icmpv6Repr::parse(&source, &target, &packet, &checksums).map_err(|_| "drops.nd.length")?;
    let Icmpv6Repr::Ndisc(message) = message else { return Err("drops.nd.kind") };
    if matches!(message, NdiscRepr::Redirect { .. }) {
        return Err("drops.nd.redirect");
    }
    match nd::heard(sender, now, station, source, message)? {
        nd::Heard::Done => Ok(Heard::Done),
        nd::Heard::Claims(address, station) => Ok(Heard::Claims(IpAddr::V6(address), station)),
    }
}
