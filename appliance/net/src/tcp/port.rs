//! The device that smoltcp sees: one packet in, some packets out, no checksums, segments of up to 64 kB.

use std::num::NonZeroUsize;

use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

/// The largest that smoltcp hands over at once; the cutter makes segments of it.
pub const SUPER_SEGMENT: NonZeroUsize = NonZeroUsize::new(65_535).expect("not zero");

/// Lives for one call of smoltcp.
#[derive(Debug)]
pub struct Port<'a> {
    pub input: Option<&'a [u8]>,
    pub output: &'a mut Output,
    pub mtu: usize,
    /// Packets that smoltcp may still hand over.
    pub budget: usize,
}

/// Packets that smoltcp handed over, in one buffer that is used again and again.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    ends: Vec<(usize, Option<u16>)>,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each packet, with the size to cut its payload to.
    pub fn packets(&mut self) -> impl Iterator<Item = (&mut [u8], Option<u16>)> {
        let mut rest = &mut self.bytes[..];
        let mut start = 0;
        self.ends.iter().map(move |(end, cut)| {
            let (packet, after) = std::mem::take(&mut rest).split_at_mut(end - start);
            (rest, start) = (after, *end);
            (packet, *cut)
        })
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[derive(Debug)]
pub struct Received<'a>(&'a [u8]);
#[derive(Debug)]
pub struct Transmit<'a>(&'a mut Output, Option<u16>);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        work(self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, work: F) -> R {
        let start = self.0.bytes.len();
        self.0.bytes.resize(start + len, 0);
        let result = work(&mut self.0.bytes[start..]);
        self.0.ends.push((start + len, self.1));
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.1 = meta.segmentation_offload_size.map(|size| size.get());
    }
}

impl<'p> Device for Port<'p> {
    type RxToken<'a>
        = Received<'p>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'p>, Transmit<'_>)> {
        Some((Received(self.input.take()?), Transmit(self.output, None)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        self.budget = self.budget.checked_sub(1)?;
        Some(Transmit(self.output, None))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities.segmentation.tcpv4 = Some(SUPER_SEGMENT);
        // Not for IPv6: smoltcp 0.14 drops what is larger than the MTU there, without a word.
        capabilities.segmentation.tcpv6 = None;
        capabilities
    }
}
