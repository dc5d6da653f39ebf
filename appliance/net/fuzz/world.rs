//! What the targets stand on: a stack, streams that are buffers, and a peer.
#![allow(dead_code, reason = "each target uses a part")]

use std::cell::RefCell;

use net::control::{Configure, FlowId, ListenLimits, ListenerId, ToNet, VERSION};
use net::stack::{Setup, Stack};
use net::tcp::budget::MOST;
use net::tcp::ends::{Datagrams, Delivered, Ends, Sent, Stream, Taken};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use sys::arena::Arena;

pub const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const SLOTS: u32 = 64;

thread_local! {
    /// Reserved once: the mapping is not what is tested.
    static ARENA: Arena = Arena::reserve(SLOTS, 2 * MOST).expect("address space");
    /// What the gateway does with every stream.
    static GATEWAY: RefCell<Gateway> = RefCell::default();
}

#[derive(Default)]
struct Gateway {
    to_send: usize,
    state: u8,
    flows: Vec<FlowId>,
}

#[derive(Debug)]
pub struct End;

impl Stream for End {
    fn deliver(&mut self, bytes: &[u8]) -> Delivered {
        match GATEWAY.with_borrow(|gateway| gateway.state % 8) {
            5 => Delivered::Gone,
            6 => Delivered::Took(0),
            7 => Delivered::Took(bytes.len().div_ceil(2)),
            _ => Delivered::Took(bytes.len()),
        }
    }

    fn take(&mut self, room: &mut [u8]) -> Taken {
        GATEWAY.with_borrow_mut(|gateway| {
            let count = room.len().min(gateway.to_send);
            gateway.to_send -= count;
            match (count, gateway.state % 8) {
                (0, 3) => Taken::End,
                (_, 4) => Taken::Aborted,
                (0, _) => Taken::Nothing,
                _ => Taken::Bytes(count),
            }
        })
    }

    fn finish(&mut self) {}
}

impl Datagrams for End {
    fn deliver(&mut self, _: &[u8]) -> Sent {
        Sent::Took
    }

    fn take(&mut self, _: &mut [u8]) -> Taken {
        Taken::Nothing
    }
}

#[derive(Debug)]
pub struct Buffers;

impl Ends for Buffers {
    type Stream = End;
    type Datagrams = End;
    type Passed = ();

    fn stream(&mut self, flow: FlowId) -> Option<(End, ())> {
        GATEWAY.with_borrow_mut(|gateway| gateway.flows.push(flow));
        Some((End, ()))
    }

    fn datagrams(&mut self, _: FlowId) -> Option<(End, ())> {
        Some((End, ()))
    }
}

pub fn stack() -> Stack<Buffers> {
    GATEWAY.with_borrow_mut(|gateway| *gateway = Gateway::default());
    let arena = ARENA.with(Arena::clone);
    assert_eq!(arena.free(), SLOTS as usize, "every slot came back");
    let mac = EthernetAddress(OUR_MAC);
    let setup = Setup { mac, mtu: 1_500, seed: [1; 32], arena, buffer_memory: 1 << 20, ends: Buffers };
    Stack::new(setup)
}

/// Returns the frames that it sends at first.
pub fn configure(stack: &mut Stack<Buffers>, now: Instant, configure: Configure) -> Vec<Vec<u8>> {
    stack.message_in(now, ToNet::Hello { version: VERSION });
    stack.message_in(now, ToNet::Configure(Box::new(configure)));
    let (id, limits) = (ListenerId(1), ListenLimits::default());
    stack.message_in(now, ToNet::Listen { id, address: None, port: 25, limits });
    settle(stack, now)
}

/// Lets it work until it rests; returns its frames.
pub fn settle(stack: &mut Stack<Buffers>, now: Instant) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for turn in 0.. {
        assert!(turn < 10_000, "it comes to rest");
        let more = stack.poll(now);
        frames.extend(stack.out().frames().map(<[u8]>::to_vec));
        stack.out().sent(usize::MAX);
        stack.events().clear();
        if !more {
            break;
        }
    }
    frames
}

pub fn write(stack: &mut Stack<Buffers>, len: usize) {
    GATEWAY.with_borrow_mut(|gateway| gateway.to_send += len);
    touch(stack);
}

pub fn close(stack: &mut Stack<Buffers>, state: u8) {
    GATEWAY.with_borrow_mut(|gateway| gateway.state = state);
    touch(stack);
}

fn touch(stack: &mut Stack<Buffers>) {
    let flows = GATEWAY.with_borrow(|gateway| gateway.flows.clone());
    flows.into_iter().for_each(|flow| stack.ready(flow, true, true));
}

/// Makes a frame plausible, so that not every mutation ends at the first check: our station, and the IPv4
/// header's checksum.
pub fn mend(frame: &mut [u8]) {
    if frame.len() < 34 {
        return;
    }
    if frame[0] & 1 == 0 {
        frame[..6].copy_from_slice(&OUR_MAC);
    }
    frame[6] &= 0xfe;
    if frame[12..14] == [8, 0] {
        let mut ip = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
        if ip.header_len() == 20 {
            ip.fill_checksum();
        }
    }
}

/// A peer on our link, whose numbers start at 0 and who hears ours.
#[derive(Default)]
pub struct Peer {
    ours: u32,
    port: u16,
}

impl Peer {
    /// A segment out of eight bytes: flags, numbers near the right ones, window, a little data, options.
    pub fn segment(&mut self, [what, flags, seq, ack, window, len, far, port]: [u8; 8]) -> Vec<u8> {
        let mut tcp = vec![0; 20];
        let to = if what % 2 == 0 || self.port == 0 { 25 } else { self.port };
        tcp[..2].copy_from_slice(&(u16::from(port % 4) + 1_000).to_be_bytes());
        tcp[2..4].copy_from_slice(&to.to_be_bytes());
        let spread = u32::from(far) << (far % 24);
        let number = u32::from(seq).wrapping_add(if far & 1 == 1 { spread } else { 0 });
        tcp[4..8].copy_from_slice(&number.to_be_bytes());
        let heard = self.ours.wrapping_add(u32::from(ack)).wrapping_sub(if far & 2 == 2 { spread } else { 0 });
        tcp[8..12].copy_from_slice(&heard.to_be_bytes());
        tcp[13] = flags & 0x3f;
        tcp[14..16].copy_from_slice(&(u16::from(window) << (window % 9)).to_be_bytes());
        if flags & 2 == 2 {
            tcp.extend([2, 4, len, seq, 3, 3, window, 1]);
        }
        tcp[12] = (tcp.len() as u8 / 4) << 4;
        tcp.extend(std::iter::repeat_n(b'x', usize::from(len) << (len % 4)));
        frame(6, &tcp)
    }

    /// Takes our number out of a segment of ours.
    pub fn heard(&mut self, frame: &[u8]) {
        if frame.len() >= 54 && frame[12..14] == [8, 0] && frame[23] == 6 {
            self.ours = u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
            self.port = u16::from_be_bytes([frame[34], frame[35]]);
        }
    }
}

fn frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(34 + payload.len());
    frame.extend(OUR_MAC);
    frame.extend(PEER_MAC);
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(((payload.len() + 20) as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 10]);
    frame.extend(payload);
    mend(&mut frame);
    frame
}

/// The number of the client's question, if it is among these frames.
pub fn transaction(frames: &[Vec<u8>]) -> Option<[u8; 4]> {
    frames.iter().rev().find_map(|frame| frame.get(46..50)?.try_into().ok())
}

/// A server's answer with any options.
pub fn dhcp_answer(kind: u8, transaction: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut dhcp = vec![0; 240];
    dhcp[..3].copy_from_slice(&[2, 1, 6]);
    dhcp[4..8].copy_from_slice(&transaction);
    dhcp[16..20].copy_from_slice(&[10, 0, 0, kind]);
    dhcp[28..34].copy_from_slice(&OUR_MAC);
    dhcp[236..240].copy_from_slice(&[99, 130, 83, 99]);
    dhcp.extend([53, 1, kind % 9]);
    dhcp.extend(options);
    dhcp.push(255);
    let mut udp = vec![0, 67, 0, 68];
    udp.extend(((dhcp.len() + 8) as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(dhcp);
    let mut frame = frame(17, &udp);
    frame[..6].copy_from_slice(&[0xff; 6]);
    frame
}
