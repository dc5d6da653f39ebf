//! The whole core: a peer that knows our numbers and says anything with them, a gateway that does anything,
//! and time that passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::control::{Class, Configure, FlowId, Ipv4Addressing, RequestId, ToNet};
use smoltcp::time::{Duration, Instant};
use sys::frames::Checksum;

#[path = "../world.rs"]
mod world;

fuzz_target!(|bytes: &[u8]| {
    let mut stack = world::stack();
    let mut now = Instant::from_secs(1_000);
    let ipv4 = Ipv4Addressing::Static(vec!["192.0.2.10/24".parse().expect("an address")]);
    world::configure(&mut stack, now, Configure { ipv4, ..Configure::default() });
    let mut peer = world::Peer::default();
    for step in bytes.chunks_exact(8) {
        let &[what, a, b, c, d, e, f, g] = step else { break };
        match what % 16 {
            0..=9 => {
                let frame = peer.segment([what, a, b, c, d, e, f, g]);
                stack.frame_in(now, &frame, Checksum::Trusted);
            }
            10 => now += Duration::from_millis(u64::from(a) * u64::from(b)),
            11 => now += Duration::from_secs(u64::from(a)),
            12 => world::write(&mut stack, usize::from(a) << (b % 8)),
            13 => world::close(&mut stack, a),
            14 => {
                let class = if a % 2 == 0 { Class::Bulk } else { Class::Interactive };
                let flow = FlowId(u64::from(b) << 20);
                stack.message_in(now, if c % 4 == 0 { ToNet::Reset { flow } } else { ToNet::Class { flow, class } });
            }
            _ => {
                let to = ([192, 0, 2, 1], u16::from(a) + 1).into();
                stack.message_in(now, ToNet::Connect { id: RequestId(1), to, from: None, deadline_ms: 5_000 });
            }
        }
        for frame in world::settle(&mut stack, now) {
            peer.heard(&frame);
        }
    }
    // Whatever was said, everything ends.
    stack.stop(now);
    world::settle(&mut stack, now);
    world::settle(&mut stack, now + Duration::from_secs(100));
    assert!(stack.is_empty());
});
