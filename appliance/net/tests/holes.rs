//! What smoltcp alone does not do, by the numbers under which each was found; and what a stranger may not do.

#![allow(clippy::unwrap_used, reason = "tests")]

mod simulation;

use net::control::{Class, EndReason, FailReason, FromNet, RequestId, TcpPhase, ToNet};
use simulation::peer::{OUR, PEER, PEER_ISN, SAY, Say, Scene, icmp};
use smoltcp::time::Duration;
use smoltcp::wire::*;

/// The peer's number after its SYN and `got` bytes.
fn peer(got: i32) -> i32 {
    PEER_ISN.wrapping_add(1).wrapping_add(got)
}

fn bytes(sent: &[simulation::peer::Sent]) -> usize {
    sent.iter().map(|segment| segment.payload.len()).sum()
}

#[test]
fn hole_1_a_reset_inside_the_window_is_challenged_not_believed() {
    let (mut scene, isn) = Scene::open();
    scene.take();
    scene.say(Say { control: TcpControl::Rst, seq: peer(5_000), ack: Some(isn), ..SAY });
    let answer = scene.take();
    assert_eq!((answer.len(), answer[0].control, answer[0].ack), (1, TcpControl::None, Some(peer(0))));
    scene.say(Say { control: TcpControl::Rst, seq: peer(90_000), ack: Some(isn), ..SAY });
    assert!(scene.take().is_empty() && scene.host.ended().is_empty());
    scene.say(Say { control: TcpControl::Rst, seq: peer(0), ..SAY });
    assert_eq!(scene.host.ended(), [EndReason::PeerReset]);
}

#[test]
fn hole_2_a_repeated_syn_gets_the_same_answer_and_one_connection() {
    let mut scene = Scene::new();
    let syn = Say { control: TcpControl::Syn, seq: PEER_ISN, mss: Some(1_460), ..SAY };
    scene.say(syn);
    scene.say(syn);
    let answers = scene.take();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], answers[1]);
    let isn = answers[0].seq.wrapping_add(1);
    scene.say(Say { seq: peer(0), ack: Some(isn), ..SAY });
    scene.say(syn);
    assert_eq!(scene.host.pipes.len(), 1);
    // RFC 5961 §4.2: in an open connection a SYN is challenged.
    let answer = scene.take().pop().unwrap();
    assert_eq!((answer.control, answer.ack), (TcpControl::None, Some(peer(0))));
}

#[test]
fn hole_2_a_flood_of_syns_refuses_nobody() {
    let mut scene = Scene::new();
    for n in 0..20_000_u32 {
        let source = std::net::Ipv4Addr::from(0x0b00_0000 + n * 16);
        let port = 1_000 + (n % 7) as u16;
        scene.say(Say { source, port, control: TcpControl::Syn, seq: n as i32, mss: Some(1_460), ..SAY });
    }
    assert!(scene.host.stack.counters().get("tcp.cookies_sent") > 10_000);
    scene.take();
    scene.say(Say { control: TcpControl::Syn, seq: PEER_ISN, mss: Some(1_460), scale: Some(7), ..SAY });
    let answer = scene.take().pop().expect("a cookie");
    assert_eq!((answer.scale, answer.sack), (None, false));
    scene.pass(Duration::from_secs(3));
    let isn = answer.seq.wrapping_add(1);
    scene.say(Say { seq: peer(0), ack: Some(isn), payload: b"EHLO\r\n", control: TcpControl::Psh, ..SAY });
    assert_eq!(scene.received(), b"EHLO\r\n");
    scene.pass(Duration::from_secs(30));
    assert!(scene.host.stack.counters().get("tcp.half_open_given_up") > 0);
}

#[test]
fn hole_3_a_syn_without_an_ack_is_forgotten_after_fifteen_seconds() {
    let mut scene = Scene::new();
    scene.say(Say { control: TcpControl::Syn, seq: PEER_ISN, ..SAY });
    scene.pass(Duration::from_secs(3_600));
    let answers = scene.take();
    assert_eq!(answers.len(), 4);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert!(scene.host.stack.is_empty() && scene.host.pipes.is_empty());
}

#[test]
fn hole_4_numbers_cannot_be_foretold_from_numbers() {
    let mut scene = Scene::new();
    let mut isn = |port| {
        scene.say(Say { port, control: TcpControl::Syn, seq: 1, ..SAY });
        scene.take().pop().unwrap().seq
    };
    let numbers: Vec<i32> = (1..=20).map(|n| isn(10_000 + n)).collect();
    let mut steps: Vec<i32> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    steps.sort_unstable();
    steps.dedup();
    assert_eq!(steps.len(), 19);
}

#[test]
fn hole_5_an_ack_for_what_was_never_sent_loses_nothing() {
    let (mut scene, isn) = Scene::open();
    scene.take();
    scene.write(&[b'x'; 20_000]);
    let sent = bytes(&scene.take()) as i32;
    assert!(sent < 20_000);
    scene.say(Say { seq: peer(0), ack: Some(isn.wrapping_add(20_000)), window: 15_000, ..SAY });
    let challenge = scene.take();
    assert_eq!((challenge.len(), bytes(&challenge)), (1, 0));
    let mut got = sent;
    while got < 20_000 {
        scene.say(Say { seq: peer(0), ack: Some(isn.wrapping_add(got)), window: 15_000, ..SAY });
        scene.pass(Duration::from_secs(2));
        let more = scene.take();
        let far = more.iter().map(|s| s.seq.wrapping_sub(isn) + s.payload.len() as i32).max().unwrap();
        assert!(far > got);
        got = far;
    }
    assert_eq!(got, 20_000);
}

#[test]
fn hole_6_data_that_was_overtaken_by_an_ack_is_taken() {
    let (mut scene, isn) = Scene::open();
    scene.write(&[b'y'; 1_000]);
    scene.say(Say { seq: peer(5), ack: Some(isn.wrapping_add(1_000)), ..SAY });
    scene.say(Say { control: TcpControl::Psh, seq: peer(0), ack: Some(isn), payload: b"hello", ..SAY });
    assert_eq!(scene.received(), b"hello");
}

#[test]
fn hole_7_a_window_shut_on_data_in_flight_is_probed_and_has_its_deadline() {
    let (mut scene, isn) = Scene::open();
    scene.write(&[b'y'; 1_000]);
    scene.take();
    scene.say(Say { seq: peer(0), ack: Some(isn), window: 0, ..SAY });
    scene.pass(Duration::from_secs(60));
    assert!(scene.take().iter().filter(|segment| !segment.payload.is_empty()).count() >= 3);
    scene.pass(Duration::from_secs(61));
    assert_eq!(scene.host.ended(), [EndReason::TimedOut(TcpPhase::ZeroWindow)]);
    assert_eq!(scene.take().pop().unwrap().control, TcpControl::Rst);
}

#[test]
fn hole_7_a_window_that_opens_again_lets_everything_through() {
    let (mut scene, isn) = Scene::open();
    scene.write(&[b'y'; 3_000]);
    scene.say(Say { seq: peer(0), ack: Some(isn), window: 0, ..SAY });
    scene.pass(Duration::from_secs(50));
    scene.take();
    let mut got = 0_i32;
    for _ in 0..10 {
        scene.say(Say { seq: peer(0), ack: Some(isn.wrapping_add(got)), window: 15_000, ..SAY });
        scene.pass(Duration::from_secs(5));
        for segment in scene.take() {
            let at = segment.seq.wrapping_sub(isn);
            if at <= got {
                got = got.max(at + segment.payload.len() as i32);
            }
        }
    }
    assert_eq!(got, 3_000);
    assert!(scene.host.ended().is_empty());
}

#[test]
fn hole_8_a_lost_fin_is_sent_again_in_spite_of_duplicate_acks() {
    let (mut scene, isn) = Scene::open();
    scene.shut();
    assert_eq!(scene.take().last().unwrap().control, TcpControl::Fin);
    for _ in 0..5 {
        scene.say(Say { seq: peer(0), ack: Some(isn), window: 15_000, ..SAY });
    }
    scene.pass(Duration::from_secs(30));
    let fins = scene.take().iter().filter(|segment| segment.control == TcpControl::Fin).count();
    assert!(fins >= 2, "{fins}");
    scene.pass(Duration::from_secs(31));
    assert_eq!(scene.host.ended(), [EndReason::TimedOut(TcpPhase::FinWait1)]);
}

#[test]
fn hole_9_the_other_half_of_a_closed_connection_has_a_deadline() {
    let (mut scene, isn) = Scene::open();
    scene.shut();
    scene.say(Say { seq: peer(0), ack: Some(isn.wrapping_add(1)), ..SAY });
    scene.pass(Duration::from_secs(50));
    // Data keeps it alive.
    let data =
        Say { control: TcpControl::Psh, seq: peer(0), ack: Some(isn.wrapping_add(1)), payload: b"x", ..SAY };
    scene.say(data);
    scene.pass(Duration::from_secs(59));
    assert!(scene.host.ended().is_empty());
    scene.pass(Duration::from_secs(2));
    assert_eq!(scene.host.ended(), [EndReason::TimedOut(TcpPhase::FinWait2)]);
}

#[test]
fn hole_10_a_silent_client_is_left_alone() {
    let (mut scene, isn) = Scene::open();
    scene.pass(Duration::from_secs(24 * 3_600));
    assert!(scene.host.ended().is_empty());
    scene.say(Say { control: TcpControl::Psh, payload: b"QUIT\r\n", seq: peer(0), ack: Some(isn), ..SAY });
    assert_eq!(scene.received(), b"QUIT\r\n");
}

#[test]
fn hole_11_what_came_before_the_end_reaches_a_slow_gateway() {
    let (mut scene, isn) = Scene::open();
    scene.host.pipe().borrow_mut().capacity = 3;
    scene.shut();
    let fin = Say { control: TcpControl::Fin, seq: peer(0), ack: Some(isn.wrapping_add(1)), ..SAY };
    scene.say(Say { payload: b"late reply", ..fin });
    scene.pass(Duration::from_secs(300));
    let mut all = Vec::new();
    for _ in 0..5 {
        all.extend(scene.host.pipe().borrow_mut().received.drain(..));
        scene.touched();
        scene.pass(Duration::from_secs(60));
    }
    assert_eq!(all, b"late reply");
    assert!(scene.host.pipe().borrow().finished);
    assert_eq!(scene.host.ended(), [EndReason::Closed]);
    scene.pass(Duration::from_secs(61));
    assert!(scene.host.stack.is_empty());
}

#[test]
fn holes_12_and_13_every_connection_starts_afresh_and_politely() {
    let mut scene = Scene::new();
    let mut first_flight = |port| {
        scene.handshake(port);
        scene.take();
        let flow = scene.host.pipes.keys().max().copied().unwrap();
        scene.host.pipes[&flow].0.borrow_mut().to_send.extend([b'y'; 30_000]);
        scene.touched();
        let sent = bytes(&scene.take());
        scene.pass(Duration::from_secs(40)); // Timers run out and back off.
        scene.say(Say { port, control: TcpControl::Rst, seq: peer(0), ..SAY });
        sent
    };
    let (first, second) = (first_flight(40_001), first_flight(40_001));
    assert_eq!(first, second);
    assert_eq!(first, 10 * 1_460, "RFC 6928 §2");
}

#[test]
fn hole_14_what_nobody_asked_for_is_answered_so_often_and_no_more() {
    let mut scene = Scene::new();
    for n in 0..1_000_u32 {
        let source = std::net::Ipv4Addr::from(0x0b00_0000 + n);
        scene.say(Say { source, seq: 1, ack: Some(1), ..SAY });
        scene.frame(&icmp(source, &Icmpv4Repr::EchoRequest { ident: 1, seq_no: 1, data: b"ping" }));
    }
    assert_eq!(scene.take().iter().filter(|segment| segment.control == TcpControl::Rst).count(), 100);
    assert_eq!(scene.others.len(), 100 + 1, "echo replies, and a probe of our address");
    // One source gets a tenth.
    scene.pass(Duration::from_secs(1));
    scene.take();
    (0..1_000).for_each(|n| scene.say(Say { seq: n, ack: Some(1), ..SAY }));
    assert_eq!(scene.take().len(), 10);
    // RST never answers RST.
    scene.say(Say { control: TcpControl::Rst, seq: 1, ack: Some(1), ..SAY });
    assert!(scene.take().is_empty());
}

#[test]
fn hole_14_challenges_are_limited_for_each_flow() {
    let (mut scene, isn) = Scene::open();
    scene.take();
    (0..500)
        .for_each(|n| scene.say(Say { control: TcpControl::Rst, seq: peer(100 + n), ack: Some(isn), ..SAY }));
    assert_eq!(scene.take().len(), 10);
}

/// An ICMPv4 error of a router, about a segment of ours.
fn icmp_error(code: u8, mtu: u16, sent: &simulation::peer::Sent, seq: i32) -> Vec<u8> {
    let mut tcp = [0; 8];
    tcp[..2].copy_from_slice(&sent.ports.0.to_be_bytes());
    tcp[2..4].copy_from_slice(&sent.ports.1.to_be_bytes());
    tcp[4..].copy_from_slice(&seq.to_be_bytes());
    let std::net::IpAddr::V4(to) = sent.to else { panic!("IPv4") };
    let header =
        Ipv4Repr { src_addr: OUR, dst_addr: to, next_header: IpProtocol::Tcp, payload_len: 8, hop_limit: 60 };
    let reason = Icmpv4DstUnreachable::from(code);
    let mut frame = icmp([203, 0, 113, 1].into(), &Icmpv4Repr::DstUnreachable { reason, header, data: &tcp });
    let mut packet = Icmpv4Packet::new_unchecked(&mut frame[34..]);
    packet.set_echo_seq_no(mtu); // Where the next hop's MTU lies.
    packet.fill_checksum();
    frame
}

#[test]
fn hole_15_too_big_is_obeyed_only_with_proof() {
    let (mut scene, isn) = Scene::open();
    scene.take();
    scene.write(&[b'y'; 20_000]);
    let sent = scene.take();
    assert_eq!(sent[0].payload.len(), 1_460);
    scene.frame(&icmp_error(4, 1_300, &sent[0], isn.wrapping_sub(9_000)));
    assert_eq!(scene.host.stack.counters().get("drops.icmp.number"), 1);
    scene.frame(&icmp_error(4, 1_300, &sent[0], sent[0].seq));
    scene.pass(Duration::from_secs(5));
    let again = scene.take();
    assert!(!again.is_empty() && again.iter().all(|segment| segment.payload.len() <= 1_260));
    // Less than any path takes is taken as the least.
    scene.frame(&icmp_error(4, 100, &sent[0], sent[0].seq));
    scene.pass(Duration::from_secs(20));
    let again = scene.take();
    assert_eq!(again.iter().map(|segment| segment.payload.len()).max(), Some(576 - 40));
}

#[test]
fn hole_15_a_black_hole_is_found_without_icmp() {
    let (mut scene, _) = Scene::open();
    scene.write(&[b'y'; 20_000]);
    scene.take();
    scene.pass(Duration::from_secs(30));
    assert!(scene.take().iter().any(|segment| segment.payload.len() == 1_200));
}

#[test]
fn hole_15_unreachable_ends_an_attempt_and_not_a_connection() {
    let (mut scene, _) = Scene::open();
    scene.take();
    scene.write(b"x");
    let sent = scene.take().pop().unwrap();
    scene.frame(&icmp_error(3, 0, &sent, sent.seq));
    assert!(scene.host.ended().is_empty());
    let to = (PEER, 25).into();
    let ask = ToNet::Connect { id: RequestId(1), to, from: None, deadline_ms: 30_000 };
    scene.host.stack.message_in(scene.now, ask);
    scene.touched();
    let syn = scene.take().pop().unwrap();
    assert_eq!(syn.control, TcpControl::Syn);
    scene.frame(&icmp_error(1, 0, &syn, syn.seq)); // Soft: the host may come back.
    assert!(!scene.host.said.iter().any(|message| matches!(message, FromNet::Failed { .. })));
    scene.frame(&icmp_error(3, 0, &syn, syn.seq));
    let failed = FromNet::Failed { id: RequestId(1), reason: FailReason::Unreachable { kind: 3, code: 3 } };
    assert_eq!(scene.host.said.last(), Some(&failed));
}

#[test]
fn hole_16_what_makes_smoltcp_panic_cannot_be_built() {
    const { assert!(net::tcp::budget::MOST <= 1 << 30) };
    const { assert!(net::ip::HOP_LIMIT > 0) };
}

/// A connection in DATA whose gateway reads nothing, filled by the peer to the last byte that we offered.
/// Returns our number and how much the peer sent.
fn filled() -> (Scene, i32, i32) {
    let (mut scene, isn) = Scene::open();
    scene.host.pipe().borrow_mut().capacity = 0;
    scene.host.stack.message_in(scene.now, ToNet::Class { flow: scene.host.flow(), class: Class::Bulk });
    scene.touched();
    let offered = |sent: &[simulation::peer::Sent]| {
        let edge = |sent: &simulation::peer::Sent| {
            sent.ack.unwrap().wrapping_add(i32::from(sent.window) << OUR_SCALE).wrapping_sub(peer(0))
        };
        sent.iter().map(edge).max()
    };
    let (mut got, mut edge) = (0, 16_384);
    while got < edge {
        // Odd sizes: what we offer is a multiple of eight, and what we acknowledge is not.
        let payload = vec![b'x'; (edge - got).min(1_459) as usize];
        scene.say(Say { seq: peer(got), ack: Some(isn), payload: &payload, window: 15_000, ..SAY });
        got += payload.len() as i32;
        scene.pass(Duration::from_millis(20));
        edge = offered(&scene.take()).map_or(edge, |now| now.max(edge));
    }
    (scene, isn, got)
}

/// The shift that our SYN|ACK names.
const OUR_SCALE: u8 = 3;

#[test]
fn hole_17_what_was_offered_fits_into_the_buffer_to_the_last_byte() {
    let (mut scene, isn, got) = filled();
    assert!((net::tcp::budget::MOST as i32 - 16..=net::tcp::budget::MOST as i32).contains(&got), "{got}");
    scene.say(Say { seq: peer(got), ack: Some(isn), window: 15_000, ..SAY });
    scene.pass(Duration::from_secs(1));
    scene.host.pipe().borrow_mut().capacity = usize::MAX;
    scene.touched();
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.received().len() as i32, got);
}

#[test]
fn hole_17_a_full_buffer_does_not_lose_the_peers_acks() {
    let (mut scene, isn, got) = filled();
    // Both sides full, as with a gateway that echoes: only the peer's ACKs can set it free.
    scene.write(&vec![b'y'; 200_000]);
    let mut acked = 0_i32;
    while acked < 100_000 {
        let sent = scene.take();
        let far = |s: &simulation::peer::Sent| s.seq.wrapping_sub(isn).wrapping_add(s.payload.len() as i32);
        let next = sent.iter().map(far).max().unwrap_or(0).max(acked);
        assert!(next > acked, "stands still at {acked}");
        acked = next;
        // The ACK comes with a byte for which there is no room.
        let ack = Some(isn.wrapping_add(acked));
        scene.say(Say { seq: peer(got), ack, window: 15_000, payload: b"z", ..SAY });
        scene.pass(Duration::from_millis(500));
    }
    assert_eq!(scene.received(), []);
}

#[test]
fn hole_18_acks_carry_the_next_number_while_data_is_sent_again() {
    let (mut scene, isn) = Scene::open();
    scene.take();
    scene.write(&[b'y'; 6_000]);
    let next = scene.take().iter().map(|s| s.seq.wrapping_add(s.payload.len() as i32)).max().unwrap();
    // It arrived, and every ACK of it was lost.
    scene.pass(Duration::from_secs(5));
    assert!(scene.take().iter().any(|segment| segment.seq == isn), "sent again from the start");
    scene.say(Say { seq: peer(0), ack: Some(isn), payload: b"x", window: 15_000, ..SAY });
    scene.pass(Duration::from_millis(20));
    let acks: Vec<i32> = scene.take().iter().filter(|s| s.payload.is_empty()).map(|s| s.seq).collect();
    assert!(!acks.is_empty() && acks.iter().all(|seq| *seq == next), "{acks:?}, {next}");
}

#[test]
fn hole_18_acks_lie_in_a_window_that_was_shut_on_data_in_flight() {
    let (mut scene, isn) = Scene::open();
    scene.write(&[b'y'; 1_000]);
    scene.take();
    scene.say(Say { seq: peer(0), ack: Some(isn), window: 0, payload: b"x", ..SAY });
    scene.pass(Duration::from_millis(20));
    let acks: Vec<i32> = scene.take().iter().filter(|s| s.payload.is_empty()).map(|s| s.seq).collect();
    assert_eq!(acks, [isn]);
}

#[test]
fn smoltcp_was_compiled_with_our_limits() {
    assert_eq!(smoltcp::config::ASSEMBLER_MAX_SEGMENT_COUNT, 32);
    assert_eq!(smoltcp::config::IFACE_MAX_ADDR_COUNT, 8);
    assert_eq!(smoltcp::config::IFACE_MAX_ROUTE_COUNT, 4);
}

#[test]
fn a_connection_asked_for_opens_fails_and_times_out() {
    let mut scene = Scene::new();
    let ask = |id, port| ToNet::Connect {
        id: RequestId(id),
        to: (PEER, port).into(),
        from: None,
        deadline_ms: 10_000,
    };
    let syn = |scene: &mut Scene, id| {
        scene.host.stack.message_in(scene.now, ask(id, 40_000));
        scene.host.settle(scene.now);
        scene.pass(Duration::ZERO);
        scene.take().pop().expect("a SYN")
    };
    let first = syn(&mut scene, 1);
    assert_eq!((first.control, first.mss, first.window), (TcpControl::Syn, Some(1_460), 16_384));
    assert!(first.ports.0 >= 16_384 && first.ports.1 == 40_000);
    // A RST without our number does nothing, with it the attempt fails.
    scene.frame(&frame_to(first.ports.0, TcpControl::Rst, 0, Some(first.seq)));
    assert!(!scene.host.said.iter().any(|message| matches!(message, FromNet::Failed { .. })));
    scene.frame(&frame_to(first.ports.0, TcpControl::Rst, 0, Some(first.seq.wrapping_add(1))));
    let failed = |id, reason| FromNet::Failed { id: RequestId(id), reason };
    assert_eq!(scene.host.said.last(), Some(&failed(1, FailReason::Refused)));
    let second = syn(&mut scene, 2);
    assert_ne!(second.ports.0, first.ports.0);
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.host.said.last(), Some(&failed(2, FailReason::TimedOut)));
    let third = syn(&mut scene, 3);
    scene.frame(&frame_to(third.ports.0, TcpControl::Syn, 77, Some(third.seq.wrapping_add(1))));
    assert!(matches!(scene.host.said.last(), Some(FromNet::Connected { id: RequestId(3), .. })));
    assert_eq!(scene.take().pop().map(|ack| (ack.control, ack.ack)), Some((TcpControl::None, Some(78))));
}

/// A segment of port 40,000 to a port of ours.
fn frame_to(port: u16, control: TcpControl, seq: i32, ack: Option<i32>) -> Vec<u8> {
    simulation::peer::frame_to(port, &Say { control, seq, ack, mss: Some(1_460), ..SAY })
}
