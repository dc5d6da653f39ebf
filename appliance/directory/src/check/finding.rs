//! What a domain check found, with its evidence.

use std::fmt;

use serde::{Deserialize, Serialize};
use smtp::address::Address;

use crate::verification::REPLY_MAX;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What.
    pub reason: Reason,
    /// What was asked and answered; at most [`super::EXCHANGES_MAX`].
    pub dialogue: Vec<Exchange>,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Who was asked after.
    pub address: Box<str>,
    /// What was said, in the words of who said it; at most [`REPLY_MAX`] octets.
    pub said: Box<str>,
}

/// Why a domain is validated, or what keeps it from being so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The verification server refuses unknown recipients as such.
    Validated,
    /// A directory or table of ours refuses them.
    DirectoryValidates {
        /// Which.
        by: Directory,
        /// Whether the domain's verification server is asked in vain.
        redundant_server: bool,
    },
    /// Any recipient is taken for real.
    AcceptsAll {
        /// By whom.
        by: Acceptor,
    },
    /// The server refuses, but not because the recipient is unknown.
    Misconfigured {
        /// The number of the rule that its reply fits.
        rule: u8,
    },
    /// Who should know the recipients cannot be asked.
    Unreachable,
    /// The server puts us off, again and again.
    TemporarilyRefused {
        /// The number of the rule that its last reply fits.
        rule: u8,
    },
    /// The domain has neither user lookup, valid recipients nor verification server.
    Unchecked,
    /// The realm is suspended, so that everything is refused.
    Suspended,
}

/// What of ours refuses unknown recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Directory {
    /// The user lookup of this name.
    Lookup(Box<str>),
    /// The table of valid recipients, by S-700.
    ValidRecipients,
}

/// Who takes any recipient for real.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceptor {
    /// The verification server.
    Server,
    /// The user lookup of this name.
    Lookup(Box<str>),
}

impl Exchange {
    pub(super) fn new(at: u64, address: &Address, said: &str) -> Exchange {
        // In octets: a record has room for all of it.
        let said = &said[..said.floor_char_boundary(REPLY_MAX)];
        Exchange { at, address: address.to_string().into(), said: said.into() }
    }
}

impl Reason {
    /// Whether unknown recipients are refused; `None`: it cannot be said.
    pub fn validates(&self) -> Option<bool> {
        match self {
            Reason::Validated | Reason::DirectoryValidates { .. } => Some(true),
            Reason::AcceptsAll { .. } | Reason::Misconfigured { .. } | Reason::Unchecked => Some(false),
            Reason::Unreachable | Reason::TemporarilyRefused { .. } | Reason::Suspended => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Validated => f.write_str("validated: the verification server refuses unknown recipients"),
            Reason::DirectoryValidates { by: Directory::Lookup(name), .. } => {
                write!(f, "validated: user lookup `{name}` knows the recipients")
            }
            Reason::DirectoryValidates { by: Directory::ValidRecipients, .. } => {
                f.write_str("validated: the table of valid recipients is enforced")
            }
            Reason::AcceptsAll { by: Acceptor::Server } => {
                f.write_str("not validated: the verification server accepts every recipient")
            }
            Reason::AcceptsAll { by: Acceptor::Lookup(name) } => {
                write!(f, "not validated: user lookup `{name}` knows every address that it is asked for")
            }
            Reason::Misconfigured { rule } => {
                write!(
                    f,
                    "not validated: the verification server refuses us, not the recipient (rule {rule})"
                )
            }
            Reason::Unreachable => {
                f.write_str("not checked: neither directory nor verification server gives an answer")
            }
            Reason::TemporarilyRefused { rule } => {
                write!(f, "not checked: the verification server puts us off (rule {rule})")
            }
            Reason::Unchecked => f.write_str("not validated: nothing checks the recipients of this domain"),
            Reason::Suspended => f.write_str("not checked: the realm is suspended"),
        }
    }
}
