//! Neighbour discovery for IPv6 (RFC 4861): solicitations and advertisements. Routers: `address::slaac`.

use std::net::{IpAddr, Ipv6Addr};

use smoltcp::phy::{ChecksumCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetProtocol, HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet,
    Ipv6Repr, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

use super::{Link, Sender, group_mac};

/// What a message means for us.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Done,
    /// Another station claims an address that is ours (RFC 4862 §5.4).
    Claims(Ipv6Addr, EthernetAddress),
}

/// Takes a solicitation or advertisement that came with hop limit 255 (RFC 4861 §7.1).
///
/// # Errors
/// The reason why it is dropped.
pub fn heard(
    sender: &mut Sender<'_>,
    now: Instant,
    station: EthernetAddress,
    source: Ipv6Addr,
    message: NdiscRepr<'_>,
) -> Result<Heard, &'static str> {
    match message {
        NdiscRepr::NeighborSolicit { target_addr, lladdr } => {
            if !sender.addresses.is_ours(IpAddr::V6(target_addr)) {
                return Ok(Heard::Done);
            }
            if source.is_unspecified() {
                // Duplicate address detection of another station's: it learns by our answer to all.
                advertise(sender.link, target_addr, ALL_NODES, false);
                return Ok(Heard::Done);
            }
            if !sender.addresses.on_link(IpAddr::V6(source)) {
                return Err("drops.nd.foreign");
            }
            if lladdr.is_some_and(|lladdr| lladdr != RawHardwareAddress::from(station)) {
                return Err("drops.nd.sender");
            }
            sender.link.neighbours.rumour(now, IpAddr::V6(source), station);
            // To the asker itself, at the station that it sent from: no entry is needed, none is made.
            advertise_to(sender.link, target_addr, (source, station), true);
            Ok(Heard::Done)
        }
        NdiscRepr::NeighborAdvert { flags, target_addr, lladdr } => {
            if sender.addresses.is_ours(IpAddr::V6(target_addr)) {
                return Ok(Heard::Claims(target_addr, station));
            }
            let mac = match lladdr {
                Some(lladdr) => station_of(lladdr).ok_or("drops.nd.option")?,
                None => station,
            };
            if flags.contains(NdiscNeighborFlags::SOLICITED) {
                sender.answered(now, IpAddr::V6(target_addr), mac);
            } else {
                sender.link.neighbours.rumour(now, IpAddr::V6(target_addr), mac);
            }
            Ok(Heard::Done)
        }
        _ => Err("drops.nd.kind"),
    }
}

/// Asks the group of `target` who has it.
pub fn ask(link: &mut Link, source: Ipv6Addr, target: Ipv6Addr) {
    // RFC 4861 §4.3: no link-layer address from the unspecified source.
    let lladdr = (!source.is_unspecified()).then(|| RawHardwareAddress::from(link.mac));
    let repr = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
    let group = solicited_node(target);
    send(link, source, (group, group_mac(IpAddr::V6(group))), repr);
}

/// Tells all nodes that `address` is ours.
pub fn announce(link: &mut Link, address: Ipv6Addr) {
    advertise(link, address, ALL_NODES, false);
}

/// RFC 4291 §2.7.1.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, pair(0xff, a), pair(b, c))
}

pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

fn advertise(link: &mut Link, address: Ipv6Addr, group: Ipv6Addr, solicited: bool) {
    let mac = group_mac(IpAddr::V6(group)).unwrap_or(EthernetAddress::BROADCAST);
    advertise_to(link, address, (group, mac), solicited);
}

fn advertise_to(link: &mut Link, address: Ipv6Addr, to: (Ipv6Addr, EthernetAddress), solicited: bool) {
    let mut flags = NdiscNeighborFlags::OVERRIDE;
    flags.set(NdiscNeighborFlags::SOLICITED, solicited);
    let lladdr = Some(RawHardwareAddress::from(link.mac));
    let repr = NdiscRepr::NeighborAdvert { flags, target_addr: address, lladdr };
    send(link, address, (to.0, Some(to.1)), repr);
}

/// Sends an ND message; hop limit 255 shows that it came from this link (RFC 4861 §11.2).
pub fn send(
    link: &mut Link,
    source: Ipv6Addr,
    target: (Ipv6Addr, Option<EthernetAddress>),
    message: NdiscRepr<'_>,
) {
    let Some(mac) = target.1 else { return };
    let message = Icmpv6Repr::Ndisc(message);
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: target.0,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let len = ip.buffer_len() + message.buffer_len();
    link.frame(mac, EthernetProtocol::Ipv6, len, |out| {
        let mut packet = Ipv6Packet::new_unchecked(out);
        ip.emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&source, &target.0, &mut icmp, &ChecksumCapabilities::default());
    });
}

fn station_of(lladdr: RawHardwareAddress) -> Option<EthernetAddress> {
    match lladdr.parse(Medium::Ethernet) {
        Ok(HardwareAddress::Ethernet(mac)) if mac.is_unicast() => Some(mac),
        _ => None,
    }
}
