//! How a decision came about, step by step.

use std::fmt;

use config_schema::{LookupName, RealmName, Route, StreamName, Unlisted};
use smtp::address::Address;

use super::{Listing, OnlyValid};
use crate::{
    answer::LookupAnswer,
    mapping::{Mapped, MappingError},
    verification,
};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceLine {
    /// The recipient is `postmaster`.
    Postmaster,
    /// The realm is suspended.
    Suspended {
        /// Which.
        realm: RealmName,
    },
    /// Something led to a stream.
    Mapped(Mapped),
    /// A known network forces a stream that is not this realm's.
    PassedOver {
        /// The network's name.
        network: Box<str>,
        /// What is wrong with its stream.
        error: MappingError,
    },
    /// A mapping led to what can be no stream of this address.
    WrongMapping {
        /// What is wrong.
        error: MappingError,
    },
    /// A user lookup is asked.
    AskedLookup {
        /// Which.
        name: LookupName,
        /// Of whom.
        address: Address,
    },
    /// It answered.
    LookupSaid {
        /// Which.
        name: LookupName,
        /// What.
        answer: LookupAnswer,
    },
    /// What the domain does about an address that its user lookup does not list.
    Unlisted(Unlisted),
    /// The domain has a verification server, and a user lookup or table of its own has said what it would say.
    RedundantServer,
    /// What S-700 is, and where its value came from.
    OnlyValid {
        /// For which stream.
        stream: StreamName,
        /// Its value.
        only: OnlyValid,
    },
    /// The configuration itself lists the address.
    ListedInFile {
        /// For which stream.
        stream: StreamName,
        /// Whom.
        address: Address,
    },
    /// A table of valid recipients was looked into.
    Listing {
        /// Whose.
        stream: StreamName,
        /// For whom.
        address: Address,
        /// What was found.
        listing: Listing,
    },
    /// No verification server is asked: somebody vouched for the recipient.
    Vouched,
    /// The domain has no verification server.
    NoVerificationServer,
    /// The verification server answered.
    Verification {
        /// Which.
        server: Option<Route>,
        /// What.
        answer: verification::Answer,
    },
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceLine::Postmaster => f.write_str("postmaster: always real (RFC 5321 section 4.5.1)"),
            TraceLine::Suspended { realm } => write!(f, "realm `{realm}`: suspended"),
            TraceLine::Mapped(Mapped { stream, by }) => write!(f, "{by}: stream `{stream}`"),
            TraceLine::PassedOver { network, error } => {
                write!(f, "known network `{network}`: passed over, {error}")
            }
            TraceLine::WrongMapping { error } => write!(f, "mapping: {error}"),
            TraceLine::AskedLookup { name, address } => {
                write!(f, "domain mapping: user lookup `{name}` is asked for {address}")
            }
            TraceLine::LookupSaid { name, answer } => write!(f, "user lookup `{name}`: {}", Said(answer)),
            TraceLine::Unlisted(Unlisted::Refuse) => f.write_str("unlisted addresses: refused"),
            TraceLine::Unlisted(Unlisted::Verify) => {
                f.write_str("unlisted addresses: asked of the verification server")
            }
            TraceLine::RedundantServer => f.write_str("verification server: redundant"),
            TraceLine::OnlyValid { stream, only } => {
                write!(f, "S-700 of stream `{stream}`: {}", if only.on { "on" } else { "off" })?;
                match &only.from {
                    Some(from) => write!(f, ", from `{from}`"),
                    None => f.write_str(", built in"),
                }
            }
            TraceLine::ListedInFile { stream, address } => {
                write!(f, "valid recipients of stream `{stream}`: {address} is listed by the configuration")
            }
            TraceLine::Listing { stream, address, listing } => {
                write!(f, "valid recipients of stream `{stream}`: {address} {listing}")
            }
            TraceLine::Vouched => f.write_str("verification server: not asked, the recipient is vouched for"),
            TraceLine::NoVerificationServer => f.write_str("verification server: none"),
            TraceLine::Verification { server, answer } => match server {
                Some(server) => write!(f, "verification server {server}: {answer}"),
                None => write!(f, "verification server: {answer}"),
            },
        }
    }
}

/// A lookup's answer in words.
struct Said<'a>(&'a LookupAnswer);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LookupAnswer::Stream { because, .. } => write!(f, "known, {because}"),
            LookupAnswer::Unknown => f.write_str("not known"),
            LookupAnswer::Unavailable { why } => write!(f, "no answer, {why}"),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listing::Listed => f.write_str("is listed"),
            Listing::NotListed => f.write_str("is not listed"),
            Listing::Unavailable { why } => write!(f, "cannot be looked up, {why}"),
        }
    }
}
