//! The role on a device in a network namespace, with the host's own TCP at the other end.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use net::control::{
    Class, Configure, FromNet, Ipv4Addressing, Ipv6Addressing, ListenLimits, ListenerId, MESSAGE_MAX,
    Statistics, ToNet, VERSION, decode, encode,
};
use net::secret::Random;
use net::{Device, RunError};
use rustix::event::{PollFd, PollFlags};
use sys::channel;
use sys::status::{Channel, ChannelError, FromRole, ToRole};

pub const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x10];
pub const HOST: &str = "10.9.0.1";
pub const OURS: &str = "10.9.0.2";
pub const HOST_V6: &str = "fd00:9::1";
pub const OURS_V6: &str = "fd00:9::2";
/// No test waits longer for anything: far above what it takes, since the machine may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The host's end is a TAP device.
pub const TAP: &[&str] = &["tuntap add t0 mode tap"];
/// The host's end is one of a pair of network cards, ours the other.
pub const CARDS: &[&str] =
    &["link add t0 type veth peer name t1 address 02:00:00:00:00:10", "link set t1 up"];

/// Runs the test of this name in a namespace of its own. `false`: this is the outside, and it is done.
pub fn inside(name: &str, devices: &[&str]) -> bool {
    if std::env::var_os("POSTERN_NET_NAMESPACE").is_some() {
        let setup = [
            "link set lo up",
            "addr add 10.9.0.1/24 dev t0",
            "-6 addr add fd00:9::1/64 dev t0 nodad",
            "link set t0 up",
        ];
        for words in devices.iter().chain(&setup) {
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
pub struct Role {
    pub control: OwnedFd,
    pub init: Channel,
    pub net: JoinHandle<Result<(), RunError>>,
    heard: Vec<(FromNet, Option<OwnedFd>)>,
}

impl Role {
    pub fn start(frames: OwnedFd) -> Role {
        Role::on(Device::tap(frames, MAC, 1_500))
    }

    pub fn on(device: Device) -> Role {
        Role::with(device, |_| ())
    }

    /// With a configuration that `change` has its way with.
    pub fn with(device: Device, change: impl FnOnce(&mut Configure)) -> Role {
        let (control, theirs) = channel::pair().unwrap();
        let (init, status) = Channel::pair().unwrap();
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
        change(&mut configure);
        role.tell(&ToNet::Configure(Box::new(configure)));
        let limits = ListenLimits::default();
        role.tell(&ToNet::Listen { id: ListenerId(1), address: None, port: 7, limits });
        role.until(|message| matches!(message, FromNet::Ready { addresses } if addresses.len() == 2));
        role
    }

    pub fn tell(&self, message: &ToNet) {
        channel::send_with_fds(&self.control, &encode(message).unwrap(), &[]).unwrap();
    }

    /// Waits for a message, and serves what is accepted meanwhile.
    pub fn until(&mut self, wanted: impl Fn(&FromNet) -> bool) -> (FromNet, Option<OwnedFd>) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.heard.iter().position(|(message, _)| wanted(message)) {
                return self.heard.swap_remove(at);
            }
            self.hear(end);
        }
    }

    pub fn hear(&mut self, end: Instant) {
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
    pub fn serve<R: Send + 'static>(&mut self, work: impl FnOnce() -> R + Send + 'static) -> R {
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

    /// What the role counts and holds.
    pub fn statistics(&mut self) -> Statistics {
        self.tell(&ToNet::Stats);
        match self.until(|message| matches!(message, FromNet::Stats(_))) {
            (FromNet::Stats(statistics), _) => statistics,
            other => panic!("{other:?}"),
        }
    }

    pub fn stop(self) {
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

pub fn readable(fd: impl AsFd, end: Instant) -> bool {
    let left = end.saturating_duration_since(Instant::now());
    let timeout =
        rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap() > 0
}

pub fn blocking(fd: OwnedFd) -> UnixStream {
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false).unwrap();
    stream
}

pub fn echo(mut stream: UnixStream) {
    let mut bytes = vec![0; 65_536];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..len]).is_err() {
            return;
        }
    }
}

pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut random = Random::new([seed; 32]);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.word().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// Sends `len` bytes from the host and wants them back.
pub fn round_trip(to: SocketAddr, len: usize, seed: u8) {
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

pub fn ours(port: u16) -> [SocketAddr; 2] {
    [format!("{OURS}:{port}").parse().unwrap(), format!("[{OURS_V6}]:{port}").parse().unwrap()]
}
