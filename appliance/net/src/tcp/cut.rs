//! Segments of up to 64 kB are cut to what the path takes, and summed.

use smoltcp::time::Instant;
use smoltcp::wire::{IpProtocol, TcpPacket};

use super::segment::FourTuple;
use crate::ip::{self, Header};
use crate::link::Sender;

/// Sends `tcp`, a segment with its header complete but for the checksum, in pieces of at most `size` bytes of
/// data. Returns how many.
pub fn send(sender: &mut Sender<'_>, now: Instant, tuple: &FourTuple, tcp: &[u8], size: usize) -> usize {
    let Ok(whole) = TcpPacket::new_checked(tcp) else { return 0 };
    let header_len = usize::from(whole.header_len());
    let (head, data) = tcp.split_at(header_len.min(tcp.len()));
    let seq = whole.seq_number();
    let size = size.max(1);
    let pieces = data.len().div_ceil(size).max(1);
    let (source, target) = (tuple.local.ip(), tuple.peer.ip());
    let header = Header { source, target, protocol: IpProtocol::Tcp };
    for piece in 0..pieces {
        let start = piece * size;
        let end = (start + size).min(data.len());
        let bytes = data.get(start..end).unwrap_or_default();
        let sent = ip::send(sender, now, header, header_len + bytes.len(), |out| {
            let (out_head, out_data) = out.split_at_mut(header_len);
            out_head.copy_from_slice(head);
            out_data.copy_from_slice(bytes);
            let mut segment = TcpPacket::new_unchecked(out);
            segment.set_seq_number(seq + start);
            if piece + 1 < pieces {
                segment.set_fin(false);
                segment.set_psh(false);
            }
            segment.fill_checksum(&source.into(), &target.into());
        });
        if !sent {
            return piece;
        }
    }
    pieces
}
