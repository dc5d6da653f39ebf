//! What keeps a message from being taken: each fault has one reply and says whose it is.

use smtp::reply::Reply;
use store::log::FaultClass;
use store::{Resource, StoreError};

use crate::message::HeaderFault;

/// Why a message was not taken although its recipients were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageFault {
    #[error(transparent)]
    Header(#[from] HeaderFault),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session gave body octets or an end without a beginning.
    #[error("a body without a transaction")]
    NoTransaction,
}

impl MessageFault {
    /// What the client is told. Where the fault is ours the reply is a 4xx: nothing is lost, it comes again.
    pub(super) fn reply(&self) -> Reply {
        match self {
            MessageFault::Header(HeaderFault::TooLong { .. } | HeaderFault::TooManyFields { .. }) => {
                Reply::new(552, "Header section too large").enhanced(5, 3, 4)
            }
            MessageFault::Header(HeaderFault::Loop { .. }) => {
                Reply::new(554, "Routing loop: too many Received fields").enhanced(5, 4, 6)
            }
            MessageFault::Store(StoreError::TooLarge { .. }) => {
                Reply::new(552, "Message too large").enhanced(5, 3, 4)
            }
            MessageFault::Store(StoreError::Resource(Resource::Full { .. } | Resource::TooMany { .. })) => {
                no_room()
            }
            MessageFault::Store(_) | MessageFault::NoTransaction => {
                Reply::new(451, "Local error, try again later").enhanced(4, 3, 0)
            }
        }
    }

    pub(super) fn class(&self) -> FaultClass {
        match self {
            MessageFault::Header(_) | MessageFault::Store(StoreError::TooLarge { .. }) => FaultClass::Peer,
            MessageFault::Store(StoreError::Resource(_)) => FaultClass::Resource,
            MessageFault::Store(_) | MessageFault::NoTransaction => FaultClass::Bug,
        }
    }
}

/// RFC 3463 §3.4: X.3.1, mail system full.
pub(super) fn no_room() -> Reply {
    Reply::new(452, "Insufficient system storage, try again later").enhanced(4, 3, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fault_of_ours_bounces_mail() {
        let ours = [
            StoreError::Resource(Resource::Full { free: 1, reserve: 2 }),
            StoreError::Resource(Resource::TooMany { what: "streams", limit: 1 }),
            StoreError::Resource(Resource::Busy { limit: 1 }),
            StoreError::Resource(Resource::Memory { limit: 1 }),
            StoreError::Resource(Resource::Disk("gone".into())),
            StoreError::Resource(Resource::Closed),
            StoreError::Refused("1001 recipients".into()),
            StoreError::Damaged("a row".into()),
            StoreError::Bug("a panic".into()),
        ];
        for error in ours {
            let fault = MessageFault::from(error);
            assert!((400..500).contains(&fault.reply().code()), "{fault}");
            assert_ne!(fault.class(), FaultClass::Peer, "{fault}");
        }
    }

    #[test]
    fn the_senders_faults_are_final() {
        for (fault, code) in [
            (MessageFault::from(HeaderFault::TooLong { limit: 1 }), 552),
            (HeaderFault::TooManyFields { limit: 1 }.into(), 552),
            (HeaderFault::Loop { received: 51, own: 0 }.into(), 554),
            (StoreError::TooLarge { limit: 1 }.into(), 552),
        ] {
            assert_eq!((fault.reply().code(), fault.class()), (code, FaultClass::Peer));
        }
    }
}
