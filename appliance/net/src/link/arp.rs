//! ARP (RFC 826), with the checks of RFC 5227.

use std::net::{IpAddr, Ipv4Addr};

use smoltcp::time::Instant;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol};

use super::{Link, Sender};

/// What an ARP packet means for us.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is dealt with, or nothing to us.
    Done,
    /// Another station claims, or looks for, an address that is ours.
    Claims(Ipv4Addr, EthernetAddress),
}

/// Takes an ARP packet that `station` sent.
///
/// # Errors
/// The reason why it is dropped.
pub fn heard(
    sender: &mut Sender<'_>,
    now: Instant,
    station: EthernetAddress,
    packet: &[u8],
) -> Result<Heard, &'static str> {
    let packet = ArpPacket::new_checked(packet).map_err(|_| "drops.arp.length")?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    } = ArpRepr::parse(&packet).map_err(|_| "drops.arp.kind")?
    else {
        return Err("drops.arp.kind");
    };
    if source_hardware_addr != station || !station.is_unicast() {
        return Err("drops.arp.sender");
    }
    if station == sender.link.mac {
        return Err("drops.arp.own");
    }
    let ours = |address: Ipv4Addr| sender.addresses.is_ours(IpAddr::V4(address));
    if ours(source_protocol_addr) {
        return Ok(Heard::Claims(source_protocol_addr, station));
    }
    let probe = source_protocol_addr.is_unspecified();
    if !probe && !sender.addresses.on_link(IpAddr::V4(source_protocol_addr)) {
        return Err("drops.arp.foreign");
    }
    match operation {
        ArpOperation::Request if ours(target_protocol_addr) => {
            // A probe (RFC 5227 §2.1.1) gets an answer too: that is how its sender learns of the conflict.
            answer(sender.link, target_protocol_addr, station, source_protocol_addr);
        }
        ArpOperation::Reply if target_hardware_addr == sender.link.mac => {
            sender.answered(now, IpAddr::V4(source_protocol_addr), station);
        }
        _ => {}
    }
    if !probe {
        sender.link.neighbours.rumour(now, IpAddr::V4(source_protocol_addr), station);
    }
    Ok(Heard::Done)
}

/// Asks everybody who has `target`.
pub fn ask(link: &mut Link, source: Ipv4Addr, target: Ipv4Addr) {
    emit(link, EthernetAddress::BROADCAST, ArpOperation::Request, source, (EthernetAddress([0; 6]), target));
}

/// Tells everybody that `address` is ours (RFC 5227 §2.3).
pub fn announce(link: &mut Link, address: Ipv4Addr) {
    ask(link, address, address);
}

fn answer(link: &mut Link, address: Ipv4Addr, station: EthernetAddress, asker: Ipv4Addr) {
    emit(link, station, ArpOperation::Reply, address, (station, asker));
}

fn emit(
    link: &mut Link,
    to: EthernetAddress,
    operation: ArpOperation,
    source: Ipv4Addr,
    target: (EthernetAddress, Ipv4Addr),
) {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: link.mac,
        source_protocol_addr: source,
        target_hardware_addr: target.0,
        target_protocol_addr: target.1,
    };
    link.frame(to, EthernetProtocol::Arp, repr.buffer_len(), |out| {
        repr.emit(&mut ArpPacket::new_unchecked(out))
    });
}
