//! Where addresses come from, and who may say what about them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod simulation;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use net::control::{Configure, FromNet, Ipv4Addressing, Ipv6Addressing, Lease, Rejection, RequestId, ToNet};
use simulation::peer::{ROUTER_MAC, SAY, Say, Scene};
use simulation::{Host, OUR_MAC};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::*;
use sys::frames::Checksum;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);

/// A host with a DHCP server on its link.
struct Dhcp {
    host: Host,
    now: Instant,
    /// What the server was asked, and when.
    asked: Vec<(Instant, DhcpMessageType)>,
    /// The last question: to whom, our address, the one that is asked for, the server that is named.
    last: Option<(Ipv4Addr, Ipv4Addr, Option<Ipv4Addr>, Option<Ipv4Addr>)>,
    answers: bool,
    /// Refuses an address that a client remembers.
    refuses: bool,
    /// Frames that were not DHCP.
    others: Vec<Vec<u8>>,
}

impl Dhcp {
    fn new() -> Dhcp {
        let mut host = Host::new(OUR_MAC, 3, 4);
        let now = Instant::from_secs(1_000);
        let ipv6 = Ipv6Addressing::None;
        host.configure(now, Configure { ipv4: Ipv4Addressing::Dhcp, ipv6, ..Configure::default() });
        Dhcp { host, now, asked: Vec::new(), last: None, answers: true, refuses: false, others: Vec::new() }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.host.settle(self.now);
            let frames = self.host.frames();
            let quiet = frames.is_empty();
            frames.iter().for_each(|frame| self.serve(frame));
            if !quiet {
                continue;
            }
            match self.host.stack.next_due(self.now).map(|due| due.max(self.now)) {
                Some(due) if due <= end => self.now = due,
                _ => break,
            }
        }
        self.now = end;
    }

    /// The cable is pulled, and put back after a while.
    fn flap(&mut self, time: Duration) {
        self.host.stack.carrier(self.now, false);
        self.pass(time);
        self.asked.clear();
        self.others.clear();
        self.host.stack.carrier(self.now, true);
    }

    fn serve(&mut self, frame: &[u8]) {
        self.others.push(frame.to_vec());
        if let Some(answer) = arp_answer(frame) {
            self.host.stack.frame_in(self.now, &answer, Checksum::Unknown);
            return;
        }
        let ethernet = EthernetFrame::new_checked(frame).unwrap();
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return;
        }
        let ip = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
        let udp = UdpPacket::new_checked(ip.payload()).unwrap();
        assert_eq!((udp.src_port(), udp.dst_port()), (68, 67));
        let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
        let asked = DhcpRepr::parse(&packet).unwrap();
        self.others.pop();
        self.asked.push((self.now, asked.message_type));
        self.last = Some((ip.dst_addr(), asked.client_ip, asked.requested_ip, asked.server_identifier));
        if self.answers {
            let answer = self.answer(&asked, Checksum::Unknown);
            self.host.stack.frame_in(self.now, &answer, Checksum::Unknown);
        }
    }

    fn answer(&self, asked: &DhcpRepr<'_>, checksum: Checksum) -> Vec<u8> {
        let message_type = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            _ if self.refuses && asked.server_identifier.is_none() => DhcpMessageType::Nak,
            _ => DhcpMessageType::Ack,
        };
        let ntp = [10, 0, 0, 3];
        let repr = DhcpRepr {
            message_type,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: OUR_MAC,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: OURS,
            server_ip: SERVER,
            router: Some(SERVER),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(SERVER),
            parameter_request_list: None,
            dns_servers: Some([Ipv4Addr::new(10, 0, 0, 2)].into_iter().collect()),
            max_size: None,
            renew_duration: None,
            rebind_duration: None,
            lease_duration: Some(3_600),
            additional_options: &[DhcpOption { kind: 42, data: &ntp }],
        };
        let mut dhcp = vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut dhcp[..])).unwrap();
        let udp_repr = UdpRepr { src_port: 67, dst_port: 68 };
        let mut udp = vec![0; 8 + dhcp.len()];
        udp_repr.emit(
            &mut UdpPacket::new_unchecked(&mut udp[..]),
            &SERVER.into(),
            &Ipv4Addr::BROADCAST.into(),
            dhcp.len(),
            |out| out.copy_from_slice(&dhcp),
            &ChecksumCapabilities::default(),
        );
        if checksum == Checksum::Trusted {
            udp[6..8].copy_from_slice(&[0x12, 0x34]);
        }
        let (src_addr, dst_addr) = (SERVER, Ipv4Addr::BROADCAST);
        let next_header = IpProtocol::Udp;
        let repr = Ipv4Repr { src_addr, dst_addr, next_header, payload_len: udp.len(), hop_limit: 64 };
        let mut packet = vec![0; 20 + udp.len()];
        let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
        repr.emit(&mut ip, &ChecksumCapabilities::default());
        ip.payload_mut().copy_from_slice(&udp);
        simulation::peer::ethernet(EthernetProtocol::Ipv4, &packet)
    }

    fn leases(&self) -> Vec<Option<Lease>> {
        let lease = |message: &FromNet| match message {
            FromNet::Address(lease) => Some(lease.clone()),
            _ => None,
        };
        self.host.said.iter().filter_map(lease).collect()
    }
}

fn arp_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let arp = ArpPacket::new_checked(ethernet.payload()).ok()?;
    let Ok(ArpRepr::EthernetIpv4 { source_protocol_addr, target_protocol_addr: SERVER, .. }) =
        ArpRepr::parse(&arp)
    else {
        return None;
    };
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: ROUTER_MAC,
        source_protocol_addr: SERVER,
        target_hardware_addr: OUR_MAC,
        target_protocol_addr: source_protocol_addr,
    };
    Some(arp_frame(&repr))
}

fn arp_frame(repr: &ArpRepr) -> Vec<u8> {
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    simulation::peer::ethernet(EthernetProtocol::Arp, &bytes)
}

#[test]
fn dhcp_gives_an_address_at_once_with_its_servers() {
    let mut dhcp = Dhcp::new();
    dhcp.pass(Duration::from_secs(1));
    let lease = Lease {
        address: "10.0.0.50/24".parse().unwrap(),
        router: Some(SERVER),
        dns: vec![[10, 0, 0, 2].into()],
        ntp: vec![[10, 0, 0, 3].into()],
        lifetime_s: 3_600,
    };
    assert_eq!(dhcp.leases(), [Some(lease)]);
    let ready = FromNet::Ready { addresses: vec!["10.0.0.50/24".parse().unwrap()] };
    assert!(dhcp.host.said.contains(&ready));
    assert_eq!(dhcp.host.stack.addresses().next_hop([8, 8, 8, 8].into()), Some(IpAddr::V4(SERVER)));
}

#[test]
fn dhcp_renews_at_half_time_and_keeps_the_address_until_it_expires() {
    let mut dhcp = Dhcp::new();
    dhcp.pass(Duration::from_secs(2_000));
    let renewal = dhcp.asked.last().unwrap();
    assert_eq!(renewal.1, DhcpMessageType::Request);
    assert!((1_795..=1_805).contains(&(renewal.0 - Instant::from_secs(1_000)).secs()), "{:?}", dhcp.asked);
    dhcp.answers = false;
    dhcp.pass(Duration::from_secs(3_300));
    assert_eq!(dhcp.leases().last().unwrap().as_ref().map(|lease| lease.router), Some(Some(SERVER)));
    assert!(dhcp.host.stack.addresses().is_ours(OURS.into()));
    dhcp.pass(Duration::from_secs(200));
    assert_eq!(dhcp.leases().last(), Some(&None));
    assert!(!dhcp.host.stack.addresses().is_ours(OURS.into()));
    dhcp.answers = true;
    dhcp.pass(Duration::from_secs(120));
    assert!(dhcp.host.stack.addresses().is_ours(OURS.into()), "it asks on");
}

/// Seconds since `start` of each question.
fn seconds(asked: &[(Instant, DhcpMessageType)], start: Instant) -> Vec<u64> {
    asked.iter().map(|(when, _)| (*when - start).secs()).collect()
}

#[test]
fn when_the_link_returns_the_lease_is_confirmed_and_the_address_stays() {
    let mut dhcp = Dhcp::new();
    dhcp.pass(Duration::from_secs(1_000));
    dhcp.flap(Duration::from_secs(30));
    dhcp.pass(Duration::from_secs(1));
    // INIT-REBOOT (RFC 2131 §4.3.2).
    assert_eq!(dhcp.last, Some((Ipv4Addr::BROADCAST, Ipv4Addr::UNSPECIFIED, Some(OURS), None)));
    assert_eq!(dhcp.asked.len(), 1);
    assert_eq!(dhcp.leases().len(), 2);
    assert!(dhcp.leases().iter().all(Option::is_some), "never lost");
    // Its time began anew: the next renewal is half of it away.
    let (start, renewed) = (dhcp.now, dhcp.asked.len());
    dhcp.pass(Duration::from_secs(1_900));
    assert_eq!(seconds(&dhcp.asked[renewed..], start).first(), Some(&1_799));
    let link = |message: &&FromNet| matches!(message, FromNet::Link { .. });
    let said: Vec<&FromNet> = dhcp.host.said.iter().filter(link).collect();
    assert_eq!(said, [&FromNet::Link { up: false }, &FromNet::Link { up: true }]);
}

#[test]
fn a_lease_that_nobody_answers_for_is_asked_for_five_times_and_kept_until_it_expires() {
    let mut dhcp = Dhcp::new();
    dhcp.pass(Duration::from_secs(10));
    dhcp.answers = false;
    dhcp.flap(Duration::from_secs(30));
    let start = dhcp.now;
    dhcp.pass(Duration::from_secs(1_000));
    // 4, 8, 16 and 32 s apart, each give or take one (RFC 2131 §4.1).
    let asked = seconds(&dhcp.asked, start);
    assert_eq!(asked.len(), 5, "{asked:?}");
    for (question, (least, most)) in asked.iter().zip([(0, 0), (3, 5), (10, 14), (25, 31), (56, 64)]) {
        assert!((least..=most).contains(question), "{asked:?}");
    }
    assert!(dhcp.host.stack.addresses().is_ours(OURS.into()));
    dhcp.pass(Duration::from_secs(2_600));
    assert_eq!(dhcp.leases().last(), Some(&None));
}

#[test]
fn a_lease_that_is_refused_after_the_link_returned_is_given_up_at_once() {
    let mut dhcp = Dhcp::new();
    dhcp.pass(Duration::from_secs(10));
    dhcp.refuses = true;
    dhcp.flap(Duration::from_secs(1));
    dhcp.pass(Duration::from_millis(10));
    let kinds: Vec<DhcpMessageType> = dhcp.asked.iter().map(|(_, kind)| *kind).collect();
    let (request, discover) = (DhcpMessageType::Request, DhcpMessageType::Discover);
    assert_eq!(kinds, [request, discover, request]);
    let given: Vec<bool> = dhcp.leases().iter().map(Option::is_some).collect();
    assert_eq!(given, [true, false, true]);
    dhcp.asked.clear();
    dhcp.pass(Duration::from_secs(100));
    assert!(dhcp.asked.is_empty(), "nothing is left of the question");
}

#[test]
fn a_client_without_a_lease_asks_as_soon_as_the_link_is_there() {
    let mut dhcp = Dhcp::new();
    dhcp.answers = false;
    dhcp.host.stack.carrier(dhcp.now, false);
    dhcp.pass(Duration::from_secs(11));
    dhcp.answers = true;
    dhcp.asked.clear();
    dhcp.host.stack.carrier(dhcp.now, true);
    dhcp.pass(Duration::from_millis(10));
    assert_eq!(dhcp.asked.first().map(|(_, kind)| *kind), Some(DhcpMessageType::Discover));
    assert!(dhcp.host.stack.addresses().is_ours(OURS.into()));
}

#[test]
fn when_the_link_returns_addresses_are_probed_and_announced_and_neighbours_asked() {
    let mut dhcp = Dhcp::new();
    dhcp.pass(Duration::from_secs(20));
    dhcp.flap(Duration::from_secs(1));
    dhcp.pass(Duration::from_secs(10));
    let arp = |frame: &Vec<u8>| {
        let ethernet = EthernetFrame::new_checked(&frame[..]).unwrap();
        let repr = ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).ok()?).ok()?;
        let ArpRepr::EthernetIpv4 { source_protocol_addr, target_protocol_addr, .. } = repr else {
            return None;
        };
        (ethernet.ethertype() == EthernetProtocol::Arp)
            .then_some((source_protocol_addr, target_protocol_addr))
    };
    let sent: Vec<_> = dhcp.others.iter().filter_map(arp).collect();
    let count = |wanted: (Ipv4Addr, Ipv4Addr)| sent.iter().filter(|pair| **pair == wanted).count();
    // RFC 5227 §1.1.
    assert_eq!(count((Ipv4Addr::UNSPECIFIED, OURS)), 3);
    assert_eq!(count((OURS, OURS)), 2);
    assert_eq!(sent[1], (OURS, SERVER), "the router, at once: {sent:?}");
}

#[test]
fn when_the_link_returns_routers_are_solicited_and_ipv6_addresses_announced() {
    let mut host = Host::new(OUR_MAC, 3, 4);
    let mut now = Instant::from_secs(1_000);
    let (ipv4, ipv6) = (Ipv4Addressing::None, Ipv6Addressing::Automatic);
    host.configure(now, Configure { ipv4, ipv6, ..Configure::default() });
    let mut seconds = |host: &mut Host, count: u64| {
        let end = now + Duration::from_secs(count);
        let mut frames = Vec::new();
        while now < end {
            host.settle(now);
            frames.extend(host.frames());
            now = host.stack.next_due(now).unwrap_or(end).min(end).max(now + Duration::from_millis(1));
        }
        (frames, now)
    };
    // An ICMPv6 message of one kind.
    let count = |frames: &[Vec<u8>], kind: Icmpv6Message| {
        let is = |frame: &&Vec<u8>| Icmpv6Packet::new_unchecked(&frame[54..]).msg_type() == kind;
        frames.iter().filter(is).count()
    };
    let counts = |frames: &[Vec<u8>]| {
        let kinds =
            [Icmpv6Message::RouterSolicit, Icmpv6Message::NeighborSolicit, Icmpv6Message::NeighborAdvert];
        kinds.map(|kind| count(frames, kind))
    };
    let (frames, _) = seconds(&mut host, 30);
    assert_eq!(counts(&frames), [3, 3, 2]);
    let (frames, then) = seconds(&mut host, 30);
    assert_eq!(counts(&frames), [0, 0, 0], "all is said");
    host.stack.carrier(then, false);
    host.stack.carrier(then, true);
    host.stack.carrier(then, true);
    let (frames, _) = seconds(&mut host, 30);
    assert_eq!(counts(&frames), [3, 3, 2]);
}

#[test]
fn dhcp_with_a_wrong_checksum_counts_only_where_there_never_was_one() {
    for (checksum, taken) in [(Checksum::Unknown, false), (Checksum::Trusted, true)] {
        let mut dhcp = Dhcp::new();
        dhcp.answers = false;
        dhcp.pass(Duration::from_millis(10));
        let discover = DhcpMessageType::Discover;
        assert_eq!(dhcp.asked.last().unwrap().1, discover);
        // Asked again, this time heard.
        let frame = loop {
            dhcp.host.settle(dhcp.now);
            let frames = dhcp.host.frames();
            if let Some(frame) = frames.into_iter().next_back() {
                break frame;
            }
            dhcp.now = dhcp.host.stack.next_due(dhcp.now).unwrap().max(dhcp.now);
        };
        let asked = DhcpPacket::new_checked(&frame[42..]).unwrap();
        let answer = dhcp.answer(&DhcpRepr::parse(&asked).unwrap(), Checksum::Trusted);
        dhcp.host.stack.frame_in(dhcp.now, &answer, checksum);
        dhcp.host.settle(dhcp.now);
        let requests = dhcp.host.frames().len();
        assert_eq!(requests > 0, taken, "an offer that counts is asked for");
    }
}

fn advertisement(lifetime_s: u16, valid_s: u32, hop_limit: u8) -> Vec<u8> {
    let router: Ipv6Addr = "fe80::9".parse().unwrap();
    let group: Ipv6Addr = "ff02::1".parse().unwrap();
    let repr = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: Duration::from_secs(lifetime_s.into()),
        reachable_time: Duration::ZERO,
        retrans_time: Duration::ZERO,
        lladdr: None,
        mtu: Some(1_400),
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: Duration::from_secs(valid_s.into()),
            preferred_lifetime: Duration::from_secs(valid_s.into()),
            prefix: "2001:db8:5::".parse().unwrap(),
        }),
    });
    let mut packet = vec![0; 40 + repr.buffer_len()];
    let payload_len = repr.buffer_len();
    let next_header = IpProtocol::Icmpv6;
    let ip = Ipv6Repr { src_addr: router, dst_addr: group, next_header, payload_len, hop_limit };
    let mut out = Ipv6Packet::new_unchecked(&mut packet[..]);
    ip.emit(&mut out);
    let mut icmp = Icmpv6Packet::new_unchecked(out.payload_mut());
    repr.emit(&router, &group, &mut icmp, &ChecksumCapabilities::default());
    let mut frame = simulation::peer::ethernet(EthernetProtocol::Ipv6, &packet);
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    frame
}

fn automatic() -> (Host, Instant) {
    let mut host = Host::new(OUR_MAC, 4, 4);
    let now = Instant::from_secs(1_000);
    let stable_secret = Some([7; 32]);
    host.configure(now, Configure { ipv4: Ipv4Addressing::None, stable_secret, ..Configure::default() });
    (host, now)
}

fn hear(host: &mut Host, now: Instant, frame: &[u8]) {
    host.stack.frame_in(now, frame, Checksum::Unknown);
    host.settle(now);
}

fn global(host: &Host) -> Vec<ipnet::IpNet> {
    host.stack.addresses().usable()
}

#[test]
fn a_router_gives_a_stable_address_and_the_way_out() {
    let (mut host, now) = automatic();
    assert!(!host.frames().is_empty(), "routers are asked for");
    hear(&mut host, now, &advertisement(1_800, 86_400, 64));
    assert!(global(&host).is_empty(), "hop limit 255 only");
    hear(&mut host, now, &advertisement(1_800, 86_400, 255));
    let own = global(&host);
    assert_eq!(own.len(), 1);
    assert!(own[0].to_string().starts_with("2001:db8:5:"));
    let far: IpAddr = "2001:db8:ffff::1".parse().unwrap();
    assert_eq!(host.stack.addresses().next_hop(far), Some("fe80::9".parse().unwrap()));
    let (mut again, now) = automatic();
    hear(&mut again, now, &advertisement(1_800, 86_400, 255));
    assert_eq!(global(&again), own, "the same secret, the same address");
}

#[test]
fn a_stranger_cannot_shorten_an_address_below_two_hours() {
    let (mut host, now) = automatic();
    hear(&mut host, now, &advertisement(1_800, 86_400, 255));
    hear(&mut host, now, &advertisement(1_800, 10, 255));
    let at = |seconds: u64, host: &mut Host| {
        let then = now + Duration::from_secs(seconds);
        host.settle(then);
        global(host).len()
    };
    assert_eq!(at(7_199, &mut host), 1);
    assert_eq!(at(7_201, &mut host), 0);
    // A router that says it is none is none.
    assert!(host.stack.addresses().next_hop("2001:db8:ffff::1".parse().unwrap()).is_none());
}

#[test]
fn static_addresses_hear_no_routers() {
    let mut host = Host::new(OUR_MAC, 4, 4);
    let now = Instant::from_secs(1_000);
    let ipv6 = Ipv6Addressing::Static(vec!["2001:db8::1/64".parse().unwrap()]);
    host.configure(now, Configure { ipv4: Ipv4Addressing::None, ipv6, ..Configure::default() });
    hear(&mut host, now, &advertisement(1_800, 86_400, 255));
    assert_eq!(global(&host).len(), 1);
    assert_eq!(host.stack.counters().get("drops.nd.unwanted"), 1);
}

#[test]
fn another_station_with_our_address_is_told_once_and_reported() {
    let mut scene = Scene::new();
    let claim = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: ROUTER_MAC,
        source_protocol_addr: simulation::peer::OUR,
        target_hardware_addr: OUR_MAC,
        target_protocol_addr: simulation::peer::OUR,
    };
    scene.pass(Duration::from_secs(60));
    scene.others.clear();
    scene.frame(&arp_frame(&claim));
    let conflicts =
        |scene: &Scene| scene.host.said.iter().filter(|m| matches!(m, FromNet::Conflict { .. })).count();
    assert_eq!((scene.others.len(), conflicts(&scene)), (1, 0));
    (0..100).for_each(|_| scene.frame(&arp_frame(&claim)));
    assert_eq!((scene.others.len(), conflicts(&scene)), (1, 1));
}

#[test]
fn messages_that_cannot_be_obeyed_are_rejected_and_break_nothing() {
    let mut scene = Scene::new();
    let mut tell = |message| {
        scene.host.stack.message_in(scene.now, message);
        scene.host.settle(scene.now);
        scene.host.said.pop().unwrap()
    };
    let limits = net::control::ListenLimits::default();
    let listen = |id, port| ToNet::Listen { id: net::control::ListenerId(id), address: None, port, limits };
    let rejected = |rejection| FromNet::Rejected(rejection);
    assert_eq!(tell(listen(9, 0)), rejected(Rejection::BadPort(net::control::ListenerId(9))));
    assert_eq!(tell(listen(9, 25)), rejected(Rejection::ListenerInUse(net::control::ListenerId(9))));
    let unlisten = ToNet::Unlisten { id: net::control::ListenerId(77) };
    assert_eq!(tell(unlisten), rejected(Rejection::UnknownListener(net::control::ListenerId(77))));
    for to in [
        "0.0.0.0:25",
        "127.0.0.1:25",
        "255.255.255.255:25",
        "192.0.2.255:25",
        "192.0.2.10:25",
        "198.51.100.7:0",
    ] {
        let to = to.parse().unwrap();
        let failed = FromNet::Failed { id: RequestId(1), reason: net::control::FailReason::BadAddress };
        assert_eq!(tell(ToNet::Connect { id: RequestId(1), to, from: None, deadline_ms: 1_000 }), failed);
        assert_eq!(tell(ToNet::Udp { id: RequestId(1), to }), failed);
    }
    let to = "[2001:db8::1]:25".parse().unwrap();
    let failed = FromNet::Failed { id: RequestId(1), reason: net::control::FailReason::NoRoute };
    assert_eq!(tell(ToNet::Connect { id: RequestId(1), to, from: None, deadline_ms: 1_000 }), failed);
    assert!(matches!(
        tell(ToNet::Hello { version: 999 }),
        FromNet::Rejected(Rejection::Version { got: 999 })
    ));
}

#[test]
fn one_address_may_have_fifty_connections() {
    let mut scene = Scene::new();
    for port in 0..50 {
        scene.handshake(40_000 + port);
    }
    scene.take();
    scene.say(Say { port: 50_000, control: TcpControl::Syn, seq: 1, ..SAY });
    let isn = scene.take().pop().unwrap().seq;
    scene.say(Say { port: 50_000, seq: 2, ack: Some(isn.wrapping_add(1)), ..SAY });
    assert_eq!(scene.take().pop().unwrap().control, TcpControl::Rst);
    assert_eq!(scene.host.stack.counters().get("refused.per_address"), 1);
    assert_eq!(scene.host.pipes.len(), 50);
}
