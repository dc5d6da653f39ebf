//! An hour of a busy day in virtual time, at a fiftieth of full size: 200 idle connections and 20 new ones a
//! second, which end in every way there is. Memory and tables stay as they were.

#![allow(clippy::unwrap_used, reason = "tests")]

mod simulation;

use net::control::{Deadlines, FlowId, FromNet, Limits, ToNet};
use simulation::peer::{PEER_ISN, SAY, Say, Scene};
use smoltcp::time::Duration;
use smoltcp::wire::TcpControl;
use std::net::Ipv4Addr;

const IDLE: u32 = 200;
const A_SECOND: u32 = 20;
const MINUTES: u32 = 60;
/// Nobody is idle for ever but the idle: data of ours that is not acknowledged ends a connection after this.
const UNACKNOWLEDGED: u32 = 20;
/// A fifth of the visitors vanish with an answer unread.
const OPEN_MAX: u64 = (IDLE + A_SECOND / 5 * (UNACKNOWLEDGED + 2)) as u64;
/// A fifth of them never finish the handshake, for fifteen seconds.
const HALF_OPEN_MAX: u64 = (A_SECOND / 5 * 17) as u64;
/// A fifth of them are closed by us first, and remembered for a minute.
const TIME_WAIT_MAX: u64 = (A_SECOND / 5 * 62) as u64;
/// Pages that the allocator may hold more of at the end than after the first minutes.
const GROWTH_MAX: u64 = 4 << 20;

/// What a visitor does, by its number.
const WAYS: u32 = 5;

fn peer(got: i32) -> i32 {
    PEER_ISN.wrapping_add(1).wrapping_add(got)
}

/// A connection of the n-th client, and our number; `None`: it goes no further than its SYN.
fn open(scene: &mut Scene, n: u32, whole: bool) -> Option<(Say<'static>, FlowId, i32)> {
    let source = Ipv4Addr::from(0x0b00_0000 + n % 50_000 * 11);
    let say = Say { source, port: 1_024 + (n % 60_000) as u16, window: 15_000, ..SAY };
    scene.say(Say { control: TcpControl::Syn, seq: PEER_ISN, mss: Some(1_460), ..say });
    let isn = scene.take().pop().unwrap().seq.wrapping_add(1);
    if !whole {
        return None;
    }
    let hello = Say { control: TcpControl::Psh, seq: peer(0), ack: Some(isn), payload: b"EHLO\r\n", ..say };
    scene.say(hello);
    let accepted = |message: &FromNet| match message {
        FromNet::Accepted { flow, .. } => Some(*flow),
        _ => None,
    };
    let flow = scene.host.said.iter().rev().find_map(accepted).unwrap();
    Some((say, flow, isn))
}

fn visit(scene: &mut Scene, n: u32) {
    let Some((say, flow, isn)) = open(scene, n, !n.is_multiple_of(WAYS)) else { return };
    let pipe = scene.host.pipes.remove(&flow).unwrap().0;
    let touch = |scene: &mut Scene| {
        scene.host.stack.ready(flow, true, true);
        scene.pass(Duration::ZERO);
    };
    let mut after = |control, ack: i32| {
        scene.say(Say { control, seq: peer(6), ack: Some(isn.wrapping_add(ack)), ..say });
    };
    match n % WAYS {
        1 => after(TcpControl::Rst, 0),
        2 => {
            after(TcpControl::Fin, 0);
            pipe.borrow_mut().shut = true;
            touch(scene);
            scene.say(Say { seq: peer(7), ack: Some(isn.wrapping_add(1)), ..say });
        }
        3 => {
            pipe.borrow_mut().shut = true;
            touch(scene);
            scene.say(Say { control: TcpControl::Fin, seq: peer(6), ack: Some(isn.wrapping_add(1)), ..say });
        }
        _ => {
            pipe.borrow_mut().to_send.extend(b"250 a.example\r\n");
            touch(scene);
        }
    }
    scene.host.said.clear();
    scene.take();
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[test]
fn an_hour_leaves_nothing_behind() {
    let deadlines = Deadlines { unacknowledged: UNACKNOWLEDGED, ..Deadlines::default() };
    let mut scene = Scene::sized(deadlines, Limits::default(), 2_048);
    let mut idle = Vec::new();
    for n in 0..IDLE {
        let (_, flow, _) = open(&mut scene, 200_000 + n * WAYS + 1, true).unwrap();
        idle.push(scene.host.pipes.remove(&flow).unwrap());
    }
    let mut settled = 0;
    for minute in 1..=MINUTES {
        for n in 0..60 * A_SECOND {
            visit(&mut scene, minute * 60 * A_SECOND + n);
            scene.pass(Duration::from_micros(1_000_000 / u64::from(A_SECOND)));
        }
        scene.host.stack.message_in(scene.now, ToNet::Stats);
        scene.host.settle(scene.now);
        let counters = scene.host.stack.counters();
        assert!(counters.get("tcp.flows") <= OPEN_MAX, "minute {minute}: {counters:?}");
        assert!(counters.get("tcp.half_open") <= HALF_OPEN_MAX, "minute {minute}: {counters:?}");
        assert!(counters.get("tcp.time_wait") <= TIME_WAIT_MAX, "minute {minute}: {counters:?}");
        match minute {
            5 => settled = resident(),
            6.. => assert!(resident() <= settled + GROWTH_MAX, "minute {minute}: {settled} {}", resident()),
            _ => {}
        }
    }
    let accepted = u64::from(IDLE + MINUTES * 60 * A_SECOND / WAYS * (WAYS - 1));
    assert_eq!(scene.host.stack.counters().get("tcp.accepted"), accepted);
    scene.pass(Duration::from_secs(90));
    assert_eq!(scene.host.stack.open(), IDLE as usize, "the idle ones are untouched");
    idle.iter().for_each(|pipe| assert_eq!(pipe.0.borrow().received.len(), 6));
}
