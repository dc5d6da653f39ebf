//! The whole role against the host's own TCP, over a device in a network namespace that each test makes.
//!
//! Needs root, `unshare` and `ip`; says so and passes where they are missing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use host::{
    CARDS, HOST, HOST_V6, MAC, PATIENCE, Role, TAP, blocking, inside, ours, pattern, readable, round_trip,
};
use net::control::{FromNet, RequestId, ToNet};
use net::secret::Random;
use net::{Device, RunError};
use rustix::event::{PollFd, PollFlags};
use sys::channel;

#[test]
fn the_host_connects_to_us() {
    if !inside("the_host_connects_to_us", TAP) {
        return;
    }
    let mut role = Role::start(sys::tap::open("t0").unwrap());
    role.serve(|| {
        for to in ours(7) {
            round_trip(to, 10_000_000, 1);
            (0..100).for_each(|n| round_trip(to, 100, n));
            let many: Vec<_> =
                (0..50).map(|n| std::thread::spawn(move || round_trip(to, 100_000, n))).collect();
            many.into_iter().for_each(|one| one.join().unwrap());
        }
        let refused = TcpStream::connect(ours(8)[0]).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
    role.stop();
}

/// The host fills in no checksum for what does not leave it, and sends up to 64 kB as one frame.
#[test]
fn a_network_card_carries_everything() {
    if !inside("a_network_card_carries_everything", CARDS) {
        return;
    }
    let socket = UdpSocket::bind((HOST, 0)).unwrap();
    let index = rustix::net::netdevice::name_to_index(&socket, "t1").unwrap();
    let frames = sys::packet::open(index).unwrap();
    let mut role = Role::on(Device::packet(frames, "t1", MAC, 1_500).unwrap());
    role.serve(|| {
        for to in ours(7) {
            round_trip(to, 10_000_000, 1);
            (0..100).for_each(|n| round_trip(to, 100, n));
            let many: Vec<_> =
                (0..50).map(|n| std::thread::spawn(move || round_trip(to, 100_000, n))).collect();
            many.into_iter().for_each(|one| one.join().unwrap());
        }
    });
    role.stop();
}

#[test]
fn a_cable_that_is_pulled_and_put_back_is_told() {
    if !inside("a_cable_that_is_pulled_and_put_back_is_told", CARDS) {
        return;
    }
    let socket = UdpSocket::bind((HOST, 0)).unwrap();
    let index = rustix::net::netdevice::name_to_index(&socket, "t1").unwrap();
    let frames = sys::packet::open(index).unwrap();
    let mut role = Role::on(Device::packet(frames, "t1", MAC, 1_500).unwrap());
    for (state, up) in [("down", false), ("up", true)] {
        let words = ["link", "set", "t0", state];
        assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
        role.until(|message| *message == FromNet::Link { up });
    }
    role.serve(|| round_trip(ours(7)[0], 100_000, 1));
    role.stop();
}

#[test]
fn we_connect_to_the_host() {
    if !inside("we_connect_to_the_host", TAP) {
        return;
    }
    let mut role = Role::start(sys::tap::open("t0").unwrap());
    for (n, address) in [HOST.parse().unwrap(), HOST_V6.parse().unwrap()].into_iter().enumerate() {
        let listener = TcpListener::bind(SocketAddr::new(address, 0)).unwrap();
        let id = RequestId(n as u32);
        let to = listener.local_addr().unwrap();
        role.tell(&ToNet::Connect { id, to, from: None, deadline_ms: 10_000 });
        let (_, fd) = role.until(|message| matches!(message, FromNet::Connected { id: it, .. } if *it == id));
        let host = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            stream.write_all(&got).unwrap();
        });
        let mut stream = blocking(fd.unwrap());
        let sent = pattern(3_000_000, 9);
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == sent);
        host.join().unwrap();
        role.until(|message| {
            matches!(message, FromNet::Ended { reason: net::control::EndReason::Closed, .. })
        });
    }
    let closed = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap();
    role.tell(&ToNet::Connect { id: RequestId(9), to: closed, from: None, deadline_ms: 10_000 });
    let refused = net::control::FailReason::Refused;
    role.until(|message| *message == FromNet::Failed { id: RequestId(9), reason: refused });
    role.stop();
}

#[test]
fn datagrams_pass_both_ways() {
    if !inside("datagrams_pass_both_ways", TAP) {
        return;
    }
    let mut role = Role::start(sys::tap::open("t0").unwrap());
    let host = UdpSocket::bind((HOST, 0)).unwrap();
    host.set_read_timeout(Some(PATIENCE)).unwrap();
    role.tell(&ToNet::Udp { id: RequestId(1), to: host.local_addr().unwrap() });
    let (_, fd) = role.until(|message| matches!(message, FromNet::UdpOpen { .. }));
    let ours = fd.unwrap();
    for len in [1, 512, 1_400] {
        let sent = pattern(len, 3);
        rustix::net::send(&ours, &sent, rustix::net::SendFlags::NOSIGNAL).unwrap();
        let mut room = [0; 2_000];
        let (count, from) = host.recv_from(&mut room).unwrap();
        assert!(room[..count] == sent);
        host.send_to(&room[..count], from).unwrap();
        assert!(readable(&ours, Instant::now() + PATIENCE));
        let (count, _) = rustix::net::recv(&ours, &mut room, rustix::net::RecvFlags::empty()).unwrap();
        assert!(room[..count] == sent);
    }
    // Nobody there: the host says so, and the flow ends.
    let gone = UdpSocket::bind((HOST, 0)).unwrap().local_addr().unwrap();
    role.tell(&ToNet::Udp { id: RequestId(2), to: gone });
    let (_, fd) = role.until(|message| matches!(message, FromNet::UdpOpen { id: RequestId(2), .. }));
    // Held open: closing it would end the flow before the host can.
    let unanswered = fd.unwrap();
    rustix::net::send(&unanswered, b"?", rustix::net::SendFlags::NOSIGNAL).unwrap();
    role.until(|message| {
        let unreachable = net::control::EndReason::Unreachable { kind: 3, code: 3 };
        matches!(message, FromNet::Ended { reason, .. } if *reason == unreachable)
    });
    role.stop();
}

#[test]
fn a_gateway_that_dies_resets_its_connections() {
    if !inside("a_gateway_that_dies_resets_its_connections", TAP) {
        return;
    }
    let mut role = Role::start(sys::tap::open("t0").unwrap());
    let mut stream = role.serve(|| {
        let mut stream = TcpStream::connect(ours(7)[0]).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    });
    let Role { control, net, init, .. } = role;
    drop(control);
    assert!(matches!(net.join().unwrap(), Err(RunError::GatewayGone)));
    drop(init);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_bad_link_to_the_host_carries_everything() {
    if !inside("a_bad_link_to_the_host_carries_everything", TAP) {
        return;
    }
    let (near, far) = channel::pair().unwrap();
    let tap = sys::tap::open("t0").unwrap();
    std::thread::spawn(move || bad_link(&tap, &far));
    let mut role = Role::start(near);
    role.serve(|| {
        for to in ours(7) {
            let many: Vec<_> =
                (0..10).map(|n| std::thread::spawn(move || round_trip(to, 100_000, n))).collect();
            many.into_iter().for_each(|one| one.join().unwrap());
        }
    });
    role.stop();
}

/// A frame in flight; the heap gives the earliest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying(std::cmp::Reverse<Instant>, bool, Vec<u8>);

/// Loses 2 %, repeats 1 %, delays by 2 to 10 ms, so that frames overtake each other. Ends with either side.
fn bad_link(tap: &OwnedFd, far: &OwnedFd) {
    let mut random = Random::new([5; 32]);
    let mut flying: BinaryHeap<Flying> = BinaryHeap::new();
    let mut room = vec![0; 65_536];
    loop {
        let next = flying.peek().map_or(Instant::now() + Duration::from_secs(1), |first| first.0.0);
        let left = next.saturating_duration_since(Instant::now());
        let timeout =
            rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(tap, PollFlags::IN), PollFd::new(far, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&timeout)).unwrap();
        for (to_us, from) in [(true, tap), (false, far)] {
            while let Ok(len @ 1..) = rustix::io::read(from, &mut room[..]) {
                let copies = u32::from(random.below(100) >= 2) + u32::from(random.below(100) < 1);
                for _ in 0..copies {
                    let delay = Duration::from_micros(2_000 + u64::from(random.below(8_000)));
                    flying.push(Flying(
                        std::cmp::Reverse(Instant::now() + delay),
                        to_us,
                        room[..len].to_vec(),
                    ));
                }
            }
        }
        while flying.peek().is_some_and(|first| first.0.0 <= Instant::now()) {
            let Some(Flying(_, to_us, frame)) = flying.pop() else { break };
            // A full queue loses it, as a link would.
            let sent = rustix::io::write(if to_us { far } else { tap }, &frame);
            if matches!(sent, Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET)) {
                return;
            }
        }
    }
}
