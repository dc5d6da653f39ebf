//! The packet that an ICMP error quotes, and what the error says about it.

use std::net::IpAddr;

use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv6DstUnreachable, Icmpv6Message, Icmpv6Packet,
    IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// Whose packet it was; only the first eight bytes after its IP header are sure to be there (RFC 792).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    pub protocol: IpProtocol,
    pub source: IpAddr,
    pub source_port: u16,
    pub target: IpAddr,
    pub target_port: u16,
    /// Of TCP.
    pub tcp_number: Option<u32>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Packets of at most so many bytes pass.
    TooBig { mtu: usize },
    /// `hard`: trying again is of no use (RFC 1122 §4.2.3.9).
    Unreachable { kind: u8, code: u8, hard: bool },
}

/// Below this no path is; a "too big" with less is about something else, or forged (RFC 8201 §4, RFC 1191 §7).
const PLATEAU: usize = 68;

/// An ICMPv4 error.
///
/// # Errors
/// The counter of what is dropped.
pub fn v4(icmp: &Icmpv4Packet<&[u8]>) -> Result<(Quoted, Said), &'static str> {
    let (kind, code) = (u8::from(icmp.msg_type()), icmp.msg_code());
    let said = match (icmp.msg_type(), Icmpv4DstUnreachable::from(code)) {
        (Icmpv4Message::DstUnreachable, Icmpv4DstUnreachable::FragRequired) => {
            // RFC 1191 §4: the next hop's MTU lies where an echo has its sequence number.
            let mtu = usize::from(icmp.echo_seq_no());
            if mtu < PLATEAU {
                return Err("drops.icmp.mtu");
            }
            Said::TooBig { mtu }
        }
        (Icmpv4Message::DstUnreachable, reason) => {
            let hard = matches!(
                reason,
                Icmpv4DstUnreachable::ProtoUnreachable | Icmpv4DstUnreachable::PortUnreachable
            ) || matches!(code, 9 | 10 | 13);
            Said::Unreachable { kind, code, hard }
        }
        (Icmpv4Message::TimeExceeded | Icmpv4Message::ParamProblem, _) => {
            Said::Unreachable { kind, code, hard: false }
        }
        _ => return Err("drops.icmp.kind"),
    };
    let quote = icmp.data();
    // The quote may be cut anywhere, so that its lengths are not checked against it.
    if quote.len() < 28 || quote.first() != Some(&0x45) {
        return Err("drops.icmp.quote");
    }
    let ip = Ipv4Packet::new_unchecked(quote);
    let header = (ip.next_header(), ip.src_addr().into(), ip.dst_addr().into());
    Ok((quoted(header, quote.get(20..).unwrap_or_default())?, said))
}

/// An ICMPv6 error.
///
/// # Errors
/// The counter of what is dropped.
pub fn v6(icmp: &Icmpv6Packet<&[u8]>) -> Result<(Quoted, Said), &'static str> {
    let (kind, code) = (u8::from(icmp.msg_type()), icmp.msg_code());
    let said = match icmp.msg_type() {
        Icmpv6Message::PktTooBig => Said::TooBig { mtu: icmp.pkt_too_big_mtu() as usize },
        Icmpv6Message::DstUnreachable => {
            let reason = Icmpv6DstUnreachable::from(code);
            let hard =
                matches!(reason, Icmpv6DstUnreachable::AdminProhibit | Icmpv6DstUnreachable::PortUnreachable);
            Said::Unreachable { kind, code, hard }
        }
        Icmpv6Message::TimeExceeded | Icmpv6Message::ParamProblem => {
            Said::Unreachable { kind, code, hard: false }
        }
        _ => return Err("drops.icmp.kind"),
    };
    let quote = icmp.payload();
    if quote.len() < 48 || quote.first().is_none_or(|byte| byte >> 4 != 6) {
        return Err("drops.icmp.quote");
    }
    let ip = Ipv6Packet::new_unchecked(quote);
    let header = (ip.next_header(), ip.src_addr().into(), ip.dst_addr().into());
    Ok((quoted(header, quote.get(40..).unwrap_or_default())?, said))
}

fn quoted(header: (IpProtocol, IpAddr, IpAddr), transport: &[u8]) -> Result<Quoted, &'static str> {
    let (protocol, source, target) = header;
    let &[a, b, c, d, e, f, g, h, ..] = transport else { return Err("drops.icmp.quote") };
    let tcp_number = (protocol == IpProtocol::Tcp).then(|| u32::from_be_bytes([e, f, g, h]));
    let (source_port, target_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Ok(Quoted { protocol, source, source_port, target, target_port, tcp_number })
}
