//! Two stacks on a bad link, in virtual time: what arrives is what was sent, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "tests")]

mod simulation;

use net::control::{
    Class, Configure, Deadlines, EndReason, FlowId, FromNet, Ipv4Addressing, Ipv6Addressing, Limits,
    RequestId, ToNet,
};
use net::secret::Random;
use simulation::link::{Manners, PERFECT, Pair};
use simulation::{Host, OUR_MAC};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::EthernetAddress;

/// Not zero, as no machine's clock is.
const START: Instant = Instant::from_micros_const(1_000_000_000);
const MACS: [EthernetAddress; 2] = [OUR_MAC, EthernetAddress([2, 0, 0, 0, 0, 2])];

fn host(n: usize, v6: bool, seed: u8) -> Host {
    let mut host = Host::new(MACS[n], seed, 64);
    let mut configure = Configure { limits: generous(), ..Configure::default() };
    if v6 {
        configure.ipv4 = Ipv4Addressing::None;
        configure.ipv6 = Ipv6Addressing::Static(vec![format!("2001:db8::{}/64", n + 1).parse().unwrap()]);
    } else {
        configure.ipv4 = Ipv4Addressing::Static(vec![format!("192.0.2.{}/24", n + 1).parse().unwrap()]);
        configure.ipv6 = Ipv6Addressing::None;
    }
    host.configure(START, configure);
    host.listen(START, 25);
    host
}

fn generous() -> Limits {
    Limits {
        connections_per_address: 1_000,
        connections_per_network: 1_000,
        new_per_minute: 60_000,
        ..Limits::default()
    }
}

fn pair(v6: bool, manners: Manners, seed: u8) -> Pair {
    Pair::new([host(0, v6, seed), host(1, v6, seed.wrapping_add(100))], START, manners, seed)
}

/// Host 1 connects to host 0. Returns the flows' ids, if it came about.
fn connect(pair: &mut Pair, v6: bool) -> Option<(FlowId, FlowId)> {
    let to = if v6 { "[2001:db8::1]:25" } else { "192.0.2.1:25" }.parse().unwrap();
    let ask = ToNet::Connect { id: RequestId(1), to, from: None, deadline_ms: 30_000 };
    pair.hosts[1].stack.message_in(pair.now, ask);
    pair.hosts[1].settle(pair.now);
    let end = pair.now + Duration::from_secs(40);
    loop {
        let accepted = pair.hosts[0].pipes.keys().next().copied();
        let connected = pair.hosts[1].pipes.keys().next().copied();
        if let (Some(accepted), Some(connected)) = (accepted, connected) {
            return Some((accepted, connected));
        }
        if !pair.step(end) {
            return None;
        }
    }
}

/// Both sides send `len` bytes and close; the gateways read a little at a time. Returns what each received,
/// and whether both connections ended cleanly.
fn exchange(
    pair: &mut Pair,
    flows: (FlowId, FlowId),
    len: usize,
    class: Class,
    random: &mut Random,
) -> [Vec<u8>; 2] {
    let flows = [flows.0, flows.1];
    let mut got = [Vec::new(), Vec::new()];
    for (n, flow) in flows.into_iter().enumerate() {
        let host = &mut pair.hosts[n];
        host.stack.message_in(pair.now, ToNet::Class { flow, class });
        let mut pipe = host.pipes[&flow].0.borrow_mut();
        pipe.to_send.extend((0..len).map(|at| pattern(n, at)));
        pipe.shut = true;
    }
    let (now, end) = (pair.now, pair.now + Duration::from_secs(1_800));
    pair.hosts.iter_mut().for_each(|host| host.touched(now));
    while pair.step(end) {
        for (n, flow) in flows.into_iter().enumerate() {
            let host = &mut pair.hosts[n];
            let taken: Vec<u8> = {
                let mut pipe = host.pipes[&flow].0.borrow_mut();
                let most = pipe.received.len().min(random.below(40_000) as usize);
                pipe.received.drain(..most).collect()
            };
            if !taken.is_empty() {
                got[n].extend(taken);
                host.stack.ready(flow, false, true);
                host.settle(pair.now);
            }
        }
        let over = |host: &Host| {
            host.ended().len() == 1 && host.pipes.values().all(|p| p.0.borrow().received.is_empty())
        };
        if pair.hosts.iter().all(over) {
            break;
        }
    }
    for (n, flow) in flows.into_iter().enumerate() {
        got[n].extend(pair.hosts[n].pipes[&flow].0.borrow_mut().received.drain(..));
    }
    got
}

fn pattern(n: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ at >> 8 ^ n) as u8
}

fn is_prefix(got: &[u8], n: usize, len: usize) -> bool {
    got.len() <= len && got.iter().enumerate().all(|(at, byte)| *byte == pattern(n, at))
}

/// Lets every timer run out, and looks for what is left.
fn nothing_is_left(pair: &mut Pair) {
    let end = pair.now + Duration::from_secs(400);
    while pair.step(end) {}
    for host in &mut pair.hosts {
        host.stack.message_in(pair.now, ToNet::Stats);
        assert!(host.stack.is_empty(), "tables are empty: {:?}", host.stack.counters());
    }
}

fn run(v6: bool, manners: Manners, seed: u8, len: usize, class: Class) -> bool {
    let mut pair = pair(v6, manners, seed);
    let mut random = Random::new([seed; 32]);
    let Some(flows) = connect(&mut pair, v6) else {
        nothing_is_left(&mut pair);
        return false;
    };
    let got = exchange(&mut pair, flows, len, class, &mut random);
    assert!(
        is_prefix(&got[0], 1, len) && is_prefix(&got[1], 0, len),
        "seed {seed}: a prefix of what was sent"
    );
    let clean = pair.hosts.iter().all(|host| host.ended() == [EndReason::Closed]);
    if clean {
        assert_eq!([got[0].len(), got[1].len()], [len, len], "seed {seed}: a clean end means all of it");
    }
    nothing_is_left(&mut pair);
    clean
}

#[test]
fn a_perfect_link_carries_everything() {
    for v6 in [false, true] {
        for (seed, class) in [(1, Class::Interactive), (2, Class::Bulk)] {
            assert!(run(v6, PERFECT, seed, 1_000_000, class));
        }
    }
}

#[test]
fn a_bad_link_carries_everything_or_says_so() {
    let manners = Manners {
        lost: 30,
        repeated: 20,
        damaged: 20,
        truncated: 5,
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(30),
    };
    let mut clean = 0;
    for seed in 0..30 {
        clean += u32::from(run(seed % 2 == 1, manners, seed, 60_000, Class::Bulk));
    }
    assert!(clean >= 28, "{clean} of 30 ended cleanly");
}

#[test]
fn a_terrible_link_breaks_nothing_but_connections() {
    for seed in 0..20 {
        let manners = Manners {
            lost: 250,
            repeated: 100,
            damaged: 100,
            truncated: 50,
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(400),
        };
        run(seed % 2 == 1, manners, seed, 20_000, Class::Interactive);
    }
}

#[test]
fn both_sides_and_both_families_begin_with_ten_segments() {
    for (v6, headers, ten) in [(false, 54, 14_600), (true, 74, 14_400)] {
        let mut pair = pair(v6, PERFECT, 11);
        let (accepted, connected) = connect(&mut pair, v6).unwrap();
        for (host, flow) in pair.hosts.iter_mut().zip([accepted, connected]) {
            host.frames();
            host.pipes[&flow].0.borrow_mut().to_send.extend([b'y'; 30_000]);
            host.touched(pair.now);
            let first: usize = host.frames().iter().map(|frame| frame.len() - headers).sum();
            assert_eq!(first, ten, "RFC 6928 §2");
        }
    }
}

#[test]
fn a_cut_link_ends_within_the_deadline() {
    let mut pair = pair(false, PERFECT, 5);
    let (accepted, _) = connect(&mut pair, false).unwrap();
    pair.manners.lost = 1_000;
    pair.hosts[0].pipes[&accepted].0.borrow_mut().to_send.extend([0; 100]);
    pair.hosts[0].touched(pair.now);
    let cut = pair.now;
    while pair.hosts[0].ended().is_empty() && pair.step(cut + Duration::from_secs(1_000)) {}
    let limit = Duration::from_secs(u64::from(Deadlines::default().unacknowledged));
    assert!(pair.now >= cut + limit && pair.now <= cut + limit + Duration::from_secs(1));
    assert!(matches!(pair.hosts[0].ended()[..], [EndReason::TimedOut(_)]));
}

#[test]
fn an_idle_connection_of_ours_asks_whether_the_peer_is_alive() {
    let mut pair = pair(false, PERFECT, 6);
    connect(&mut pair, false).unwrap();
    let end = pair.now + Duration::from_secs(5_000);
    while pair.step(end) {}
    assert!(pair.hosts[1].ended().is_empty(), "the peer answers");
    pair.manners.lost = 1_000;
    let end = pair.now + Duration::from_secs(5_000);
    while pair.step(end) {}
    assert!(matches!(pair.hosts[1].ended()[..], [EndReason::TimedOut(net::control::TcpPhase::KeepAlive)]));
}

#[test]
fn nobody_at_the_next_hop_fails_in_three_seconds() {
    let mut pair = pair(false, PERFECT, 7);
    let to = "192.0.2.99:25".parse().unwrap();
    let ask = ToNet::Connect { id: RequestId(9), to, from: None, deadline_ms: 30_000 };
    pair.hosts[1].stack.message_in(pair.now, ask);
    pair.hosts[1].settle(pair.now);
    let end = pair.now + Duration::from_secs(4);
    while pair.step(end) {}
    let reason = net::control::FailReason::NoNeighbour;
    assert_eq!(pair.hosts[1].said.last(), Some(&FromNet::Failed { id: RequestId(9), reason }));
}

#[test]
fn a_gateway_that_does_not_read_stops_the_sender_and_not_the_memory() {
    let mut pair = pair(false, PERFECT, 8);
    let (accepted, connected) = connect(&mut pair, false).unwrap();
    pair.hosts[1].pipes[&connected].0.borrow_mut().to_send.extend(vec![7; 2_000_000]);
    pair.hosts[1].touched(pair.now);
    let end = pair.now + Duration::from_secs(60);
    while pair.step(end) {}
    let waiting = pair.hosts[0].pipes[&accepted].0.borrow().received.len();
    assert_eq!(waiting, 64 * 1024);
    let left = pair.hosts[1].pipes[&connected].0.borrow().to_send.len();
    // What is neither here nor there lies in the two rings: at most 16 kB and 64 kB.
    assert!(2_000_000 - left - waiting <= 80 * 1024 + 8);
    // The gateway reads again: everything flows.
    let mut got = 0;
    let end = pair.now + Duration::from_secs(300);
    loop {
        got += pair.hosts[0].pipes[&accepted].0.borrow_mut().received.drain(..).count();
        pair.hosts[0].touched(pair.now);
        if got == 2_000_000 || !pair.step(end) {
            break;
        }
    }
    assert_eq!(got, 2_000_000);
}

/// A gateway that echoes and holds little: when the sender does not read, everything fills up to the last byte,
/// both ways, and must come loose again when it reads.
fn echo_with_everything_full(manners: Manners, seed: u8) {
    const LEN: usize = 1_500_000;
    let mut pair = pair(seed % 2 == 1, manners, seed);
    let (accepted, connected) = connect(&mut pair, seed % 2 == 1).unwrap();
    for (n, flow) in [accepted, connected].into_iter().enumerate() {
        pair.hosts[n].stack.message_in(pair.now, ToNet::Class { flow, class: Class::Bulk });
    }
    let echo = pair.hosts[0].pipes[&accepted].0.clone();
    let client = pair.hosts[1].pipes[&connected].0.clone();
    client.borrow_mut().to_send.extend((0..LEN).map(|at| pattern(0, at)));
    pair.hosts[1].touched(pair.now);
    let (start, mut got) = (pair.now, Vec::new());
    let end = start + Duration::from_secs(600);
    while got.len() < LEN && pair.step(end) {
        {
            let mut echo = echo.borrow_mut();
            let most = echo.received.len().min(65_536_usize.saturating_sub(echo.to_send.len()));
            let bytes: Vec<u8> = echo.received.drain(..most).collect();
            echo.to_send.extend(bytes);
        }
        // At first it only sends.
        if pair.now > start + Duration::from_secs(20) {
            got.extend(client.borrow_mut().received.drain(..));
        }
        pair.hosts.iter_mut().for_each(|host| host.touched(pair.now));
    }
    assert!(got.len() == LEN && is_prefix(&got, 0, LEN), "seed {seed}: {} bytes came back", got.len());
}

#[test]
fn an_echo_with_everything_full_never_locks() {
    let jittery = Manners { lost: 5, jitter: Duration::from_millis(3), ..PERFECT };
    (0..4).for_each(|seed| echo_with_everything_full(PERFECT, seed));
    (4..8).for_each(|seed| echo_with_everything_full(jittery, seed));
}

#[test]
fn a_gateway_that_closes_with_bytes_unread_resets_the_peer() {
    let mut pair = pair(false, PERFECT, 9);
    let (accepted, connected) = connect(&mut pair, false).unwrap();
    pair.hosts[1].pipes[&connected].0.borrow_mut().to_send.extend([7; 100]);
    pair.hosts[1].touched(pair.now);
    let end = pair.now + Duration::from_secs(1);
    while pair.step(end) {}
    pair.hosts[0].pipes[&accepted].0.borrow_mut().aborted = true;
    pair.hosts[0].touched(pair.now);
    let end = pair.now + Duration::from_secs(1);
    while pair.step(end) {}
    assert_eq!(pair.hosts[0].ended(), [EndReason::LocalReset]);
    assert_eq!(pair.hosts[1].ended(), [EndReason::PeerReset]);
    nothing_is_left(&mut pair);
}

#[test]
fn a_lost_address_ends_its_flows() {
    let mut pair = pair(false, PERFECT, 10);
    connect(&mut pair, false).unwrap();
    let ipv4 = Ipv4Addressing::Static(vec!["192.0.2.77/24".parse().unwrap()]);
    let configure = Configure { ipv4, ipv6: Ipv6Addressing::None, ..Configure::default() };
    let now = pair.now;
    pair.hosts[0].configure(now, configure);
    assert_eq!(pair.hosts[0].ended(), [EndReason::AddressLost]);
}
