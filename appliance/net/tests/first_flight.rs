//! What a connection sends before the first ACK, and that all of it is the gateway's, whatever the peer's windows
//! and losses.

#![allow(clippy::unwrap_used, reason = "tests")]

mod simulation;

use std::collections::BTreeMap;

use net::control::{EndReason, RequestId, ToNet};
use net::secret::Random;
use proptest::prelude::*;
use simulation::peer::{PEER, PEER_ISN, PORT, SAY, Say, Scene, Sent, frame_to};
use smoltcp::time::Duration;
use smoltcp::wire::TcpControl;

const LEN: usize = 40_000;
/// More than any of these takes.
const ROUNDS: usize = 5_000;
/// What smoltcp begins with: the second where nothing was lost.
const CAREFUL: (usize, usize) = (1_024, 2_048);

/// How the connection begins.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    /// The gateway asked for it.
    asked: bool,
    /// A SYN or its answer was lost.
    again: bool,
    window: u16,
    mss: Option<u16>,
    scale: Option<u8>,
}

impl Beginning {
    fn segment(self) -> usize {
        usize::from(self.mss.unwrap_or(536).min(1_460))
    }

    /// RFC 6928 §2, within the peer's window: the least and the most, since windows are said in units, and a
    /// window that is shut may be probed.
    fn flight(self) -> (usize, usize) {
        let (window, segment) = (usize::from(self.window), self.segment());
        let unit = 1 << self.scale.unwrap_or(0);
        let shown = window / unit * unit;
        let ten = (10 * segment).min((2 * segment).max(14_600));
        // Of a peer whose segments are larger than that smoltcp's own beginning stays.
        let whole = self.mss.is_none_or(|mss| usize::from(mss) <= ten.min(shown));
        let (least, most) = match (self.again, whole) {
            (true, _) => CAREFUL,
            (false, true) => (ten.max(CAREFUL.1), ten.max(CAREFUL.1)),
            (false, false) => (CAREFUL.1, CAREFUL.1),
        };
        (least.min(shown), most.min(window.max(1)))
    }
}

/// A peer that takes what comes in order, and says so as it likes.
struct Peer {
    scene: Scene,
    beginning: Beginning,
    random: Random,
    /// Our port, and our number of the first byte.
    port: u16,
    first: i32,
    /// Its own next number.
    next: i32,
    got: usize,
    held: BTreeMap<usize, usize>,
    /// The end of the widest window that it ever opened.
    edge: usize,
    acked: Option<i32>,
}

fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(31) ^ at >> 8) as u8 | 1
}

impl Peer {
    fn new(beginning: Beginning, seed: u8) -> Peer {
        let (mut scene, random) = (Scene::new(), Random::new([seed; 32]));
        let Beginning { asked, again, window, mss, scale } = beginning;
        let syn = Say { control: TcpControl::Syn, seq: PEER_ISN, window, mss, scale, ..SAY };
        let next = PEER_ISN.wrapping_add(1);
        let (port, first) = if asked {
            let to = (PEER, SAY.port).into();
            let ask = ToNet::Connect { id: RequestId(1), to, from: None, deadline_ms: 30_000 };
            scene.host.stack.message_in(scene.now, ask);
            scene.host.settle(scene.now);
            scene.pass(Duration::from_millis(if again { 1_500 } else { 100 }));
            let ours = scene.take().pop().expect("a SYN");
            let first = ours.seq.wrapping_add(1);
            scene.frame(&frame_to(ours.ports.0, &Say { ack: Some(first), ..syn }));
            (ours.ports.0, first)
        } else {
            (0..1 + u8::from(again)).for_each(|_| scene.say(syn));
            let first = scene.take().pop().expect("a SYN|ACK").seq.wrapping_add(1);
            (PORT, first)
        };
        let edge = usize::from(window);
        let held = BTreeMap::new();
        Peer { scene, beginning, random, port, first, next, got: 0, held, edge, acked: None }
    }

    fn say(&mut self, window: usize, payload: &[u8]) {
        let scale = self.beginning.scale.unwrap_or(0);
        let field = u16::try_from(window >> scale).unwrap_or(u16::MAX);
        self.edge = self.edge.max(self.got + (usize::from(field) << scale));
        let control = if payload.is_empty() { TcpControl::None } else { TcpControl::Psh };
        let ack = Some(self.first.wrapping_add(self.got as i32));
        let say = Say { control, seq: self.next, ack, window: field, payload, ..SAY };
        self.scene.frame(&frame_to(self.port, &say));
        self.next = self.next.wrapping_add(payload.len() as i32);
    }

    /// Takes what came, but for a part in 1,000 that is lost. Returns the bytes of data that were sent.
    fn take(&mut self, lost: u32) -> usize {
        let sent = self.scene.take();
        let bytes = sent.iter().map(|segment| segment.payload.len()).sum();
        for segment in sent {
            self.check(&segment);
            if self.random.below(1_000) < lost {
                continue;
            }
            self.acked = segment.ack;
            let at = segment.seq.wrapping_sub(self.first) as usize;
            if !segment.payload.is_empty() {
                let end = self.held.entry(at).or_default();
                *end = (at + segment.payload.len()).max(*end);
            }
        }
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() <= self.got) {
            self.got = self.got.max(entry.remove());
        }
        bytes
    }

    /// Every byte on the wire is the one that the gateway wrote at that place, within a window of the peer's but
    /// for what probes one that was shut.
    fn check(&self, segment: &Sent) {
        assert_ne!(segment.control, TcpControl::Rst);
        if segment.payload.is_empty() {
            return;
        }
        let at = segment.seq.wrapping_sub(self.first);
        assert!(at >= 0, "a byte before the first: {segment:?}");
        let (at, len) = (at as usize, segment.payload.len());
        assert!(len <= self.beginning.segment(), "a segment of {len}");
        // A window that shrinks on data in flight is probed by one of the peer's segments.
        let probe = usize::from(self.beginning.mss.unwrap_or(536));
        let probe = probe.next_multiple_of(1 << self.beginning.scale.unwrap_or(0));
        assert!(at + len <= LEN.min(self.edge + probe), "{at} + {len}");
        assert!(
            segment.payload.iter().enumerate().all(|(n, byte)| *byte == pattern(at + n)),
            "wrong at {at}"
        );
    }

    /// Takes everything, with windows that open, shut and shrink.
    fn receive(&mut self, lost: u32) {
        let most = (usize::from(u16::MAX) << self.beginning.scale.unwrap_or(0)).min(60_000) as u32;
        for _ in 0..ROUNDS {
            self.take(lost);
            if self.got == LEN {
                return;
            }
            let window = match self.random.below(10) {
                0 => 0,
                1 => self.random.below(2_000),
                _ => self.random.below(most),
            };
            if self.random.below(1_000) >= lost {
                self.say(window as usize, b"");
            }
            let pause = if self.random.below(8) == 0 { 3_000 } else { self.random.below(200) };
            self.scene.pass(Duration::from_millis(u64::from(pause)));
        }
        panic!("{} of {LEN} bytes came", self.got);
    }
}

fn run(beginning: Beginning, seed: u8, lost: u32) {
    let mut peer = Peer::new(beginning, seed);
    let window = usize::from(beginning.window);
    if !beginning.asked {
        if beginning.again {
            peer.scene.pass(Duration::from_millis(100));
        }
        // The segment that proves the peer carries data.
        peer.say(window, b"EHLO\r\n");
        assert_eq!(peer.scene.received(), b"EHLO\r\n");
    }
    peer.scene.pass(Duration::from_millis(200));
    assert_eq!(peer.take(0), 0, "nothing but ACKs before the gateway writes");
    assert_eq!(peer.acked, Some(peer.next), "what the peer said is acknowledged");
    peer.scene.write(&(0..LEN).map(pattern).collect::<Vec<u8>>());
    let (least, most) = beginning.flight();
    let first = peer.take(lost);
    assert!((least..=most).contains(&first), "{first} bytes at first, not {least} to {most}");
    peer.receive(lost);
    // Both sides close, and nothing is left in between.
    peer.say(60_000, b"");
    peer.scene.shut();
    peer.scene.take();
    let fin = Say { control: TcpControl::Fin, seq: peer.next, ..SAY };
    let ack = Some(peer.first.wrapping_add(LEN as i32 + 1));
    peer.scene.frame(&frame_to(peer.port, &Say { ack, ..fin }));
    peer.scene.touched();
    assert_eq!(peer.scene.host.ended(), [EndReason::Closed]);
}

fn beginnings() -> impl Strategy<Value = Beginning> {
    let window =
        prop_oneof![Just(0), Just(1), 0..1_500_u16, 1_400..5_000_u16, 5_000..15_000_u16, any::<u16>()];
    let mss = prop_oneof![Just(None), Just(Some(1_460)), Just(Some(88)), (88..9_000_u16).prop_map(Some)];
    let scale = prop_oneof![Just(None), (0..=14_u8).prop_map(Some)];
    (any::<bool>(), prop::bool::weighted(0.2), window, mss, scale)
        .prop_map(|(asked, again, window, mss, scale)| Beginning { asked, again, window, mss, scale })
}

const USUAL: Beginning =
    Beginning { asked: false, again: false, window: 64_240, mss: Some(1_460), scale: Some(7) };

#[test]
fn ten_segments_and_not_a_byte_more() {
    for asked in [false, true] {
        assert_eq!(Beginning { asked, ..USUAL }.flight(), (14_600, 14_600));
        run(Beginning { asked, ..USUAL }, 1, 0);
        run(Beginning { asked, again: true, ..USUAL }, 1, 0);
    }
}

#[test]
fn a_window_smaller_than_a_segment_leaves_nothing_behind() {
    for asked in [false, true] {
        for window in [0, 1, 536, 1_459, 1_460, 2_047, 2_048, 2_049, 3_507, 3_508] {
            run(Beginning { asked, window, scale: None, ..USUAL }, 1, 0);
            run(Beginning { asked, window, ..USUAL }, 1, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_arrives_is_what_was_written(beginning in beginnings(), seed in any::<u8>(), lost in 0..150_u32) {
        run(beginning, seed, lost);
    }
}
