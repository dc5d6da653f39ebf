//! A toy gateway over a TAP device, to try the stack by hand: echoes on port 7, discards on 9, sends a stream
//! of bytes on 19, and tells what happens.
//!
//! `echo TAP ADDRESS/PREFIX|dhcp [ROUTER] [connect ADDRESS:PORT | udp ADDRESS:PORT]`

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use net::control::{
    Class, Configure, FromNet, Ipv4Addressing, Ipv6Addressing, ListenLimits, ListenerId, MESSAGE_MAX,
    RequestId, ToNet, VERSION, decode, encode,
};
use sys::channel::{self, ChannelError};

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x10];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let tap = args.next().ok_or("which TAP device?")?;
    let address = args.next().ok_or("which address?")?;
    let mut configure = Configure::default();
    match address.parse::<ipnet::IpNet>() {
        Ok(ipnet::IpNet::V4(net)) => configure.ipv4 = Ipv4Addressing::Static(vec![net]),
        Ok(ipnet::IpNet::V6(net)) => {
            (configure.ipv4, configure.ipv6) = (Ipv4Addressing::None, Ipv6Addressing::Static(vec![net]));
        }
        Err(_) => {}
    }
    let rest: Vec<String> = args.collect();
    let (mut connect, mut udp): (Option<SocketAddr>, Option<SocketAddr>) = (None, None);
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "connect" => connect = Some(words.next().ok_or("connect to what?")?.parse()?),
            "udp" => udp = Some(words.next().ok_or("to what?")?.parse()?),
            // All tests come from one address.
            "unlimited" => {
                let limits = &mut configure.limits;
                (limits.connections_per_address, limits.connections_per_network) = (u32::MAX, u32::MAX);
                limits.new_per_minute = u32::MAX;
            }
            router => configure.routers.push(router.parse()?),
        }
    }
    let device = open(&tap)?;
    let (ours, theirs) = channel::pair()?;
    let (_init, status) = sys::status::Channel::pair()?;
    let net = std::thread::spawn(move || net::run(device, theirs, status));
    tell(&ours, &ToNet::Hello { version: VERSION })?;
    tell(&ours, &ToNet::Configure(Box::new(configure)))?;
    for (n, port) in [7, 9, 19].into_iter().enumerate() {
        let limits = ListenLimits::default();
        tell(&ours, &ToNet::Listen { id: ListenerId(n as u32), address: None, port, limits })?;
    }
    let mut wanted = Some((connect, udp));
    while !net.is_finished() {
        let Some((message, fd)) = hear(&ours)? else { continue };
        println!("{message:?}");
        match (message, fd) {
            (FromNet::Ready { addresses }, _) if !addresses.is_empty() => {
                let (connect, udp) = wanted.take().unwrap_or_default();
                let deadline_ms = 10_000;
                if let Some(to) = connect {
                    tell(&ours, &ToNet::Connect { id: RequestId(1), to, from: None, deadline_ms })?;
                }
                if let Some(to) = udp {
                    tell(&ours, &ToNet::Udp { id: RequestId(2), to })?;
                }
            }
            (FromNet::Accepted { local, flow, .. }, Some(fd)) => {
                if local.port() != 7 {
                    tell(&ours, &ToNet::Class { flow, class: Class::Bulk })?;
                }
                serve(fd, local.port());
            }
            (FromNet::Connected { .. }, Some(fd)) => greet(fd),
            (FromNet::UdpOpen { .. }, Some(fd)) => ask(fd),
            _ => {}
        }
    }
    Ok(net.join().map_err(|_| "the network panicked")??)
}

/// A TAP device, or with `packet:NAME` an interface that exists.
fn open(name: &str) -> Result<net::Device, Box<dyn std::error::Error>> {
    let Some(name) = name.strip_prefix("packet:") else {
        return Ok(net::Device::tap(sys::tap::open(name)?, MAC, 1_500));
    };
    let about = |what| std::fs::read_to_string(format!("/sys/class/net/{name}/{what}"));
    let index = about("ifindex")?.trim().parse()?;
    let mut mac = [0; 6];
    for (byte, text) in mac.iter_mut().zip(about("address")?.trim().split(':')) {
        *byte = u8::from_str_radix(text, 16)?;
    }
    sys::link::set_up(name)?;
    Ok(net::Device::packet(sys::packet::open(index)?, name, mac, 1_500)?)
}

fn tell(control: &OwnedFd, message: &ToNet) -> Result<(), Box<dyn std::error::Error>> {
    Ok(channel::send_with_fds(control, &encode(message)?, &[])?)
}

type Heard = Option<(FromNet, Option<OwnedFd>)>;

fn hear(control: &OwnedFd) -> Result<Heard, Box<dyn std::error::Error>> {
    let mut fds = [rustix::event::PollFd::new(control, rustix::event::PollFlags::IN)];
    let second = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&second))?;
    let mut packet = vec![0; MESSAGE_MAX];
    match channel::recv_with_fds(control, &mut packet) {
        Ok(taken) => Ok(Some((decode(&packet[..taken.len])?, taken.fds.into_iter().next()))),
        Err(ChannelError::WouldBlock) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn stream(fd: OwnedFd) -> UnixStream {
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false).expect("a socket");
    stream
}

fn serve(fd: OwnedFd, port: u16) {
    let mut stream = stream(fd);
    std::thread::spawn(move || {
        let mut bytes = vec![b'x'; 65_536];
        loop {
            let len = if port == 19 { bytes.len() } else { stream.read(&mut bytes).unwrap_or(0) };
            if len == 0 || port != 9 && stream.write_all(&bytes[..len]).is_err() {
                return;
            }
        }
    });
}

fn greet(fd: OwnedFd) {
    let mut stream = stream(fd);
    std::thread::spawn(move || {
        let _ = stream.write_all(b"hello\n");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        println!("answer {answer:?} {read:?}");
    });
}

fn ask(fd: OwnedFd) {
    std::thread::spawn(move || {
        let stream = stream(fd);
        let mut room = [0; 2_000];
        let sent = rustix::net::send(&stream, b"hello", rustix::net::SendFlags::NOSIGNAL);
        let heard = rustix::net::recv(&stream, &mut room, rustix::net::RecvFlags::empty());
        println!(
            "udp {sent:?} {:?}",
            heard.map(|(len, _)| String::from_utf8_lossy(&room[..len]).into_owned())
        );
    });
}
