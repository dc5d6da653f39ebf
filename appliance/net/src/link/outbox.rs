//! Frames on their way to the device, one after the other in one buffer.

use std::ops::Range;

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};

/// Bytes that may wait for the device; more is dropped, as a full wire would. Several turns of work.
pub const OUTBOX_MAX: usize = 8 << 20;

/// The frames of one turn.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    frames: Vec<Range<usize>>,
    dropped: u64,
}

impl Outbox {
    /// Adds a frame whose payload of `len` bytes is written by `fill`.
    pub fn frame(&mut self, repr: &EthernetRepr, len: usize, fill: impl FnOnce(&mut [u8])) {
        let start = self.bytes.len();
        let total = EthernetFrame::<&[u8]>::buffer_len(len);
        if start + total > OUTBOX_MAX {
            self.dropped += 1;
            return;
        }
        self.bytes.resize(start + total, 0);
        let mut frame = EthernetFrame::new_unchecked(&mut self.bytes[start..]);
        repr.emit(&mut frame);
        fill(frame.payload_mut());
        self.frames.push(start..start + total);
    }

    /// Adds a frame as it is.
    pub fn raw(&mut self, frame: &[u8]) {
        let start = self.bytes.len();
        if start + frame.len() > OUTBOX_MAX {
            self.dropped += 1;
            return;
        }
        self.bytes.extend_from_slice(frame);
        self.frames.push(start..self.bytes.len());
    }

    /// The frames, oldest first.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.frames.iter().map(|range| &self.bytes[range.clone()])
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Frames that found no room since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets the oldest `count` frames, those that the device took.
    pub fn sent(&mut self, count: usize) {
        if count >= self.frames.len() {
            self.frames.clear();
            self.bytes.clear();
            // A burst's memory goes back; a turn's stays.
            self.bytes.shrink_to(1 << 20);
        } else {
            self.frames.drain(..count);
        }
    }
}

/// The Ethernet header from `source` to `target`.
pub fn header(source: EthernetAddress, target: EthernetAddress, ethertype: EthernetProtocol) -> EthernetRepr {
    EthernetRepr { src_addr: source, dst_addr: target, ethertype }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_drops() {
        let mut outbox = Outbox::default();
        for _ in 0..OUTBOX_MAX / 1_000 + 5 {
            outbox.raw(&[0; 1_000]);
        }
        assert!(outbox.len() <= OUTBOX_MAX && outbox.dropped() > 0);
        outbox.sent(1);
        assert!(!outbox.is_empty());
        outbox.sent(usize::MAX);
        assert!(outbox.is_empty());
    }
}
