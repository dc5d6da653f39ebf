//! Paths: what stands in angle brackets behind `MAIL FROM:` and `RCPT TO:` (RFC 5321 §4.1.2).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Address, AddressError, AddressProblem, Host};

/// The sender: an address, or nobody, to whom nothing may ever be bounced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReversePath {
    /// `<>`, the sender of bounces (RFC 5321 §4.5.5).
    Null,
    /// A mailbox.
    Address(Address),
}

/// A recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case of letters (RFC 5321 §4.1.1.3).
    Postmaster,
    /// A mailbox.
    Address(Address),
}

impl ReversePath {
    /// Parses `<…>`; a source route is checked and left out.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (path, rest) = Self::parse_prefix(text)?;
        expect_end(path, text, rest)
    }

    /// Parses the path that `text` begins with and returns what follows it.
    pub(crate) fn parse_prefix(text: &str) -> Result<(Self, &str), AddressError> {
        if let Some(rest) = text.strip_prefix("<>") {
            return Ok((Self::Null, rest));
        }
        let (address, rest) = parse_bracketed(text)?;
        Ok((Self::Address(address), rest))
    }

    /// The address, unless the sender is null.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl ForwardPath {
    /// Parses `<…>`; a source route is checked and left out.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (path, rest) = Self::parse_prefix(text)?;
        expect_end(path, text, rest)
    }

    /// Parses the path that `text` begins with and returns what follows it.
    pub(crate) fn parse_prefix(text: &str) -> Result<(Self, &str), AddressError> {
        let bare = text.get(..POSTMASTER.len()).filter(|bare| bare.eq_ignore_ascii_case(POSTMASTER));
        if bare.is_some() {
            return Ok((Self::Postmaster, &text[POSTMASTER.len()..]));
        }
        let (address, rest) = parse_bracketed(text)?;
        Ok((Self::Address(address), rest))
    }

    /// The address, unless it is the bare postmaster.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Postmaster => None,
            Self::Address(address) => Some(address),
        }
    }

    /// Whether it is a postmaster, bare or of any domain (RFC 5321 §4.5.1).
    pub fn is_postmaster(&self) -> bool {
        match self {
            Self::Postmaster => true,
            Self::Address(address) => address.local().as_str().eq_ignore_ascii_case("postmaster"),
        }
    }
}

const POSTMASTER: &str = "<postmaster>";

fn expect_end<T>(path: T, text: &str, rest: &str) -> Result<T, AddressError> {
    if rest.is_empty() { Ok(path) } else { Err(AddressProblem::Trailing.at(text.len() - rest.len())) }
}

fn parse_bracketed(text: &str) -> Result<(Address, &str), AddressError> {
    let Some(inner) = text.strip_prefix('<') else { return Err(AddressProblem::Brackets.at(0)) };
    let mailbox = skip_source_route(inner).map_err(|e| e.problem.at(e.at + 1))?;
    let offset = text.len() - mailbox.len();
    let (address, rest) = Address::parse_prefix(mailbox).map_err(|e| e.problem.at(offset + e.at))?;
    let end = text.len() - rest.len();
    let rest = rest.strip_prefix('>').ok_or(AddressProblem::Brackets.at(end))?;
    Ok((address, rest))
}

/// RFC 5321 §4.1.1.3 and appendix C: `@a,@b:` is accepted and ignored; what is bounded is the command line.
fn skip_source_route(text: &str) -> Result<&str, AddressError> {
    let mut rest = text;
    while let Some(hop) = rest.strip_prefix('@') {
        let at = text.len() - hop.len();
        let (_, after) = Host::parse_prefix(hop).map_err(|e| e.problem.at(at + e.at))?;
        if let Some(mailbox) = after.strip_prefix(':') {
            return Ok(mailbox);
        }
        rest = after.strip_prefix(',').ok_or(AddressProblem::SourceRoute.at(text.len() - after.len()))?;
        if !rest.starts_with('@') {
            return Err(AddressProblem::SourceRoute.at(text.len() - rest.len()));
        }
    }
    Ok(rest)
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str(POSTMASTER),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

impl From<Address> for ReversePath {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl From<Address> for ForwardPath {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

macro_rules! text_form {
    ($path:ty) => {
        impl FromStr for $path {
            type Err = AddressError;
            fn from_str(text: &str) -> Result<Self, AddressError> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $path {
            type Error = AddressError;
            fn try_from(text: String) -> Result<Self, AddressError> {
                Self::parse(&text)
            }
        }
        impl From<$path> for String {
            fn from(path: $path) -> String {
                path.to_string()
            }
        }
    };
}
text_form!(ReversePath);
text_form!(ForwardPath);
