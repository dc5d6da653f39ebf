//! What the decision on a random address says of its domain.

use super::finding::{Acceptor, Directory, Reason};
use crate::{
    decision::{Because, Deferral, Outcome as Decided, Refusal, TraceLine, Verdict},
    reply::{self, Meaning},
    verification::{self, Trouble},
};

/// What became of a random address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    RefusedByServer,
    RefusedBy { by: Directory, redundant_server: bool },
    Accepted { by: Acceptor },
    Misconfigured { rule: u8 },
    PutOff { rule: u8 },
    Unreachable,
    Unchecked,
    Suspended,
}

impl Outcome {
    pub(super) fn of(verdict: &Verdict) -> Outcome {
        let redundant_server = verdict.trace.contains(&TraceLine::RedundantServer);
        let refused = |by| Outcome::RefusedBy { by, redundant_server };
        match &verdict.outcome {
            Decided::Refuse { why } => match why {
                Refusal::UnknownToServer => Outcome::RefusedByServer,
                Refusal::UnknownToLookup { name } => refused(Directory::Lookup(name.as_str().into())),
                Refusal::NotListed => refused(Directory::ValidRecipients),
                Refusal::Suspended => Outcome::Suspended,
                // A short name of letters and digits always has a stream.
                Refusal::NoStream => Outcome::Unreachable,
            },
            Decided::Accept { because, .. } => match because {
                Because::Verification => Outcome::Accepted { by: Acceptor::Server },
                Because::Lookup { name, .. } => {
                    Outcome::Accepted { by: Acceptor::Lookup(name.as_str().into()) }
                }
                _ => Outcome::Unchecked,
            },
            Decided::Defer { why: Deferral::Verification { answer } } => Outcome::deferred(answer),
            Decided::Defer { .. } => Outcome::Unreachable,
        }
    }

    fn deferred(answer: &verification::Answer) -> Outcome {
        let verification::Because::Trouble(Trouble::Said(said)) = &answer.because else {
            return Outcome::Unreachable;
        };
        match reply::meaning(said.rule) {
            Meaning::Busy | Meaning::Temporary | Meaning::TooManyRecipients | Meaning::Patience => {
                Outcome::PutOff { rule: said.rule }
            }
            _ => Outcome::Misconfigured { rule: said.rule },
        }
    }

    pub(super) fn is_trouble(&self) -> bool {
        matches!(self, Outcome::PutOff { .. } | Outcome::Unreachable)
    }
}

/// What follows from all of them; `None`: those who had no answer must be asked after again.
pub(super) fn conclude(outcomes: &[&Outcome]) -> Option<Reason> {
    let most = outcomes.len() / 2 + 1;
    let settled = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Misconfigured { rule } => Some(Reason::Misconfigured { rule: *rule }),
        Outcome::Unchecked => Some(Reason::Unchecked),
        Outcome::Suspended => Some(Reason::Suspended),
        _ => None,
    });
    let alike = outcomes.iter().find(|outcome| {
        !outcome.is_trouble() && outcomes.iter().filter(|other| other == outcome).count() >= most
    });
    settled.or(match alike? {
        Outcome::RefusedByServer => Some(Reason::Validated),
        Outcome::RefusedBy { by, redundant_server } => {
            Some(Reason::DirectoryValidates { by: by.clone(), redundant_server: *redundant_server })
        }
        Outcome::Accepted { by } => Some(Reason::AcceptsAll { by: by.clone() }),
        _ => None,
    })
}

/// What is said when no retry is left.
pub(super) fn last_trouble(outcomes: &[&Outcome]) -> Reason {
    let put_off = outcomes.iter().rev().find_map(|outcome| match outcome {
        Outcome::PutOff { rule } => Some(Reason::TemporarilyRefused { rule: *rule }),
        _ => None,
    });
    put_off.unwrap_or(Reason::Unreachable)
}

/// What was said about the address, in the words of who said it.
pub(super) fn words(verdict: &Verdict) -> String {
    let said = verdict.trace.iter().rev().find_map(|line| match line {
        TraceLine::Verification { answer, .. } => Some(match &answer.because {
            verification::Because::Said(said) | verification::Because::Trouble(Trouble::Said(said)) => {
                said.reply.to_string()
            }
            because => because.to_string(),
        }),
        TraceLine::LookupSaid { .. } | TraceLine::Listing { .. } => Some(line.to_string()),
        _ => None,
    });
    said.unwrap_or_else(|| verdict.outcome.to_string())
}
