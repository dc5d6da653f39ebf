//! The whole role against the host's own TCP, over a TAP device in a network namespace that each test makes.
//!
//! Needs root, `unshare` and `ip`; says so and passes where they are missing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use net::control::{
    Class, Configure, FromNet, Ipv4Addressing, Ipv6Addressing, ListenLimits, ListenerId, MESSAGE_MAX,
    RequestId, ToNet, VERSION, decode, encode,
};
use net::secret::Random;
use net::{Device, RunError};
use rustix::event::{PollFd, PollFlags};
use sys::channel;
use sys::status::{Channel, ChannelError, FromRole, ToRole};

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x10];
const HOST: &str = "10.9.0.1";
const OURS: &str = "10.9.0.2";
const HOST_V6: &str = "fd00:9::1";
const OURS_V6: &str = "fd00:9::2";
/// No test waits longer for anything: far above what it takes, since the machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs the test of this name in a namespace of its own. `false`: this is the outside, and it is done.
fn inside(name: &str) -> bool {
    if std::env::var_os("POSTERN_NET_NAMESPACE").is_some() {
        let setup = [
            "link set lo up",
            "tuntap add t0 mode tap",
            "addr add 10.9.0.1/24 dev t0",
            "-6 addr add fd00:9::1/64 dev t0 nodad",
            "link set t0 up",
        ];
        for words in setup {
            assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
        }
        return true;
    }
    let works = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
    };
    if !works("unshare", &["-n", "ip", "tuntap", "add", "t0", "mode", "tap"]) {
        eprintln!("skipped: {name} needs root, unshare, ip and /dev/net/tun");
        return false;
    }
    let myself = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again.arg("-n").arg(myself).args([name, "--exact", "--nocapture"]).env("POSTERN_NET_NAMESPACE", "1");
    let done = again.status().unwrap();
    assert!(done.success(), "{name} in its namespace");
    false
}

/// The role, and a gateway that echoes on port 7.
struct Role {
    control: OwnedFd,
    init: Channel,
    net: JoinHandle<Result<(), RunError>>,
    heard: Vec<(FromNet, Option<OwnedFd>)>,
}

impl Role {
    fn start(frames: OwnedFd) -> Role {
        let (control, theirs) = channel::pair().unwrap();
        let (init, status) = Channel::pair().unwrap();
        let device = Device::tap(frames, MAC, 1_500);
        let net = std::thread::spawn(move || net::run(device, theirs, status));
        let mut role = Role { control, init, net, heard: Vec::new() };
        role.tell(&ToNet::Hello { version: VERSION });
        let mut configure = Configure {
            ipv4: Ipv4Addressing::Static(vec![format!("{OURS}/24").parse().unwrap()]),
            ipv6: Ipv6Addressing::Static(vec![format!("{OURS_V6}/64").parse().unwrap()]),
            ..Configure::default()
        };
        configure.limits.connections_per_address = 1_000;
        configure.limits.connections_per_network = 1_000;
        configure.limits.new_per_minute = 10_000;
        role.tell(&ToNet::Configure(Box::new(configure)));
        let limits = ListenLimits::default();
        role.tell(&ToNet::Listen { id: ListenerId(1), address: None, port: 7, limits });
        role.until(|message| matches!(message, FromNet::Ready { addresses } if addresses.len() == 2));
        role
    }

    fn tell(&self, message: &ToNet) {
        channel::send_with_fds(&self.control, &encode(message).unwrap(), &[]).unwrap();
    }

    /// Waits for a message, and serves what is accepted meanwhile.
    fn until(&mut self, wanted: impl Fn(&FromNet) -> bool) -> (FromNet, Option<OwnedFd>) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.heard.iter().position(|(message, _)| wanted(message)) {
                return self.heard.swap_remove(at);
            }
            self.hear(end);
        }
    }

    fn hear(&mut self, end: Instant) {
        assert!(readable(&self.control, end), "a message in time; heard {:?}", self.heard);
        let mut packet = vec![0; MESSAGE_MAX];
        let taken = channel::recv_with_fds(&self.control, &mut packet).unwrap();
        let message: FromNet = decode(&packet[..taken.len]).unwrap();
        let fd = taken.fds.into_iter().next();
        if let (FromNet::Accepted { flow, .. }, Some(fd)) = (&message, fd.as_ref()) {
            self.tell(&ToNet::Class { flow: *flow, class: Class::Bulk });
            let stream = blocking(fd.try_clone().unwrap());
            std::thread::spawn(move || echo(stream));
        } else {
            self.heard.push((message, fd));
        }
    }

    /// Serves until `work` on the host's side is done.
    fn serve<R: Send + 'static>(&mut self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (done, doing) = mpsc::channel();
        let worker = std::thread::spawn(move || done.send(work()));
        let end = Instant::now() + PATIENCE;
        loop {
            match doing.try_recv() {
                Ok(result) => return result,
                Err(mpsc::TryRecvError::Disconnected) => {
                    std::panic::resume_unwind(worker.join().unwrap_err());
                }
                Err(mpsc::TryRecvError::Empty) => assert!(Instant::now() < end, "the host is done in time"),
            }
            if readable(&self.control, Instant::now() + Duration::from_millis(20)) {
                self.hear(end);
            }
        }
    }

    fn stop(self) {
        self.init.send(&ToRole::Ping(7)).unwrap();
        self.init.send(&ToRole::Shutdown).unwrap();
        let mut heard = Vec::new();
        let end = Instant::now() + PATIENCE;
        while heard.last() != Some(&FromRole::Stopped) {
            assert!(readable(&self.init, end), "{heard:?}");
            match self.init.receive() {
                Ok(message) => heard.push(message),
                Err(ChannelError::WouldBlock) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(heard.contains(&FromRole::Ready) && heard.contains(&FromRole::Pong(7)));
        self.net.join().unwrap().unwrap();
    }
}

fn readable(fd: impl AsFd, end: Instant) -> bool {
    let left = end.saturating_duration_since(Instant::now());
    let timeout =
        rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap() > 0
}

fn blocking(fd: OwnedFd) -> UnixStream {
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false).unwrap();
    stream
}

fn echo(mut stream: UnixStream) {
    let mut bytes = vec![0; 65_536];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..len]).is_err() {
            return;
        }
    }
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut random = Random::new([seed; 32]);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.word().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// Sends `len` bytes from the host and wants them back.
fn round_trip(to: SocketAddr, len: usize, seed: u8) {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    let sent = pattern(len, seed);
    let mut writer = stream.try_clone().unwrap();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
}

fn ours(port: u16) -> [SocketAddr; 2] {
    [format!("{OURS}:{port}").parse().unwrap(), format!("[{OURS_V6}]:{port}").parse().unwrap()]
}

#[test]
fn the_host_connects_to_us() {
    if !inside("the_host_connects_to_us") {
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

#[test]
fn we_connect_to_the_host() {
    if !inside("we_connect_to_the_host") {
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
    if !inside("datagrams_pass_both_ways") {
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
    if !inside("a_gateway_that_dies_resets_its_connections") {
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
    if !inside("a_bad_link_to_the_host_carries_everything") {
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
