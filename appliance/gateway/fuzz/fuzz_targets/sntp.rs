//! Answers of a hostile time server: no panic, and none without the cookie is believed.
#![no_main]

use gateway::time::packet::{Asked, read};
use libfuzzer_sys::fuzz_target;
use store::Timestamp;

fuzz_target!(|data: &[u8]| {
    let asked = Asked { cookie: *b"\x01\x02\x03\x04\x05\x06\x07\x08", at: Timestamp::from_unix_seconds(1_795_000_000) };
    let now = Timestamp::from_unix_seconds(1_795_000_001);
    let floor = Timestamp::from_unix_seconds(1_793_491_200);
    let plain = read(data, &asked, now, floor);
    let mut ours = data.to_vec();
    if ours.len() >= 48 {
        if ours[24..32] != asked.cookie {
            assert!(plain.is_err());
        }
        ours[24..32].copy_from_slice(&asked.cookie);
        if let Ok(sample) = read(&ours, &asked, now, floor) {
            assert!((0..=2_000_000).contains(&sample.delay));
        }
    }
});
