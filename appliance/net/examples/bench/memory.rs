//! The core alone: frames in memory, no device, one thread.

use crate::Figures;
use std::net::Ipv4Addr;
use std::time::Instant as Clock;

use net::control::{
    Class, Configure, FlowId, FromNet, Ipv4Addressing, Ipv6Addressing, ListenLimits, ListenerId,
};
use net::control::{ToNet, VERSION};
use net::ip::Header;
use net::stack::{Setup, Stack};
use net::tcp::budget::MOST;
use net::tcp::ends::{Datagrams, Delivered, Ends, Sent, Stream, Taken};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};
use sys::arena::Arena;
use sys::frames::Checksum;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const MANY: u32 = 10_000;
const MSS: usize = 1_460;

/// The gateway takes everything and answers nothing.
#[derive(Debug)]
struct Sink;

impl Stream for Sink {
    fn deliver(&mut self, bytes: &[u8]) -> Delivered {
        Delivered::Took(bytes.len())
    }

    fn take(&mut self, _: &mut [u8]) -> Taken {
        Taken::Nothing
    }

    fn finish(&mut self) {}
}

impl Datagrams for Sink {
    fn deliver(&mut self, _: &[u8]) -> Sent {
        Sent::Took
    }

    fn take(&mut self, _: &mut [u8]) -> Taken {
        Taken::Nothing
    }
}

#[derive(Debug)]
struct Sinks;

impl Ends for Sinks {
    type Stream = Sink;
    type Datagrams = Sink;
    type Passed = ();

    fn stream(&mut self, _: FlowId) -> Option<(Sink, ())> {
        Some((Sink, ()))
    }

    fn datagrams(&mut self, _: FlowId) -> Option<(Sink, ())> {
        Some((Sink, ()))
    }
}

/// A stack and its peers, who acknowledge nothing, since nothing is sent to them.
struct World {
    stack: Stack<Sinks>,
    now: Instant,
    flows: Vec<FlowId>,
}

/// Prints the figures and notes them.
pub(crate) fn run(figures: &mut Figures) -> std::io::Result<()> {
    println!("frames in memory, one core");
    // First, while nothing was allocated and freed yet.
    memory(MANY, figures)?;
    let mut world = World::new(MANY + 16)?;
    for flood in [0, 10] {
        handshakes(&mut world, flood, figures);
    }
    for flows in [1, MANY] {
        let numbers: Vec<i32> = (0..flows).map(|n| world.open(peer(n), 30_000)).collect();
        let each = world.bulk(&numbers, 400_000);
        let bits = MSS as f64 * 8.0 / each / 1e9;
        figures.say(&format!("segments in, {flows} connections"), 1.0 / each, "/s");
        figures.say(&format!("the same, {flows} connections"), bits, "Gbit/s");
        world.reset_all();
    }
    Ok(())
}

/// With so many forged SYNs for each true one.
fn handshakes(world: &mut World, flood: u32, figures: &mut Figures) {
    let clock = Clock::now();
    let count = 20_000_u32;
    for n in 0..count {
        for m in 0..flood {
            let source = Ipv4Addr::from(0x1400_0000 + (n * 10 + m).wrapping_mul(2_654_435_761) % (1 << 26));
            world.take(&segment(source, 1_024, TcpControl::Syn, 1, None, &[]));
        }
        world.open(peer(n % 5_000), 20_000 + (n / 5_000) as u16 + flood as u16 * 8);
        if n % 5_000 == 4_999 {
            world.reset_all();
        }
    }
    let rate = f64::from(count) / clock.elapsed().as_secs_f64();
    figures.say(&format!("handshakes, {flood} forged SYNs for each"), rate, "/s");
}

/// Resident memory for idle connections, each of which received and answered one command.
fn memory(flows: u32, figures: &mut Figures) -> std::io::Result<()> {
    let mut world = World::new(flows)?;
    let before = resident();
    let numbers: Vec<i32> = (0..flows).map(|n| world.open(peer(n), 30_000)).collect();
    let each = |now: u64| (now - before) as f64 / f64::from(flows);
    figures.say("memory, a new connection", each(resident()), "bytes");
    for (n, number) in numbers.iter().enumerate() {
        world.take(&segment(
            peer(n as u32),
            30_000,
            TcpControl::Psh,
            2,
            Some(*number),
            b"EHLO a.example\r\n",
        ));
    }
    world.settle();
    figures.say("memory, after a command", each(resident()), "bytes");
    Ok(())
}

impl World {
    fn new(slots: u32) -> std::io::Result<World> {
        let arena = Arena::reserve(slots, 2 * MOST)?;
        let mac = EthernetAddress(MAC);
        let setup = Setup { mac, mtu: 1_500, seed: [1; 32], arena, buffer_memory: 16 << 30, ends: Sinks };
        let mut world = World { stack: Stack::new(setup), now: Instant::from_secs(1_000), flows: Vec::new() };
        let mut configure = Configure {
            ipv4: Ipv4Addressing::Static("10.255.0.1/8".parse().into_iter().collect()),
            ipv6: Ipv6Addressing::None,
            routers: vec![Ipv4Addr::new(10, 255, 0, 2).into()],
            ..Configure::default()
        };
        let limits = &mut configure.limits;
        (limits.connections, limits.reserved_percent) = (MANY + 16, 0);
        (limits.connections_per_address, limits.connections_per_network) = (u32::MAX, u32::MAX);
        limits.new_per_minute = u32::MAX;
        let (id, limits) = (ListenerId(1), ListenLimits::default());
        for message in [
            ToNet::Hello { version: VERSION },
            ToNet::Configure(Box::new(configure)),
            ToNet::Listen { id, address: None, port: 25, limits },
        ] {
            world.stack.message_in(world.now, message);
        }
        world.settle();
        Ok(world)
    }

    fn take(&mut self, frame: &[u8]) {
        self.stack.frame_in(self.now, frame, Checksum::Unknown);
    }

    /// Lets it work; returns the number of the last SYN|ACK.
    fn settle(&mut self) -> i32 {
        let mut number = 0;
        while self.stack.poll(self.now) {}
        number = self.answers(number);
        while let Some(event) = self.stack.events().pop_front() {
            if let FromNet::Accepted { flow, .. } = event.message {
                self.flows.push(flow);
            }
        }
        number
    }

    /// Plays the neighbours, and looks for a SYN|ACK.
    fn answers(&mut self, mut number: i32) -> i32 {
        while !self.stack.out().is_empty() {
            let frames: Vec<Vec<u8>> = self.stack.out().frames().map(<[u8]>::to_vec).collect();
            self.stack.out().sent(usize::MAX);
            for frame in frames {
                if frame[12..14] == [8, 6] && frame[21] == 1 && frame[38..42] != OURS.octets() {
                    let mut answer = frame.clone();
                    answer[..6].copy_from_slice(&MAC);
                    answer[6..12].copy_from_slice(&PEER_MAC);
                    answer[21] = 2;
                    answer[22..28].copy_from_slice(&PEER_MAC);
                    answer[28..32].copy_from_slice(&frame[38..42]);
                    answer[32..38].copy_from_slice(&MAC);
                    answer[38..42].copy_from_slice(&frame[28..32]);
                    self.take(&answer);
                } else if frame.len() >= 54 && frame[23] == 6 && frame[47] == 0x12 {
                    number = i32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
                }
            }
        }
        number
    }

    /// A handshake; returns the number that we acknowledge from then on.
    fn open(&mut self, source: Ipv4Addr, port: u16) -> i32 {
        let open = self.flows.len();
        // The cookie of each SYN depends on the time, not on what came before.
        self.now += Duration::from_micros(20);
        self.take(&segment(source, port, TcpControl::Syn, 1, None, &[]));
        let number = self.answers(0).wrapping_add(1);
        self.take(&segment(source, port, TcpControl::None, 2, Some(number), &[]));
        self.settle();
        assert_eq!(self.flows.len(), open + 1, "a connection: {:?}", self.stack.counters());
        number
    }

    /// Full segments to every flow in turn, each in order. Returns the seconds of one.
    fn bulk(&mut self, numbers: &[i32], segments: u32) -> f64 {
        for flow in self.flows.clone() {
            self.stack.message_in(self.now, ToNet::Class { flow, class: Class::Bulk });
        }
        let data = [b'x'; MSS];
        let rounds = segments / numbers.len() as u32;
        let mut frames = Vec::new();
        let mut spent = std::time::Duration::ZERO;
        for round in 0..rounds {
            let seq = 2_i32.wrapping_add((round as usize * MSS) as i32);
            let frame = |(n, number): (usize, &i32)| {
                segment(peer(n as u32), 30_000, TcpControl::None, seq, Some(*number), &data)
            };
            frames.extend(numbers.iter().enumerate().map(frame));
            // One flow alone must not outrun its first window.
            let turn = if numbers.len() == 1 { 10 } else { 64 };
            if frames.len() >= turn || round + 1 == rounds {
                let clock = Clock::now();
                for batch in frames.chunks(turn) {
                    batch.iter().for_each(|frame| self.take(frame));
                    self.now += Duration::from_micros(50);
                    self.settle();
                }
                spent += clock.elapsed();
                frames.clear();
            }
        }
        let count = f64::from(rounds) * numbers.len() as f64;
        let dropped = self.stack.counters().get("tcp.challenges");
        assert_eq!(dropped, 0, "every segment is taken: {:?}", self.stack.counters());
        spent.as_secs_f64() / count
    }

    fn reset_all(&mut self) {
        for flow in std::mem::take(&mut self.flows) {
            self.stack.message_in(self.now, ToNet::Reset { flow });
        }
        self.settle();
    }
}

fn peer(n: u32) -> Ipv4Addr {
    // In many networks, behind few neighbours: the router's.
    Ipv4Addr::from(0x6400_0000 + n * 16)
}

fn segment(
    source: Ipv4Addr,
    port: u16,
    control: TcpControl,
    seq: i32,
    ack: Option<i32>,
    payload: &[u8],
) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: port,
        dst_port: 25,
        control,
        seq_number: TcpSeqNumber(seq),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 60_000,
        window_scale: None,
        max_seg_size: (control == TcpControl::Syn).then_some(1_460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let header = Header { source: source.into(), target: OURS.into(), protocol: IpProtocol::Tcp };
    let mut frame = vec![0; 34 + repr.buffer_len()];
    frame[..6].copy_from_slice(&MAC);
    frame[6..12].copy_from_slice(&PEER_MAC);
    frame[12..14].copy_from_slice(&[8, 0]);
    header.emit(&mut frame[14..]);
    let mut tcp = TcpPacket::new_unchecked(&mut frame[34..]);
    repr.emit(&mut tcp, &source.into(), &OURS.into(), &ChecksumCapabilities::default());
    frame
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0_u64);
    pages * rustix::param::page_size() as u64
}
