//! What a decision comes to.

use std::fmt;

use config_schema::{LookupName, StreamName};

use super::TraceLine;
use crate::verification;

/// What becomes of the recipient, and how that came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// Every step, in order.
    pub trace: Vec<TraceLine>,
}

/// What becomes of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is taken, for this stream.
    Accept {
        /// Of the domain's realm.
        stream: StreamName,
        /// Who says that it exists.
        because: Because,
    },
    /// 5xx.
    Refuse {
        /// Why.
        why: Refusal,
    },
    /// 4xx.
    Defer {
        /// Why.
        why: Deferral,
    },
}

/// Who says that a recipient exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// RFC 5321 §4.5.1: it always does.
    Postmaster,
    /// It has an address mapping.
    AddressMapping,
    /// A user lookup.
    Lookup {
        /// Which.
        name: LookupName,
        /// In the lookup's words.
        because: Box<str>,
    },
    /// It is a valid recipient of this stream.
    Listed {
        /// Whose table has it.
        stream: StreamName,
    },
    /// The verification server.
    Verification,
    /// Nobody was there to ask.
    Unchecked,
}

/// Why a recipient is refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The realm is suspended.
    Suspended,
    /// The user lookup answered, and does not know it.
    UnknownToLookup {
        /// Which.
        name: LookupName,
    },
    /// Neither the stream's table nor that of `default` lists it, and S-700 is on.
    NotListed,
    /// The verification server answered, and does not know it.
    UnknownToServer,
    /// What it maps to can be no stream's name.
    NoStream,
}

/// Why a recipient cannot be decided on now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferral {
    /// A user lookup has no answer.
    Lookup {
        /// Which.
        name: LookupName,
        /// In the lookup's words.
        why: Box<str>,
    },
    /// A table of valid recipients cannot be read.
    ValidRecipients {
        /// Why.
        why: Box<str>,
    },
    /// The verification server has no answer.
    Verification {
        /// What there is instead.
        answer: verification::Answer,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Accept { stream, because } => write!(f, "accepted for stream `{stream}`: {because}"),
            Outcome::Refuse { why } => write!(f, "refused: {why}"),
            Outcome::Defer { why } => write!(f, "deferred: {why}"),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::Postmaster => f.write_str("postmaster is always real"),
            Because::AddressMapping => f.write_str("it has an address mapping"),
            Because::Lookup { name, because } => write!(f, "user lookup `{name}`: {because}"),
            Because::Listed { stream } => write!(f, "a valid recipient of stream `{stream}`"),
            Because::Verification => f.write_str("the verification server knows it"),
            Because::Unchecked => f.write_str("nothing checks the recipients of this domain"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Suspended => f.write_str("the realm is suspended"),
            Refusal::UnknownToLookup { name } => write!(f, "user lookup `{name}` does not know it"),
            Refusal::NotListed => f.write_str("it is no valid recipient, and S-700 is on"),
            Refusal::UnknownToServer => f.write_str("the verification server does not know it"),
            Refusal::NoStream => f.write_str("it maps to what can be no stream"),
        }
    }
}

impl fmt::Display for Deferral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deferral::Lookup { name, why } => write!(f, "user lookup `{name}` has no answer: {why}"),
            Deferral::ValidRecipients { why } => write!(f, "the valid recipients cannot be read: {why}"),
            Deferral::Verification { answer } => write!(f, "verification server: {answer}"),
        }
    }
}

impl fmt::Display for Verdict {
    /// A line for each step, and the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.outcome.fmt(f)
    }
}
