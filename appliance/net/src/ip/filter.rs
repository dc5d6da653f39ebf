//! Which IP packets come any further. What is dropped is counted by the reason that the error is.

use std::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6HopByHopHeader, Ipv6Packet};
use sys::frames::Checksum;

use super::Datagram;
use crate::address::{Addresses, is_usable};

/// Takes the payload of an Ethernet frame apart, if it may come in.
///
/// # Errors
/// The name of the counter for what is dropped.
pub fn filter<'a>(
    frame: &'a [u8],
    v4: bool,
    checksum: Checksum,
    addresses: &Addresses,
) -> Result<Datagram<'a>, &'static str> {
    let datagram = if v4 { parse_v4(frame, addresses)? } else { parse_v6(frame, addresses)? };
    let datagram = Datagram { checksum, ..datagram };
    if datagram.source == datagram.target || addresses.is_ours(datagram.source) {
        return Err("drops.ip.source_ours"); // Land, and our own frames come back.
    }
    Ok(datagram)
}

fn parse_v4<'a>(frame: &'a [u8], addresses: &Addresses) -> Result<Datagram<'a>, &'static str> {
    let packet = Ipv4Packet::new_checked(frame).map_err(|_| "drops.ip.length")?;
    if packet.version() != 4 {
        return Err("drops.ip.version");
    }
    if !packet.verify_checksum() {
        return Err("drops.ip.checksum");
    }
    if packet.header_len() != 20 {
        return Err("drops.ip.options");
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err("drops.ip.fragment");
    }
    let (source, target) = (packet.src_addr(), packet.dst_addr());
    source_v4(source, addresses)?;
    if !addresses.is_ours(IpAddr::V4(target)) {
        return Err("drops.ip.not_ours");
    }
    let total = usize::from(packet.total_len());
    Ok(Datagram {
        source: source.into(),
        target: target.into(),
        protocol: packet.next_header(),
        hop_limit: packet.hop_limit(),
        checksum: Checksum::Unknown,
        payload: frame.get(20..total).ok_or("drops.ip.length")?,
        packet: frame.get(..total).ok_or("drops.ip.length")?,
    })
}

fn source_v4(source: Ipv4Addr, addresses: &Addresses) -> Result<(), &'static str> {
    if !is_usable(IpAddr::V4(source)) || addresses.is_broadcast(source) {
        return Err("drops.ip.source");
    }
    Ok(())
}

fn parse_v6<'a>(frame: &'a [u8], addresses: &Addresses) -> Result<Datagram<'a>, &'static str> {
    let packet = Ipv6Packet::new_checked(frame).map_err(|_| "drops.ip.length")?;
    if packet.version() != 6 {
        return Err("drops.ip.version");
    }
    let (source, target) = (packet.src_addr(), packet.dst_addr());
    let whole = frame.get(..packet.total_len()).ok_or("drops.ip.length")?;
    let after = whole.get(40..).ok_or("drops.ip.length")?;
    let (protocol, payload) = match packet.next_header() {
        IpProtocol::HopByHop => after_hop_by_hop(after)?,
        protocol => (protocol, after),
    };
    let icmp = protocol == IpProtocol::Icmpv6;
    // Duplicate address detection and router solicitation come from the unspecified address (RFC 4861 §4).
    if !(is_usable(IpAddr::V6(source)) || icmp && source.is_unspecified()) {
        return Err("drops.ip.source");
    }
    let group = target.is_multicast();
    let listened_to = addresses.is_ours(IpAddr::V6(target)) || icmp && group && addresses.in_group(target);
    if !listened_to {
        return Err(if group && !icmp { "drops.ip.multicast" } else { "drops.ip.not_ours" });
    }
    let (source, target) = (source.into(), target.into());
    let (hop_limit, checksum) = (packet.hop_limit(), Checksum::Unknown);
    Ok(Datagram { source, target, protocol, hop_limit, checksum, payload, packet: whole })
}

/// Hop-by-hop options pass before ICMPv6 only: multicast listener queries carry a router alert (RFC 2710 §3).
fn after_hop_by_hop(payload: &[u8]) -> Result<(IpProtocol, &[u8]), &'static str> {
    let &[next, units, ..] = payload else { return Err("drops.ip.length") };
    let len = (usize::from(units) + 1) * 8;
    let options = payload.get(2..len).ok_or("drops.ip.length")?;
    Ipv6HopByHopHeader::new_checked(options).map_err(|_| "drops.ip.options")?;
    match IpProtocol::from(next) {
        IpProtocol::Icmpv6 => Ok((IpProtocol::Icmpv6, payload.get(len..).unwrap_or_default())),
        _ => Err("drops.ip.extension"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Origin;
    use crate::ip::Header;
    use proptest::prelude::*;

    fn addresses() -> Addresses {
        let mut addresses = Addresses::default();
        addresses.add("192.0.2.10/24".parse().unwrap(), Origin::Static);
        addresses.add("2001:db8::10/64".parse().unwrap(), Origin::Static);
        addresses
    }

    fn packet(source: &str, target: &str) -> Vec<u8> {
        let (source, target): (IpAddr, IpAddr) = (source.parse().unwrap(), target.parse().unwrap());
        let header = Header { source, target, protocol: IpProtocol::Tcp };
        let mut packet = vec![0; header.size() + 20];
        header.emit(&mut packet);
        packet
    }

    fn check(packet: &[u8]) -> Result<(), &'static str> {
        filter(packet, packet[0] >> 4 == 4, Checksum::Unknown, &addresses()).map(|_| ())
    }

    fn v4_changed(change: impl FnOnce(&mut Ipv4Packet<&mut [u8]>)) -> Result<(), &'static str> {
        let mut bytes = packet("198.51.100.7", "192.0.2.10");
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes[..]);
        change(&mut ip);
        ip.fill_checksum();
        check(&bytes)
    }

    #[test]
    fn good_packets_pass() {
        assert_eq!(check(&packet("198.51.100.7", "192.0.2.10")), Ok(()));
        assert_eq!(check(&packet("2001:db8:1::7", "2001:db8::10")), Ok(()));
        let mut padded = packet("198.51.100.7", "192.0.2.10");
        padded.extend([0; 6]);
        assert_eq!(filter(&padded, true, Checksum::Unknown, &addresses()).unwrap().payload.len(), 20);
    }

    #[test]
    fn martians_do_not() {
        for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.255"] {
            assert_eq!(check(&packet(source, "192.0.2.10")), Err("drops.ip.source"), "{source}");
        }
        for source in ["::", "::1", "ff02::1", "::ffff:192.0.2.7"] {
            assert_eq!(check(&packet(source, "2001:db8::10")), Err("drops.ip.source"), "{source}");
        }
        assert_eq!(check(&packet("192.0.2.10", "192.0.2.10")), Err("drops.ip.source_ours"));
        for target in ["192.0.2.255", "255.255.255.255", "224.0.0.1", "192.0.2.11"] {
            assert_eq!(check(&packet("198.51.100.7", target)), Err("drops.ip.not_ours"), "{target}");
        }
        assert_eq!(check(&packet("2001:db8:1::7", "ff02::1")), Err("drops.ip.multicast"));
    }

    #[test]
    fn fragments_options_and_damage_do_not() {
        assert_eq!(v4_changed(|ip| ip.set_more_frags(true)), Err("drops.ip.fragment"));
        assert_eq!(v4_changed(|ip| ip.set_frag_offset(8)), Err("drops.ip.fragment"));
        assert_eq!(v4_changed(|ip| ip.set_header_len(24)), Err("drops.ip.options"));
        assert_eq!(v4_changed(|ip| ip.set_version(5)), Err("drops.ip.version"));
        assert_eq!(v4_changed(|ip| ip.set_total_len(2_000)), Err("drops.ip.length"));
        let mut bytes = packet("198.51.100.7", "192.0.2.10");
        bytes[10] ^= 1;
        assert_eq!(check(&bytes), Err("drops.ip.checksum"));
        let mut bytes = packet("2001:db8:1::7", "2001:db8::10");
        bytes[6] = 44; // A fragment header.
        let fragment = filter(&bytes, false, Checksum::Unknown, &addresses()).unwrap();
        assert_eq!(fragment.protocol, IpProtocol::Ipv6Frag); // Nobody takes that protocol.
        bytes[6] = 0;
        assert_eq!(check(&bytes), Err("drops.ip.extension"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), v4: bool) {
            let _ = filter(&bytes, v4, Checksum::Unknown, &addresses());
        }
    }
}
