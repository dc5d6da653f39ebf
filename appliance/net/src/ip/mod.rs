//! IP packets: what may come in, and what we send.

pub mod filter;
pub mod path_mtu;

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Instant;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr};

use sys::frames::Checksum;

use crate::link::Sender;

/// Of what we send (RFC 1700's default).
pub const HOP_LIMIT: u8 = 64;

/// A packet that passed the filter, without its headers.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    pub source: IpAddr,
    pub target: IpAddr,
    pub protocol: IpProtocol,
    pub hop_limit: u8,
    /// Of the payload. A frame that never left a virtual machine's host comes without one.
    pub checksum: Checksum,
    /// TCP, UDP or ICMP header and data.
    pub payload: &'a [u8],
    /// The IP packet, without the frame's padding.
    pub packet: &'a [u8],
}

/// The header of a packet of ours.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub source: IpAddr,
    pub target: IpAddr,
    pub protocol: IpProtocol,
}

impl Header {
    /// Bytes of the IP header.
    pub fn size(&self) -> usize {
        header_len(self.target)
    }

    /// Writes the header into the front of `packet`; its length field says all of `packet`.
    pub fn emit(&self, packet: &mut [u8]) {
        let payload_len = packet.len().saturating_sub(self.size());
        match (self.source, self.target) {
            (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
                let next_header = self.protocol;
                let repr = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOP_LIMIT };
                repr.emit(&mut Ipv4Packet::new_unchecked(packet), &ChecksumCapabilities::default());
            }
            (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
                let next_header = self.protocol;
                let repr = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOP_LIMIT };
                repr.emit(&mut Ipv6Packet::new_unchecked(packet));
            }
            _ => debug_assert!(false, "one family a packet"),
        }
    }
}

/// Sends a packet of ours; `fill` writes what follows the IP header. `false`: no route.
pub fn send(
    sender: &mut Sender<'_>,
    now: Instant,
    header: Header,
    payload_len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> bool {
    sender.packet(now, header.target, header.size() + payload_len, |packet| {
        header.emit(packet);
        fill(packet.get_mut(header.size()..).unwrap_or_default());
    })
}

/// Bytes of the IP header to `address`.
pub fn header_len(address: IpAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}
