//! Mail addresses and paths (RFC 5321 §4.1.2, RFC 6531 §3.3), parsed into types or refused.
//!
//! An address is kept decoded: `"a"@Example.ORG` and `a@example.org` are the same value. It leaves the type only
//! through `Display`, which quotes and escapes what needs it, so no address can break out of its line.

mod local_part;
mod path;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use config_schema::name::{DomainName, DomainNameError};
use serde::{Deserialize, Serialize};

pub use local_part::{LOCAL_PART_MAX, LocalPart};
pub use path::{ForwardPath, ReversePath};

/// RFC 5321 §4.5.3.1.2: octets of a domain, as it is written.
pub const DOMAIN_MAX: usize = 255;
/// Octets of a whole address as it is written: local part, `@` and domain (RFC 3696 erratum 1690, upper bound).
pub const ADDRESS_MAX: usize = LOCAL_PART_MAX + 1 + DOMAIN_MAX;

/// A mailbox: local part and domain.
///
/// Equality compares the domain as A-labels in lower case and the local part exactly (RFC 5321 §2.4). To look up
/// in tables that are blind to case use [`Address::key`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: LocalPart,
    domain: Host,
}

/// What stands behind the `@`: a domain or an address literal (RFC 5321 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A domain name, kept in A-labels.
    Name(DomainName),
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Literal(IpAddr),
}

/// Why a text is no address or path, and at which octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at octet {at}: {problem}")]
pub struct AddressError {
    /// What is wrong.
    pub problem: AddressProblem,
    /// Where, in octets from the beginning of the text.
    pub at: usize,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressProblem {
    /// Nothing stands before the `@`.
    #[error("the local part is empty")]
    EmptyLocalPart,
    /// More than [`LOCAL_PART_MAX`] octets.
    #[error("the local part is longer than {LOCAL_PART_MAX} octets")]
    LocalPartTooLong,
    /// A character that may not stand there unquoted, a dot at an end, or two dots in a row.
    #[error("this character may not stand in a local part here")]
    LocalPart,
    /// A control character, also by way of a quoted pair.
    #[error("a control character")]
    Control,
    /// The closing `"` is missing.
    #[error("the quoted local part has no end")]
    Unclosed,
    /// The `@` is missing.
    #[error("expected `@`")]
    At,
    /// The domain is none.
    #[error("{0}")]
    Domain(DomainNameError),
    /// RFC 5321 knows no dot behind the last label.
    #[error("the domain ends with a dot")]
    TrailingDot,
    /// More than [`DOMAIN_MAX`] octets.
    #[error("the domain is longer than {DOMAIN_MAX} octets")]
    DomainTooLong,
    /// Neither `[IPv4]` nor `[IPv6:…]`.
    #[error("not an address literal")]
    Literal,
    /// More than [`ADDRESS_MAX`] octets.
    #[error("the address is longer than {ADDRESS_MAX} octets")]
    TooLong,
    /// A path must stand in angle brackets.
    #[error("expected `<` and `>` around the address")]
    Brackets,
    /// The source route before the address is malformed.
    #[error("the source route is malformed")]
    SourceRoute,
    /// Something follows the address.
    #[error("unexpected text behind the address")]
    Trailing,
}

impl AddressProblem {
    /// This problem at octet `at`.
    pub(crate) const fn at(self, at: usize) -> AddressError {
        AddressError { problem: self, at }
    }
}

impl Address {
    /// An address from its parts.
    pub const fn new(local: LocalPart, domain: Host) -> Self {
        Self { local, domain }
    }

    /// Parses `local@domain` without brackets. UTF-8 is accepted in both halves; see [`Address::is_ascii`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (address, rest) = Self::parse_prefix(text)?;
        if rest.is_empty() { Ok(address) } else { Err(AddressProblem::Trailing.at(text.len() - rest.len())) }
    }

    /// Parses the address that `text` begins with and returns what follows it.
    fn parse_prefix(text: &str) -> Result<(Self, &str), AddressError> {
        let (local, rest) = LocalPart::parse_prefix(text)?;
        let at = text.len() - rest.len();
        let Some(rest) = rest.strip_prefix('@') else { return Err(AddressProblem::At.at(at)) };
        let (domain, rest) = Host::parse_prefix(rest).map_err(|e| e.problem.at(at + 1 + e.at))?;
        if text.len() - rest.len() > ADDRESS_MAX {
            return Err(AddressProblem::TooLong.at(ADDRESS_MAX));
        }
        Ok((Self { local, domain }, rest))
    }

    /// The part before the `@`, decoded.
    pub const fn local(&self) -> &LocalPart {
        &self.local
    }

    /// The part behind the `@`.
    pub const fn host(&self) -> &Host {
        &self.domain
    }

    /// The domain, unless it is an address literal.
    pub const fn domain(&self) -> Option<&DomainName> {
        match &self.domain {
            Host::Name(name) => Some(name),
            Host::Literal(_) => None,
        }
    }

    /// Whether the address can be sent without SMTPUTF8; the domain always can, as A-labels.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii()
    }

    /// One text for all spellings that people take for the same mailbox: everything in lower case.
    pub fn key(&self) -> String {
        format!("{}@{}", self.local.to_lowercase(), self.domain)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl Host {
    /// Parses a domain name or an address literal.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (host, rest) = Self::parse_prefix(text)?;
        if rest.is_empty() { Ok(host) } else { Err(AddressProblem::Trailing.at(text.len() - rest.len())) }
    }

    /// Parses the domain or literal that `text` begins with and returns what follows it.
    fn parse_prefix(text: &str) -> Result<(Self, &str), AddressError> {
        if text.starts_with('[') {
            let end = text.find(']').ok_or(AddressProblem::Literal.at(0))?;
            return Ok((Self::Literal(parse_literal(&text[1..end])?), &text[end + 1..]));
        }
        let end = text.find([' ', '>', ',', ':']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.len() > DOMAIN_MAX {
            return Err(AddressProblem::DomainTooLong.at(DOMAIN_MAX));
        }
        if name.ends_with('.') {
            return Err(AddressProblem::TrailingDot.at(name.len() - 1));
        }
        let name = DomainName::parse(name).map_err(|e| AddressProblem::Domain(e).at(0))?;
        Ok((Self::Name(name), rest))
    }
}

/// RFC 5321 §4.1.3, without the brackets. General address literals name a standard that nobody wrote: refused.
fn parse_literal(text: &str) -> Result<IpAddr, AddressError> {
    let v6 = text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    let parsed = match v6 {
        Some(_) => text[5..].parse::<Ipv6Addr>().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().map(IpAddr::V4),
    };
    parsed.map_err(|_| AddressProblem::Literal.at(1))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Self::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests;
