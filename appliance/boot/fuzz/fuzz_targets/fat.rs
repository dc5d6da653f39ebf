//! A hostile seed volume: no panic, nothing longer than asked for, no endless walk.
#![no_main]

use boot::fat::Volume;
use embedded_io::{ErrorType, Read, Seek, SeekFrom};
use libfuzzer_sys::fuzz_target;

/// Longest file that is asked for, bytes.
const MAX: u64 = 64 << 10;
/// The device's size; what the input does not say is zero.
const DEVICE: u64 = 64 << 20;
/// A directory of 65,536 entries twice, their clusters' numbers, and the file's.
const READS_MAX: usize = 300_000;

struct Device<'a> {
    bytes: &'a [u8],
    at: u64,
    reads: usize,
}

impl ErrorType for Device<'_> {
    type Error = core::convert::Infallible;
}

impl Read for Device<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.reads += 1;
        assert!(self.reads < READS_MAX, "an endless walk");
        let n = buffer.len().min(DEVICE.saturating_sub(self.at) as usize);
        for place in &mut buffer[..n] {
            *place = self.bytes.get(self.at as usize).copied().unwrap_or(0);
            self.at += 1;
        }
        Ok(n)
    }
}

impl Seek for Device<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Self::Error> {
        if let SeekFrom::Start(at) = to {
            self.at = at;
        }
        Ok(self.at)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut volume) = Volume::open(Device { bytes, at: 0, reads: 0 }) else { return };
    let _ = volume.is_labelled("POSTERN");
    if let Ok(text) = volume.read("postern.toml", MAX) {
        assert!(text.len() as u64 <= MAX);
    }
});
