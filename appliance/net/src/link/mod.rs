//! One Ethernet link: who has which address (ARP, ND), and frames out.

pub mod arp;
pub mod conflict;
pub mod nd;
pub mod neighbour;
pub mod outbox;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, EthernetProtocol, Ipv4Packet, Ipv6Packet};

use crate::address::Addresses;
use crate::secret::Key;
use neighbour::{Answer, Cause, Due, Neighbours};
use outbox::{Outbox, header};

/// The link and what waits to be sent on it.
#[derive(Debug)]
pub struct Link {
    pub mac: EthernetAddress,
    /// Bytes of IP packet in a frame.
    pub mtu: usize,
    pub neighbours: Neighbours,
    pub out: Outbox,
    /// On whose behalf frames are sent at present.
    pub cause: Cause,
    /// Packets that waited for a neighbour who did not answer, until they are taken.
    failed: Vec<Vec<u8>>,
}

impl Link {
    pub fn new(mac: EthernetAddress, mtu: usize, key: Key) -> Link {
        let neighbours = Neighbours::new(key);
        Link { mac, mtu, neighbours, out: Outbox::default(), cause: Cause::Ours, failed: Vec::new() }
    }

    /// Sends a frame to a station, or to a group of them.
    pub fn frame(
        &mut self,
        target: EthernetAddress,
        kind: EthernetProtocol,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        self.out.frame(&header(self.mac, target, kind), len, fill);
    }

    /// Packets whose next hop did not answer, since the last call.
    pub fn take_failed(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.failed)
    }
}

/// The link with the addresses that are ours on it: sends IP packets.
#[derive(Debug)]
pub struct Sender<'a> {
    pub link: &'a mut Link,
    pub addresses: &'a Addresses,
}

impl Sender<'_> {
    /// Sends an IP packet of `len` bytes that `fill` writes. Waits for the neighbour if it is not known; drops
    /// the packet where there is no route, which is `false`.
    pub fn packet(&mut self, now: Instant, target: IpAddr, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let kind = ethertype(target);
        if let Some(group) = group_mac(target) {
            self.link.frame(group, kind, len, fill);
            return true;
        }
        let Some(hop) = self.addresses.next_hop(target) else { return false };
        let answer = self.link.neighbours.look_up(now, hop, self.link.cause);
        match answer {
            Answer::Known(mac) => self.link.frame(mac, kind, len, fill),
            Answer::Ask | Answer::Waiting => {
                let mut packet = vec![0; len];
                fill(&mut packet);
                self.link.neighbours.keep(hop, packet);
                if answer == Answer::Ask {
                    self.ask(hop);
                }
            }
            Answer::Full => return false,
        }
        true
    }

    /// Works on the neighbour table's deadlines.
    pub fn neighbours_due(&mut self, now: Instant) {
        while let Some(due) = self.link.neighbours.due(now) {
            match due {
                Due::Ask(address) => self.ask(address),
                Due::Failed(_, packet) => self.link.failed.extend(packet),
            }
        }
    }

    /// A neighbour answered: what waited for it goes out.
    pub fn answered(&mut self, now: Instant, address: IpAddr, mac: EthernetAddress) {
        if !mac.is_unicast() {
            return;
        }
        if let Some(packet) = self.link.neighbours.answered(now, address, mac) {
            self.link.frame(mac, ethertype(address), packet.len(), |out| out.copy_from_slice(&packet));
        }
    }

    fn ask(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(target) => {
                let source = self.addresses.source_v4(target).unwrap_or(Ipv4Addr::UNSPECIFIED);
                arp::ask(self.link, source, target);
            }
            IpAddr::V6(target) => {
                let source = self.addresses.source_v6(target).unwrap_or(Ipv6Addr::UNSPECIFIED);
                nd::ask(self.link, source, target);
            }
        }
    }
}

/// The destination of an IP packet that we made.
pub fn target_of(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Packet::new_checked(packet).ok()?.dst_addr().into()),
        _ => Some(Ipv6Packet::new_checked(packet).ok()?.dst_addr().into()),
    }
}

fn ethertype(address: IpAddr) -> EthernetProtocol {
    if address.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 }
}

/// RFC 1112 §6.4, RFC 2464 §7.
fn group_mac(address: IpAddr) -> Option<EthernetAddress> {
    match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some(EthernetAddress::BROADCAST),
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            Some(EthernetAddress([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(v6) if v6.is_multicast() => {
            let [.., a, b, c, d] = v6.octets();
            Some(EthernetAddress([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}
