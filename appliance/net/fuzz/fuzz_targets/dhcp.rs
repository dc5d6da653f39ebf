//! A DHCP server that says anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::control::Configure;
use smoltcp::time::{Duration, Instant};
use sys::frames::Checksum;

#[path = "../world.rs"]
mod world;

fuzz_target!(|bytes: &[u8]| {
    let mut stack = world::stack();
    let mut now = Instant::from_secs(1_000);
    let mut frames = world::configure(&mut stack, now, Configure::default());
    let mut asked = [0; 4];
    let mut rest = bytes;
    while let [wait, kind, len, after @ ..] = rest {
        let (said, next) = after.split_at(usize::from(*len).min(after.len()));
        rest = next;
        now += Duration::from_secs(u64::from(*wait) * 8);
        frames.extend(world::settle(&mut stack, now));
        asked = world::transaction(&frames).unwrap_or(asked);
        let frame = world::dhcp_answer(*kind, asked, said);
        stack.frame_in(now, &frame, Checksum::Trusted);
        frames = world::settle(&mut stack, now);
        let addresses = stack.addresses();
        assert!(addresses.usable().iter().all(|net| net::address::is_usable(net.addr())));
    }
});
