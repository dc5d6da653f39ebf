//! DHCPv4 (RFC 2131): smoltcp's client in a small interface of its own that sees DHCP and ARP answers only.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, HardwareAddress, IpCidr, IpProtocol, Ipv4Packet, UdpPacket,
};

use sys::frames::Checksum;

use super::reboot::{self, Reboot};
use crate::control::Lease;
use crate::link::outbox::Outbox;
use crate::secret::Random;

/// Frames sent for one that came or one deadline; a client never needs more.
const FRAMES_A_TURN: usize = 4;
/// RFC 2132 §8.3: network time servers.
const OPTION_NTP: u8 = 42;
/// RFC 2132 §9.2: the lease's length in seconds.
const OPTION_LEASE: u8 = 51;
/// Asked for: mask, router, DNS, time servers (RFC 2132 §9.8).
const PARAMETERS: &[u8] = &[1, 3, 6, OPTION_NTP];

/// What the client found out.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Leased(Lease),
    Lost,
}

/// The client.
pub struct Dhcp {
    iface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    mac: EthernetAddress,
    mtu: usize,
    random: Random,
    reboot: Reboot,
    leased: Option<Lease>,
    /// Of the client's last message.
    number: u32,
}

impl std::fmt::Debug for Dhcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dhcp").finish_non_exhaustive()
    }
}

impl Dhcp {
    pub fn new(now: Instant, mac: EthernetAddress, mtu: usize, seed: u64) -> Dhcp {
        let mut config = Config::new(HardwareAddress::Ethernet(mac));
        config.random_seed = seed;
        let mut nowhere = Outbox::default();
        let mut port = Port { input: None, out: &mut nowhere, mtu, budget: 0, number: &mut 0 };
        let iface = Interface::new(config, &mut port, now);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let mut socket = dhcpv4::Socket::new();
        socket.set_parameter_request_list(PARAMETERS);
        let handle = sockets.add(socket);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let (random, reboot) = (Random::new(key), Reboot::default());
        Dhcp { iface, sockets, handle, mac, mtu, random, reboot, leased: None, number: 0 }
    }

    /// Forgets the lease and looks for a server.
    pub fn start_over(&mut self) {
        self.reboot.stop();
        self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.handle).reset();
    }

    /// The link is back, and may lead elsewhere: asks whether the lease is good here, or looks for one at once.
    pub fn link_returned(&mut self, now: Instant) {
        if self.leased.is_some() { self.reboot.start(now) } else { self.start_over() }
    }

    /// Whether a frame is for the client: DHCP to its port, or an ARP answer.
    pub fn wants(frame: &[u8], checksum: Checksum) -> bool {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
        match ethernet.ethertype() {
            EthernetProtocol::Arp => ArpPacket::new_checked(ethernet.payload())
                .is_ok_and(|arp| arp.operation() == ArpOperation::Reply),
            EthernetProtocol::Ipv4 => is_dhcp(ethernet.payload(), checksum),
            _ => false,
        }
    }

    /// Takes a frame that [`Self::wants`] named.
    pub fn frame_in(&mut self, now: Instant, frame: &[u8], out: &mut Outbox) -> Option<News> {
        let Dhcp { iface, sockets, mtu, number, .. } = self;
        let mut port = Port { input: Some(frame), out, mtu: *mtu, budget: FRAMES_A_TURN, number };
        if iface.poll_ingress_single(now, &mut port, sockets) == PollIngressSingleResult::None {
            return None;
        }
        self.send(now, out);
        self.news(message_of(frame))
    }

    /// Works on what is due.
    pub fn poll(&mut self, now: Instant, out: &mut Outbox) -> Option<News> {
        self.send(now, out);
        self.news(None)
    }

    fn send(&mut self, now: Instant, out: &mut Outbox) {
        let Dhcp { iface, sockets, mtu, number, .. } = self;
        let mut port = Port { input: None, out, mtu: *mtu, budget: FRAMES_A_TURN, number };
        while port.budget > 0 && iface.poll_egress(now, &mut port, sockets) != PollResult::None {}
        if let Some(lease) = &self.leased
            && self.reboot.is_due(now, &mut self.random)
        {
            out.raw(&reboot::question(self.mac, lease.address.addr(), self.number, PARAMETERS, self.mtu));
        }
    }

    pub fn next_due(&mut self, now: Instant) -> Option<Instant> {
        [self.iface.poll_at(now, &self.sockets), self.reboot.next_due()].into_iter().flatten().min()
    }

    /// What `answer`, the server's message that was just taken, has brought about.
    fn news(&mut self, answer: Option<&[u8]>) -> Option<News> {
        let socket = self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.handle);
        match socket.poll() {
            Some(dhcpv4::Event::Configured(config)) => {
                let lease = lease(&config, answer)?;
                self.configure(Some(&lease));
                Some(News::Leased(lease))
            }
            Some(dhcpv4::Event::Deconfigured) => {
                self.configure(None);
                Some(News::Lost)
            }
            None => self.renewed(answer?),
        }
    }

    fn configure(&mut self, lease: Option<&Lease>) {
        self.reboot.stop();
        self.leased = lease.cloned();
        self.iface.update_ip_addrs(|addresses| addresses.clear());
        self.iface.routes_mut().remove_default_ipv4_route();
        let Some(lease) = lease else { return };
        let own = IpCidr::new(lease.address.addr().into(), lease.address.prefix_len());
        // The table was cleared, so that there is room for one.
        self.iface.update_ip_addrs(|addresses| addresses.push(own).unwrap_or_default());
        if let Some(router) = lease.router {
            let _ = self.iface.routes_mut().add_default_ipv4_route(router);
        }
    }

    /// An ACK that changes nothing of what smoltcp knows has no event of its own: the lease is as long as it says anew,
    /// and the time servers, which smoltcp does not read, may be others.
    fn renewed(&mut self, answer: &[u8]) -> Option<News> {
        let lease = self.leased.as_mut()?;
        let packet = DhcpPacket::new_checked(answer).ok()?;
        let repr = DhcpRepr::parse(&packet).ok()?;
        let ours = repr.transaction_id == self.number && repr.client_hardware_address == self.mac;
        if !ours || repr.message_type != DhcpMessageType::Ack || repr.your_ip != lease.address.addr() {
            return None;
        }
        self.reboot.stop();
        (lease.ntp, lease.lifetime_s) = beside(&packet);
        Some(News::Leased(lease.clone()))
    }
}

/// A lease out of an answer; `None` when its address is none that a host can have.
fn lease(config: &dhcpv4::Config<'_>, answer: Option<&[u8]>) -> Option<Lease> {
    let address = Ipv4Net::new(config.address.address(), config.address.prefix_len()).ok()?;
    let usable = |address: &Ipv4Addr| super::is_usable((*address).into());
    let router = config.router.filter(usable);
    let dns = config.dns_servers.iter().copied().filter(usable).collect();
    let (ntp, lifetime_s) = match answer.map(DhcpPacket::new_checked) {
        Some(Ok(packet)) => beside(&packet),
        _ => Default::default(),
    };
    usable(&address.addr()).then_some(Lease { address, router, dns, ntp, lifetime_s })
}

/// The time servers of a message and the lease's length in seconds.
fn beside(packet: &DhcpPacket<&[u8]>) -> (Vec<Ipv4Addr>, u32) {
    let option = |wanted: u8| packet.options().find(|DhcpOption { kind, .. }| *kind == wanted);
    let address = |word: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(word).ok()?));
    let usable = |address: &Ipv4Addr| super::is_usable((*address).into());
    let ntp = option(OPTION_NTP).map(|DhcpOption { data, .. }| data.chunks(4).filter_map(address));
    let lifetime = option(OPTION_LEASE).and_then(|DhcpOption { data, .. }| data.try_into().ok());
    (ntp.into_iter().flatten().filter(usable).take(3).collect(), lifetime.map_or(0, u32::from_be_bytes))
}

/// The DHCP message within a frame that [`Dhcp::wants`] named; none in an ARP answer.
fn message_of(frame: &[u8]) -> Option<&[u8]> {
    let ip = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv4Packet::new_checked(ip.payload()).ok()?;
    Some(UdpPacket::new_checked(ip.payload()).ok()?.payload())
}

/// With its checksum right, where it has one: a server on a virtual machine's own host sends none.
fn is_dhcp(packet: &[u8], checksum: Checksum) -> bool {
    let Ok(ip) = Ipv4Packet::new_checked(packet) else { return false };
    let whole = !ip.more_frags() && ip.frag_offset() == 0 && ip.next_header() == IpProtocol::Udp;
    let (source, target) = (ip.src_addr().into(), ip.dst_addr().into());
    let for_us = |udp: UdpPacket<&[u8]>| {
        let sound = checksum == Checksum::Trusted || udp.verify_checksum(&source, &target);
        (udp.src_port(), udp.dst_port()) == (67, 68) && sound
    };
    whole && UdpPacket::new_checked(ip.payload()).is_ok_and(for_us)
}

/// One frame in, some frames out.
struct Port<'a> {
    input: Option<&'a [u8]>,
    out: &'a mut Outbox,
    mtu: usize,
    budget: usize,
    number: &'a mut u32,
}

struct Received<'a>(&'a [u8]);
struct Transmit<'a>(&'a mut Outbox, &'a mut u32);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        work(self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, work: F) -> R {
        let mut frame = vec![0; len];
        let result = work(&mut frame);
        if let Some(number) = reboot::number_of(&frame) {
            *self.1 = number;
        }
        self.0.raw(&frame);
        result
    }
}

impl<'p> Device for Port<'p> {
    type RxToken<'a>
        = Received<'p>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'p>, Transmit<'_>)> {
        Some((Received(self.input.take()?), Transmit(self.out, self.number)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        self.budget = self.budget.checked_sub(1)?;
        Some(Transmit(self.out, self.number))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // What comes in was checked by `is_dhcp`.
        capabilities.checksum.udp = smoltcp::phy::Checksum::Tx;
        capabilities.max_transmission_unit = self.mtu + EthernetFrame::<&[u8]>::header_len();
        capabilities
    }
}
