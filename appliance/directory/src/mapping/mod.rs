//! From an address to a stream: forced by a known network, by an address mapping, by the domain's mapping, or
//! `default`.
//!
//! Addresses are compared by [`Address::key`]: domains as A-labels, everything in lower case.

use std::fmt;

use config_schema::{
    LookupName, Mapping as DomainMapping, PlusAddresses, RealmName, StreamName,
    stream::{DEFAULT, STREAM_NAME_MAX},
};
use smtp::address::{Address, LocalPart};

/// What stands between a mailbox and its tag (RFC 5233 §1).
const TAG: char = '+';

/// A stream, and what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Always of the domain's realm.
    pub stream: StreamName,
    /// What led to it.
    pub by: By,
}

/// What leads to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The known network of this name forces it.
    KnownNetwork(Box<str>),
    /// The address has a mapping of its own.
    AddressMapping,
    /// The domain's mapping: the whole address.
    AsIs,
    /// The domain's mapping: the local part.
    ChopDomain,
    /// The domain's mapping: this user lookup said so.
    Lookup(LookupName),
    /// Nothing else did.
    Default,
}

/// What a domain's mapping needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Nothing more.
    Stream(Mapped),
    /// What this user lookup says of the address.
    Lookup {
        /// Which.
        name: LookupName,
        /// Of whom, without a tag where tags do not count.
        address: Address,
    },
}

/// Why an address has no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Mail of one realm never goes to a stream of another.
    #[error("stream `{stream}` is of another realm than `{realm}`")]
    OtherRealm {
        /// The stream that was named.
        stream: StreamName,
        /// The domain's realm.
        realm: RealmName,
    },
    /// In lower case the name is longer than a stream's may be, or it is none.
    #[error(
        "`{name}` is no name of a stream, expected 1 to {STREAM_NAME_MAX} bytes without control characters"
    )]
    Name {
        /// Its beginning.
        name: Box<str>,
    },
}

/// The stream that a known network or an address mapping names, if it is one of `realm`: the same, not one above or
/// below it.
pub fn named(stream: &StreamName, by: By, realm: &RealmName) -> Result<Mapped, MappingError> {
    if stream.realm() == realm {
        return Ok(Mapped { stream: stream.clone(), by });
    }
    Err(MappingError::OtherRealm { stream: stream.clone(), realm: realm.clone() })
}

/// What the domain's mapping makes of an address.
pub fn by_domain(
    mapping: &DomainMapping,
    realm: &RealmName,
    address: &Address,
    plus: PlusAddresses,
) -> Result<Way, MappingError> {
    let address = counting(address, plus);
    let whole = address.key();
    let mapped = match mapping {
        DomainMapping::Lookup(name) => return Ok(Way::Lookup { name: name.clone(), address }),
        DomainMapping::AsIs => Mapped { stream: stream(realm, &whole)?, by: By::AsIs },
        DomainMapping::ChopDomain => {
            let domain = address.host().to_string().len() + 1;
            let local = &whole[..whole.len() - domain];
            Mapped { stream: personal(realm, local, &whole)?, by: By::ChopDomain }
        }
    };
    Ok(Way::Stream(mapped))
}

/// The stream that a user lookup named for an address.
pub fn by_lookup(
    lookup: &LookupName,
    name: &str,
    realm: &RealmName,
    address: &Address,
) -> Result<Mapped, MappingError> {
    let stream = personal(realm, name, &address.key())?;
    Ok(Mapped { stream, by: By::Lookup(lookup.clone()) })
}

/// The stream of all that have no other.
pub fn default(realm: &RealmName) -> Mapped {
    Mapped { stream: StreamName::default_of(realm.clone()), by: By::Default }
}

/// The address without its tag, where tags do not count.
pub fn counting(address: &Address, plus: PlusAddresses) -> Address {
    let base = match plus {
        PlusAddresses::Base => base(address),
        PlusAddresses::Exact => None,
    };
    base.unwrap_or_else(|| address.clone())
}

/// `user@` of `user+tag@`.
fn base(address: &Address) -> Option<Address> {
    let (user, _) = address.local().as_str().split_once(TAG)?;
    let user = LocalPart::from_content(user).ok()?;
    Some(Address::new(user, address.host().clone()))
}

/// A stream for one person: never the parent of all, whatever the person is called.
fn personal(realm: &RealmName, name: &str, whole: &str) -> Result<StreamName, MappingError> {
    let mapped = stream(realm, name)?;
    if mapped.name() == DEFAULT { stream(realm, whole) } else { Ok(mapped) }
}

fn stream(realm: &RealmName, name: &str) -> Result<StreamName, MappingError> {
    StreamName::new(realm.clone(), name)
        .map_err(|_| MappingError::Name { name: name.chars().take(STREAM_NAME_MAX).collect() })
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::KnownNetwork(name) => write!(f, "known network `{name}`"),
            By::AddressMapping => f.write_str("address mapping"),
            By::AsIs => f.write_str("domain mapping `as-is`"),
            By::ChopDomain => f.write_str("domain mapping `chop-domain`"),
            By::Lookup(name) => write!(f, "user lookup `{name}`"),
            By::Default => f.write_str("nothing else"),
        }
    }
}

#[cfg(test)]
mod tests;
