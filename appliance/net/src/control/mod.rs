//! What `net` and `gateway` say to each other over a `SOCK_SEQPACKET` pair: one message a packet, streams as
//! descriptors beside it (`SCM_RIGHTS`).
//!
//! Sans-I/O: types, [`encode`] and [`decode`]. Each side's first message is `Hello` with [`VERSION`]; anything
//! else first, or another version, ends the pair. Each side treats the other as untrusted: an unknown id is
//! answered ([`FromNet::Rejected`]) or ignored, never a panic.
//!
//! # The life of a flow
//!
//! 1. [`FromNet::Accepted`] or [`FromNet::Connected`] carries one descriptor: a connected, non-blocking
//!    `SOCK_STREAM` Unix socket. Bytes written to it are sent to the peer, in order; bytes from the peer are
//!    read from it. A full socket closes the advertised window, so back-pressure reaches the sender.
//! 2. `shutdown(WR)` becomes a FIN once everything before it is sent. The peer's FIN becomes end of file.
//!    Closing the descriptor while bytes from the peer are unread, or arrive later, becomes a RST.
//! 3. [`FromNet::Ended`] says how it ended, and is sent *before* the descriptor shows end of file for any end
//!    but the peer's FIN: so a reader that sees end of file looks for `Ended` to tell a clean end from a broken
//!    one.
//!
//! A UDP flow ([`FromNet::UdpOpen`]) is a `SOCK_SEQPACKET` Unix socket: one datagram a packet, at most
//! [`DATAGRAM_MAX`] bytes; closing the descriptor ends it.

mod configure;
mod from_net;
mod to_net;

pub use configure::{
    Configure, Deadlines, Ipv4Addressing, Ipv6Addressing, KNOWN_NETWORKS_MAX, Limits, ROUTERS_MAX, STATIC_MAX,
};
pub use from_net::{Counter, EndReason, FailReason, FromNet, Lease, Rejection, Statistics, TcpPhase};
pub use to_net::{Class, FlowId, ListenLimits, ListenerId, RequestId, ToNet};

use serde::{Serialize, de::DeserializeOwned};

/// Of the first message of each side. Raised whenever a message changes.
pub const VERSION: u16 = 1;

/// The longest packet, in bytes: holds a [`Configure`] with all its lists full.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// Listeners at one time.
pub const LISTENERS_MAX: usize = 64;

/// The largest UDP payload carried, in bytes: an Ethernet MTU less the IPv6 and UDP headers, since fragments
/// are neither sent nor taken.
pub const DATAGRAM_MAX: usize = 1_452;

/// A packet that is not a message of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("a control message of {0} bytes is longer than {MESSAGE_MAX}")]
    TooLong(usize),
    #[error("not a control message of version {VERSION}")]
    Malformed,
}

/// A message as one packet.
///
/// # Errors
/// [`CodecError::TooLong`] when a list in it is longer than its limit allows.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let packet = postcard::to_allocvec(message).map_err(|_| CodecError::Malformed)?;
    if packet.len() > MESSAGE_MAX { Err(CodecError::TooLong(packet.len())) } else { Ok(packet) }
}

/// A packet as a message. Bytes after the message are an error too.
///
/// # Errors
/// Whatever is not exactly one message of at most [`MESSAGE_MAX`] bytes.
pub fn decode<T: DeserializeOwned>(packet: &[u8]) -> Result<T, CodecError> {
    if packet.len() > MESSAGE_MAX {
        return Err(CodecError::TooLong(packet.len()));
    }
    match postcard::take_from_bytes(packet) {
        Ok((message, [])) => Ok(message),
        _ => Err(CodecError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_configuration_fits_into_a_packet() {
        let network = "2001:db8:ffff:ffff::/64".parse().unwrap();
        let mut configure = Configure::default();
        configure.limits.known_networks = vec![network; KNOWN_NETWORKS_MAX];
        let packet = encode(&ToNet::Configure(Box::new(configure.clone()))).unwrap();
        assert_eq!(decode::<ToNet>(&packet), Ok(ToNet::Configure(Box::new(configure))));
    }

    #[test]
    fn a_message_over_the_limit_is_refused() {
        let text = "x".repeat(MESSAGE_MAX);
        let long = FromNet::Stats(Statistics { counters: vec![Counter { name: text, value: 0 }] });
        assert!(matches!(encode(&long), Err(CodecError::TooLong(_))));
        assert!(matches!(decode::<FromNet>(&vec![0; MESSAGE_MAX + 1]), Err(CodecError::TooLong(_))));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut packet = encode(&ToNet::Hello { version: VERSION }).unwrap();
        packet.push(0);
        assert_eq!(decode::<ToNet>(&packet), Err(CodecError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = decode::<ToNet>(&bytes) {
                let again = encode(&message).unwrap();
                prop_assert_eq!(decode::<ToNet>(&again), Ok(message));
            }
            let _ = decode::<FromNet>(&bytes);
        }
    }
}
