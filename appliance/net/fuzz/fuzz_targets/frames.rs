//! Frames as they are: the filter, ARP, ND, ICMP, UDP, router advertisements, with checksums taken on trust
//! so that mutations reach what lies behind them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::control::{Configure, Ipv4Addressing};
use smoltcp::time::Instant;
use sys::frames::Checksum;

#[path = "../world.rs"]
mod world;

fuzz_target!(|bytes: &[u8]| {
    let mut stack = world::stack();
    let mut now = Instant::from_secs(1_000);
    let ipv4 = Ipv4Addressing::Static(vec!["192.0.2.10/24".parse().expect("an address")]);
    world::configure(&mut stack, now, Configure { ipv4, ..Configure::default() });
    let mut rest = bytes;
    while let [high, low, after @ ..] = rest {
        let len = (usize::from(*high) << 8 | usize::from(*low)) % 1_600;
        let (frame, next) = after.split_at(len.min(after.len()));
        rest = next;
        let mut frame = frame.to_vec();
        world::mend(&mut frame);
        stack.frame_in(now, &frame, Checksum::Trusted);
        now += smoltcp::time::Duration::from_millis(7);
        world::settle(&mut stack, now);
    }
});
