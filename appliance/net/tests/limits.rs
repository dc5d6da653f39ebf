//! Each limit and deadline of the configuration, as a peer meets it: at, below and above.

#![allow(clippy::unwrap_used, reason = "tests")]

mod simulation;

use net::control::{Class, Deadlines, EndReason, FailReason, FromNet, Limits, RequestId, TcpPhase, ToNet};
use net::tcp::budget::{ALWAYS, MOST};
use simulation::peer::{PEER, PEER_ISN, SAY, Say, Scene};
use smoltcp::time::Duration;
use smoltcp::wire::TcpControl;
use std::net::Ipv4Addr;

/// None of them is a default.
const DEADLINES: Deadlines = Deadlines {
    syn_sent: 7,
    unacknowledged: 40,
    zero_window: 50,
    zero_window_bulk: 90,
    fin_wait_1: 13,
    fin_wait_2: 17,
    last_ack: 23,
    keep_alive: 70,
};

fn peer(got: i32) -> i32 {
    PEER_ISN.wrapping_add(1).wrapping_add(got)
}

/// A connection under [`DEADLINES`], and our number.
fn open() -> (Scene, i32) {
    let mut scene = Scene::with(DEADLINES, Limits::default());
    let isn = scene.handshake(40_000);
    scene.take();
    (scene, isn)
}

/// It lives a second before its deadline, and has ended for this reason a second after.
fn ends_after(mut scene: Scene, seconds: u32, phase: TcpPhase) {
    scene.pass(Duration::from_secs(u64::from(seconds - 1)));
    assert_eq!(scene.host.ended(), [], "{phase:?}: not before its time");
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.host.ended(), [EndReason::TimedOut(phase)]);
}

#[test]
fn unacknowledged_data() {
    let (mut scene, _) = open();
    scene.write(b"never acknowledged");
    ends_after(scene, DEADLINES.unacknowledged, TcpPhase::Unacknowledged);
}

#[test]
fn a_window_that_stays_shut() {
    for (class, seconds) in
        [(Class::Interactive, DEADLINES.zero_window), (Class::Bulk, DEADLINES.zero_window_bulk)]
    {
        let (mut scene, isn) = open();
        scene.host.stack.message_in(scene.now, ToNet::Class { flow: scene.host.flow(), class });
        scene.say(Say { seq: peer(0), ack: Some(isn), window: 0, ..SAY });
        scene.write(b"no room for it");
        ends_after(scene, seconds, TcpPhase::ZeroWindow);
    }
}

#[test]
fn our_end_unacknowledged() {
    let (mut scene, _) = open();
    scene.shut();
    ends_after(scene, DEADLINES.fin_wait_1, TcpPhase::FinWait1);
}

#[test]
fn our_end_acknowledged_and_the_peers_never_coming() {
    let (mut scene, isn) = open();
    scene.shut();
    scene.say(Say { seq: peer(0), ack: Some(isn.wrapping_add(1)), ..SAY });
    ends_after(scene, DEADLINES.fin_wait_2, TcpPhase::FinWait2);
}

#[test]
fn both_ends_and_ours_unacknowledged() {
    let (mut scene, isn) = open();
    scene.say(Say { control: TcpControl::Fin, seq: peer(0), ack: Some(isn), ..SAY });
    scene.shut();
    ends_after(scene, DEADLINES.last_ack, TcpPhase::LastAck);
}

fn ask(scene: &mut Scene) -> simulation::peer::Sent {
    let ask =
        ToNet::Connect { id: RequestId(1), to: (PEER, 40_000).into(), from: None, deadline_ms: 600_000 };
    scene.host.stack.message_in(scene.now, ask);
    scene.host.settle(scene.now);
    scene.pass(Duration::ZERO);
    scene.take().pop().unwrap()
}

#[test]
fn a_connection_of_ours_that_nobody_answers() {
    let mut scene = Scene::with(DEADLINES, Limits::default());
    ask(&mut scene);
    let failed = |scene: &Scene| {
        scene.host.said.contains(&FromNet::Failed { id: RequestId(1), reason: FailReason::TimedOut })
    };
    scene.pass(Duration::from_secs(u64::from(DEADLINES.syn_sent - 1)));
    assert!(!failed(&scene));
    scene.pass(Duration::from_secs(2));
    assert!(failed(&scene));
}

#[test]
fn a_silent_peer_of_ours_is_asked() {
    let mut scene = Scene::with(DEADLINES, Limits::default());
    let syn = ask(&mut scene);
    let answer = Say {
        port: 40_000,
        control: TcpControl::Syn,
        seq: PEER_ISN,
        ack: Some(syn.seq.wrapping_add(1)),
        mss: Some(1_460),
        ..SAY
    };
    scene.frame(&simulation::peer::frame_to(syn.ports.0, &answer));
    scene.take();
    scene.pass(Duration::from_secs(u64::from(DEADLINES.keep_alive - 1)));
    assert_eq!(scene.take(), []);
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.take().len(), 1);
}

/// The handshake of a client; whether it was let in.
fn client(scene: &mut Scene, source: Ipv4Addr, port: u16) -> bool {
    let syn = Say { source, port, control: TcpControl::Syn, seq: PEER_ISN, mss: Some(1_460), ..SAY };
    scene.say(syn);
    let isn = scene.take().pop().unwrap().seq.wrapping_add(1);
    let before = scene.host.pipes.len();
    scene.say(Say { source, port, seq: peer(0), ack: Some(isn), ..SAY });
    let answer = scene.take();
    let accepted = scene.host.pipes.len() > before;
    assert_eq!(accepted, !answer.iter().any(|segment| segment.control == TcpControl::Rst));
    accepted
}

fn limited() -> Limits {
    Limits {
        connections: 200,
        connections_per_address: 100,
        connections_per_network: 150,
        new_per_minute: 1_000,
        reserved_percent: 0,
        ..Limits::default()
    }
}

/// How many of `clients` get in.
fn admitted(limits: Limits, clients: impl Iterator<Item = (Ipv4Addr, u16)>) -> usize {
    let mut scene = Scene::with(Deadlines::default(), limits);
    clients.filter(|(source, port)| client(&mut scene, *source, *port)).count()
}

/// The n-th of ten clients in each of many networks.
fn from_everywhere(n: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::from(0x0b00_0001 + (n / 10) * 256 + n % 10), 1_000)
}

#[test]
fn connections_in_all() {
    for (clients, wanted) in [(199, 199), (200, 200), (203, 200)] {
        assert_eq!(admitted(limited(), (0..clients).map(from_everywhere)), wanted);
    }
}

#[test]
fn connections_from_one_address() {
    for (clients, wanted) in [(99, 99), (100, 100), (103, 100)] {
        assert_eq!(admitted(limited(), (0..clients).map(|n| (PEER, 1_000 + n))), wanted);
    }
}

#[test]
fn connections_from_one_network() {
    let from_one = |n: u32| (Ipv4Addr::from(0x0b00_0000 + n % 200 + 1), 1_000);
    for (clients, wanted) in [(149, 149), (150, 150), (153, 150)] {
        assert_eq!(admitted(limited(), (0..clients).map(from_one)), wanted);
    }
}

#[test]
fn new_connections_within_a_minute() {
    let limits = Limits { new_per_minute: 20, ..limited() };
    for (clients, wanted) in [(19, 19), (20, 20), (23, 20)] {
        assert_eq!(admitted(limits.clone(), (0..clients).map(|n| (PEER, 1_000 + n))), wanted);
    }
}

#[test]
fn what_is_reserved_is_left_for_known_networks_and_for_us() {
    let known_networks = vec!["203.0.113.0/24".parse().unwrap()];
    let limits = Limits { reserved_percent: 5, known_networks, ..limited() };
    for (clients, wanted) in [(189, 189), (190, 190), (193, 190)] {
        let mut scene = Scene::with(Deadlines::default(), limits.clone());
        let strangers = (0..clients).map(from_everywhere);
        assert_eq!(strangers.filter(|(source, port)| client(&mut scene, *source, *port)).count(), wanted);
        assert!(client(&mut scene, [203, 0, 113, 9].into(), 1_000), "a known network's");
        assert_eq!(ask(&mut scene).control, TcpControl::Syn, "one of ours");
    }
}

/// The window that a new connection in DATA is offered.
fn offered(scene: &mut Scene, port: u16) -> usize {
    let isn = scene.handshake(port);
    scene.take();
    let flow = scene.host.pipes.keys().max().copied().unwrap();
    scene.host.stack.message_in(scene.now, ToNet::Class { flow, class: Class::Bulk });
    scene.host.settle(scene.now);
    scene.say(Say { port, seq: peer(0), ack: Some(isn), payload: &[b'x'; 1_000], ..SAY });
    scene.pass(Duration::from_millis(20));
    let sent = scene.take();
    sent.iter().filter(|s| s.ports.1 == port).map(|s| usize::from(s.window) << 3).max().unwrap()
}

#[test]
fn memory_for_buffers() {
    let one = (MOST - ALWAYS) as u64;
    for (memory, large) in [(one - 1, 0), (one, 1), (one + 1, 1), (2 * one - 1, 1), (2 * one, 2)] {
        let limits = Limits { buffer_memory: Some(memory), ..Limits::default() };
        let mut scene = Scene::with(Deadlines::default(), limits);
        let windows: Vec<usize> = (0..3).map(|n| offered(&mut scene, 41_000 + n)).collect();
        assert_eq!(windows.iter().filter(|window| **window > ALWAYS).count(), large, "{memory}: {windows:?}");
        assert!(windows.iter().all(|window| *window >= ALWAYS - 1_000 && *window <= MOST));
    }
}
