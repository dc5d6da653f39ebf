//! What keeps a recipient from being taken: each fault has one reply and says whose it is.

use directory::decision::{Deferral, Refusal};
use smtp::reply::Reply;
use store::log::FaultClass;

use super::Refusal as DomainRefusal;

/// Why a recipient was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecipientFault {
    #[error(transparent)]
    Domain(#[from] DomainRefusal),
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Deferred(Deferral),
}

impl RecipientFault {
    /// What the client is told. All unknown recipients are told the same, whoever knew.
    pub(crate) fn reply(&self) -> Reply {
        match self {
            RecipientFault::Domain(DomainRefusal::RelayingDenied) => {
                Reply::new(550, "Relaying denied").enhanced(5, 7, 1)
            }
            RecipientFault::Domain(DomainRefusal::NoDomain) => {
                Reply::new(450, "No domain is configured here yet").enhanced(4, 3, 5)
            }
            RecipientFault::Refused(Refusal::Suspended) => {
                Reply::new(550, "Mail for this domain is suspended").enhanced(5, 7, 1)
            }
            RecipientFault::Refused(_) => Reply::new(550, "No such recipient here").enhanced(5, 1, 1),
            // RFC 3463 §3.5: X.4.3, directory server failure.
            RecipientFault::Deferred(_) => {
                Reply::new(451, "The recipient cannot be verified now, try again later").enhanced(4, 4, 3)
            }
        }
    }

    pub(crate) fn class(&self) -> FaultClass {
        match self {
            RecipientFault::Domain(DomainRefusal::RelayingDenied) | RecipientFault::Refused(_) => {
                FaultClass::Peer
            }
            RecipientFault::Domain(DomainRefusal::NoDomain) => FaultClass::Configuration,
            RecipientFault::Deferred(_) => FaultClass::Resource,
        }
    }

    /// Whether the client named somebody who does not exist: that is what directory attacks do.
    pub(crate) fn is_guess(&self) -> bool {
        match self {
            RecipientFault::Domain(refusal) => *refusal == DomainRefusal::RelayingDenied,
            RecipientFault::Refused(refusal) => *refusal != Refusal::Suspended,
            RecipientFault::Deferred(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_could_not_be_asked_is_refused_for_good() {
        let fault = RecipientFault::Deferred(Deferral::ValidRecipients { why: "the disk".into() });
        assert_eq!((fault.reply().code(), fault.is_guess()), (451, false));
        let fault = RecipientFault::from(DomainRefusal::NoDomain);
        assert_eq!((fault.reply().code(), fault.is_guess()), (450, false));
    }

    #[test]
    fn an_unknown_recipient_is_told_the_same_whoever_knew() {
        let refusals = [
            Refusal::NotListed,
            Refusal::UnknownToServer,
            Refusal::NoStream,
            Refusal::UnknownToLookup { name: "corp".parse().unwrap() },
        ];
        let replies: Vec<Reply> =
            refusals.into_iter().map(|refusal| RecipientFault::Refused(refusal).reply()).collect();
        assert!(replies.iter().all(|reply| *reply == replies[0] && reply.code() == 550));
        assert!(!RecipientFault::Refused(Refusal::Suspended).is_guess());
    }
}
