//! INIT-REBOOT (RFC 2131 §3.2): when the link comes back, a client that has a lease asks all servers whether its
//! address is good here.
//!
//! smoltcp's client knows no such question, but takes the answer, since the question bears the number of its own last
//! one: an ACK renews the lease, a NAK lets it look for another.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use crate::secret::Random;

/// RFC 2131 §4.1: so long after the first question, twice as long after each further one, give or take a second.
const GAP: Duration = Duration::from_secs(4);
const JITTER: Duration = Duration::from_secs(1);
/// Within a minute. A lease that nobody answers for stays until it expires (RFC 2131 §3.2, step 4).
const QUESTIONS: u8 = 5;
/// smoltcp's allowance for the headers before a message.
const HEADERS: usize = 60 + 8;

/// When to ask.
#[derive(Debug, Default)]
pub(super) struct Reboot {
    asked: u8,
    due: Option<Instant>,
}

impl Reboot {
    pub(super) fn start(&mut self, now: Instant) {
        *self = Reboot { asked: 0, due: Some(now) };
    }

    pub(super) fn stop(&mut self) {
        self.due = None;
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether to ask now; if so, it counts as done.
    pub(super) fn is_due(&mut self, now: Instant, random: &mut Random) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let jitter = Duration::from_millis(u64::from(random.below(2 * JITTER.total_millis() as u32 + 1)));
        let gap = (GAP << u32::from(self.asked)) + jitter - JITTER;
        self.asked += 1;
        self.due = (self.asked < QUESTIONS).then_some(now + gap);
        true
    }
}

/// The question, as a frame to all: no server's name, no address of ours but the one that is asked for
/// (RFC 2131 §4.3.2).
pub(super) fn question(
    mac: EthernetAddress,
    address: Ipv4Addr,
    number: u32,
    parameters: &[u8],
    mtu: usize,
) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let dhcp = DhcpRepr {
        message_type: DhcpMessageType::Request,
        transaction_id: number,
        secs: 0,
        client_hardware_address: mac,
        client_ip: none,
        your_ip: none,
        server_ip: none,
        router: None,
        subnet_mask: None,
        relay_agent_ip: none,
        broadcast: false,
        requested_ip: Some(address),
        client_identifier: Some(mac),
        server_identifier: None,
        parameter_request_list: Some(parameters),
        dns_servers: None,
        max_size: Some(mtu.saturating_sub(HEADERS) as u16),
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let udp = UdpRepr { src_port: 68, dst_port: 67 };
    let payload_len = udp.header_len() + dhcp.buffer_len();
    let (src_addr, dst_addr, next_header) = (none, Ipv4Addr::BROADCAST, IpProtocol::Udp);
    let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: 64 };
    let ethernet = EthernetRepr {
        src_addr: mac,
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + payload_len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.emit(&mut frame);
    let checksums = ChecksumCapabilities::default();
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &src_addr.into(),
        &dst_addr.into(),
        dhcp.buffer_len(),
        |out| {
            // The buffer has the length that the message asked for.
            let emitted = dhcp.emit(&mut DhcpPacket::new_unchecked(out));
            debug_assert!(emitted.is_ok());
        },
        &checksums,
    );
    bytes
}

/// The number of a message of a client's.
pub(super) fn number_of(frame: &[u8]) -> Option<u32> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    if (udp.src_port(), udp.dst_port()) != (68, 67) {
        return None;
    }
    Some(DhcpPacket::new_checked(udp.payload()).ok()?.transaction_id())
}
