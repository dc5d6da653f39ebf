//! The host's TCP to us, and to another Linux in our place: the same cable, payload and run.
//!
//! The cable is a thread that moves frames between TAP devices, at once or after a delay.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use net::Device;
use net::control::{
    Class, Configure, FromNet, Ipv4Addressing, Ipv6Addressing, ListenLimits, ListenerId, MESSAGE_MAX, ToNet,
    VERSION, decode, encode,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::{Map, Value};
use sys::channel;
use sys::status::Channel;

use crate::Figures;

/// The argument of the process that is the other Linux.
pub(crate) const LINUX_END: &str = "--linux-end";
/// The argument of the process that measures, in its namespace.
pub(crate) const INSIDE: &str = "--inside";

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
const PORT: u16 = 7;
const OURS: &str = "10.9.0.2:7";
/// One way; twice that is the round trip.
const DELAY: Duration = Duration::from_millis(15);
const BULK: u64 = 256 << 20;
const MAIL: u64 = 100_000;
/// Of each; the median counts.
const RUNS: usize = 5;
/// Frames that a cable holds each way.
const CABLE_MAX: usize = 4_096;

/// Measures in a namespace of its own.
pub(crate) fn in_namespace() -> io::Result<Map<String, Value>> {
    let file = std::env::temp_dir().join(format!("postern-bench-{}", std::process::id()));
    let done =
        Command::new("unshare").arg("-n").arg(std::env::current_exe()?).arg(INSIDE).arg(&file).status()?;
    if !done.success() {
        return Err(io::Error::other("the part over a TAP device failed: it needs root, unshare and ip"));
    }
    let text = std::fs::read(&file)?;
    std::fs::remove_file(&file)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Prints the figures and notes them.
pub(crate) fn run(figures: &mut Figures) -> io::Result<()> {
    ip("link set lo up")?;
    println!("over one cable, the host's TCP at the other end; median of {RUNS}");
    let mut ends = Vec::new();
    for delay in [Duration::ZERO, DELAY] {
        let ours = measure(delay, Peer::ours)?;
        let linux = measure(delay, Peer::linux)?;
        ends.push((delay, ours, linux));
    }
    for (delay, ours, linux) in ends {
        if delay.is_zero() {
            let rate = |seconds: f64| BULK as f64 * 8.0 / seconds / 1e9;
            figures.beside("bulk to us", rate(ours.up), rate(linux.up), "Gbit/s");
            figures.beside("bulk from us", rate(ours.down), rate(linux.down), "Gbit/s");
        } else {
            figures.beside("100 kB to us at 30 ms", ours.up * 1e3, linux.up * 1e3, "ms");
            figures.beside("100 kB from us at 30 ms", ours.down * 1e3, linux.down * 1e3, "ms");
        }
    }
    Ok(())
}

/// Seconds from the connection's first segment to the last byte.
struct Seconds {
    up: f64,
    down: f64,
}

fn measure(delay: Duration, peer: fn(OwnedFd, Duration) -> io::Result<Peer>) -> io::Result<Seconds> {
    ip("tuntap add t0 mode tap")?;
    ip("addr add 10.9.0.1/24 dev t0")?;
    ip("link set t0 up")?;
    let peer = peer(sys::tap::open("t0")?, delay)?;
    let len = if delay.is_zero() { BULK } else { MAIL };
    let up = median(|| transfer(len, 1))?;
    let down = median(|| transfer(1, len))?;
    peer.end()?;
    ip("link del t0")?;
    Ok(Seconds { up, down })
}

fn median(mut run: impl FnMut() -> io::Result<f64>) -> io::Result<f64> {
    let mut all = (0..RUNS).map(|_| run()).collect::<io::Result<Vec<f64>>>()?;
    all.sort_by(f64::total_cmp);
    all.get(RUNS / 2).copied().ok_or_else(|| io::Error::other("no run"))
}

/// Asks the other end to take so many bytes and then to send so many.
fn transfer(up: u64, down: u64) -> io::Result<f64> {
    let to: SocketAddr = OURS.parse().map_err(io::Error::other)?;
    let start = Instant::now();
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[up.to_be_bytes(), down.to_be_bytes()].concat())?;
    io::copy(&mut io::repeat(b'x').take(up), &mut stream)?;
    let got = io::copy(&mut stream.take(down), &mut io::sink())?;
    if got == down { Ok(start.elapsed().as_secs_f64()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The other end of [`transfer`].
fn serve(mut stream: impl Read + Write) -> io::Result<()> {
    let mut asked = [[0; 8]; 2];
    asked.iter_mut().try_for_each(|number| stream.read_exact(number))?;
    let [up, down] = asked.map(u64::from_be_bytes);
    let mut room = vec![0; 256 << 10];
    let mut left = up;
    while left > 0 {
        match stream.read(&mut room)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => left = left.saturating_sub(len as u64),
        }
    }
    let mut left = down as usize;
    while left > 0 {
        let len = left.min(room.len());
        stream.write_all(room.get(..len).unwrap_or_default())?;
        left -= len;
    }
    Ok(())
}

/// What is at the cable's far end.
enum Peer {
    Ours { _init: Channel },
    Linux(Child),
}

impl Peer {
    fn ours(tap: OwnedFd, delay: Duration) -> io::Result<Peer> {
        let (near, far) = channel::pair()?;
        for end in [&near, &far] {
            rustix::net::sockopt::set_socket_send_buffer_size(end, 4 << 20)?;
        }
        std::thread::spawn(move || cable(&tap, &far, delay));
        let (control, theirs) = channel::pair()?;
        let (init, status) = Channel::pair()?;
        std::thread::spawn(move || net::run(Device::tap(near, MAC, 1_500), theirs, status));
        let mut configure = Configure {
            ipv4: Ipv4Addressing::Static("10.9.0.2/24".parse().into_iter().collect()),
            ipv6: Ipv6Addressing::None,
            ..Configure::default()
        };
        configure.limits.new_per_minute = u32::MAX;
        let limits = ListenLimits::default();
        let listen = ToNet::Listen { id: ListenerId(1), address: None, port: PORT, limits };
        for message in [ToNet::Hello { version: VERSION }, ToNet::Configure(Box::new(configure)), listen] {
            tell(&control, &message)?;
        }
        let (ready, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || gateway(&control, &ready));
        wait.recv().map_err(io::Error::other)?;
        Ok(Peer::Ours { _init: init })
    }

    fn linux(tap: OwnedFd, delay: Duration) -> io::Result<Peer> {
        let (ours, theirs) = channel::pair()?;
        let mut command = Command::new("unshare");
        command.arg("-n").arg(std::env::current_exe()?).arg(LINUX_END).stdin(Stdio::from(theirs));
        let child = command.spawn()?;
        readable(&ours, None)?;
        let taken = channel::recv_with_fds(&ours, &mut [0; 8])?;
        let far = taken.fds.into_iter().next().ok_or_else(|| io::Error::other("no device"))?;
        std::thread::spawn(move || {
            cable(&tap, &far, delay);
            drop(ours);
        });
        Ok(Peer::Linux(child))
    }

    fn end(self) -> io::Result<()> {
        if let Peer::Linux(mut child) = self {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

/// The other Linux: hands its end of the cable over, and serves.
pub(crate) fn linux_end() -> io::Result<()> {
    ip("link set lo up")?;
    ip("tuntap add t1 mode tap")?;
    ip("addr add 10.9.0.2/24 dev t1")?;
    ip("link set t1 up")?;
    let listener = TcpListener::bind(("10.9.0.2", PORT))?;
    let tap = sys::tap::open("t1")?;
    channel::send_with_fds(io::stdin(), b"tap", &[tap.as_fd()])?;
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A run that fails is the measuring side's to tell.
        let _ = serve(stream);
    }
    Ok(())
}

/// Serves every connection on a thread of its own, until the role is gone.
fn gateway(control: &OwnedFd, ready: &std::sync::mpsc::Sender<()>) -> io::Result<()> {
    let mut packet = vec![0; MESSAGE_MAX];
    loop {
        readable(control, None)?;
        let taken = channel::recv_with_fds(control, &mut packet)?;
        let message = decode(packet.get(..taken.len).unwrap_or_default()).map_err(io::Error::other)?;
        match (message, taken.fds.into_iter().next()) {
            (FromNet::Ready { addresses }, _) if !addresses.is_empty() => drop(ready.send(())),
            (FromNet::Accepted { flow, .. }, Some(fd)) => {
                tell(control, &ToNet::Class { flow, class: Class::Bulk })?;
                let stream = UnixStream::from(fd);
                stream.set_nonblocking(false)?;
                std::thread::spawn(move || serve(stream));
            }
            _ => {}
        }
    }
}

fn tell(control: &OwnedFd, message: &ToNet) -> io::Result<()> {
    let packet = encode(message).map_err(io::Error::other)?;
    Ok(channel::send_with_fds(control, &packet, &[])?)
}

/// Moves frames between two devices, each after `delay`, until one is gone.
fn cable(one: &OwnedFd, other: &OwnedFd, delay: Duration) {
    let mut room = vec![0; 1 << 16];
    let mut flying: [VecDeque<(Instant, Vec<u8>)>; 2] = [VecDeque::new(), VecDeque::new()];
    loop {
        let next = flying.iter().filter_map(|way| way.front()).map(|(when, _)| *when).min();
        if readable_either(one, other, next).is_err() {
            return;
        }
        for (way, (from, to)) in flying.iter_mut().zip([(one, other), (other, one)]) {
            while let Ok(len @ 1..) = rustix::io::read(from, &mut room[..]) {
                let frame = room.get(..len).unwrap_or_default();
                // A full queue loses it, as a cable's end would.
                if delay.is_zero() {
                    let _ = rustix::io::write(to, frame);
                } else if way.len() < CABLE_MAX {
                    way.push_back((Instant::now() + delay, frame.to_vec()));
                }
            }
            while way.front().is_some_and(|(when, _)| *when <= Instant::now()) {
                let Some((_, frame)) = way.pop_front() else { break };
                if matches!(rustix::io::write(to, &frame), Err(rustix::io::Errno::PIPE)) {
                    return;
                }
            }
        }
    }
}

fn readable(fd: &OwnedFd, until: Option<Instant>) -> io::Result<()> {
    readable_either(fd, fd, until)
}

fn readable_either(one: &OwnedFd, other: &OwnedFd, until: Option<Instant>) -> io::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let timeout = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
    let mut fds = [PollFd::new(one, PollFlags::IN), PollFd::new(other, PollFlags::IN)];
    rustix::event::poll(&mut fds, timeout.as_ref())?;
    let gone = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR);
    if fds.iter().any(gone) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

fn ip(words: &str) -> io::Result<()> {
    let done = Command::new("ip").args(words.split(' ')).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other(format!("ip {words}"))) }
}
