//! What a directory holds: an object with its addresses.

use std::{collections::BTreeSet, fmt};

use config_schema::stream::STREAM_NAME_MAX;
use serde::{Deserialize, Serialize};
use smtp::address::Address;

use super::OBJECT_ADDRESSES_MAX;

/// Octets of an id: Graph's have 36, a distinguished name may be long.
pub const ID_MAX: usize = 512;
/// Octets of a label; a longer one is cut.
pub const LABEL_MAX: usize = 128;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    id: Box<str>,
    kind: Kind,
    label: Box<str>,
    stream: Box<str>,
    addresses: BTreeSet<Box<str>>,
}

/// What kind of entry; where two claim an address, the kind that stands first has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A person.
    User,
    /// A mailbox of several people, of a room or of a thing.
    SharedMailbox,
    /// A distribution list or another group with an address.
    Group,
    /// A mail contact: an address of ours for somebody elsewhere.
    Contact,
    /// Anything else with an address, such as a public folder.
    Other,
}

/// Why an entry cannot be taken into a copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Empty, or longer than [`ID_MAX`].
    #[error("the id has {0} bytes, expected 1 to {ID_MAX}")]
    Id(usize),
    /// Empty, longer than a stream's name may be, or with control characters.
    #[error("`{0}` is no name of a stream, expected 1 to {STREAM_NAME_MAX} bytes without control characters")]
    Stream(Box<str>),
    /// More than [`OBJECT_ADDRESSES_MAX`].
    #[error("{0} addresses, expected at most {OBJECT_ADDRESSES_MAX}")]
    Addresses(usize),
    /// A record that is not an object's.
    #[error("the record is damaged")]
    Record,
}

/// To whom an address belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner<'c> {
    /// The object's id.
    pub id: &'c str,
    /// What it is.
    pub kind: Kind,
    /// For people.
    pub label: &'c str,
    /// The name of its stream within the realm.
    pub stream: &'c str,
}

/// How an object is kept in the records, under its id.
#[derive(Serialize, Deserialize)]
struct Record<'r> {
    kind: Kind,
    label: &'r str,
    stream: &'r str,
    #[serde(borrow)]
    addresses: Vec<&'r str>,
}

impl Object {
    /// An entry with its addresses, whichever of them are repeated or differ in case alone.
    pub fn new<'a>(
        id: &str,
        kind: Kind,
        label: &str,
        stream: &str,
        addresses: impl IntoIterator<Item = &'a Address>,
    ) -> Result<Object, ObjectError> {
        let keys = addresses.into_iter().map(|address| address.key().into_boxed_str());
        Object::checked(id, kind, label, stream, keys.collect())
    }

    fn checked(
        id: &str,
        kind: Kind,
        label: &str,
        stream: &str,
        addresses: BTreeSet<Box<str>>,
    ) -> Result<Object, ObjectError> {
        if id.is_empty() || id.len() > ID_MAX {
            return Err(ObjectError::Id(id.len()));
        }
        let stream = stream.trim().to_lowercase();
        if stream.is_empty() || stream.len() > STREAM_NAME_MAX || stream.contains(char::is_control) {
            return Err(ObjectError::Stream(stream.chars().take(LABEL_MAX).collect()));
        }
        if addresses.len() > OBJECT_ADDRESSES_MAX {
            return Err(ObjectError::Addresses(addresses.len()));
        }
        let label = &label[..label.floor_char_boundary(LABEL_MAX)];
        Ok(Object { id: id.into(), kind, label: label.into(), stream: stream.into(), addresses })
    }

    /// From what a copy holds, which was checked when it was taken in.
    pub(super) fn of_parts<'a>(
        id: &str,
        kind: Kind,
        label: &str,
        stream: &str,
        addresses: impl Iterator<Item = &'a str>,
    ) -> Object {
        let addresses = addresses.map(Box::from).collect();
        Object { id: id.into(), kind, label: label.into(), stream: stream.into(), addresses }
    }

    /// From a record, as [`Object::record`] made it.
    ///
    /// # Errors
    /// The record is none, or breaks a limit.
    pub fn from_record(id: &str, record: &[u8]) -> Result<Object, ObjectError> {
        let read: Record<'_> = postcard::from_bytes(record).map_err(|_| ObjectError::Record)?;
        let addresses = read.addresses.into_iter().map(Box::from).collect();
        Object::checked(id, read.kind, read.label, read.stream, addresses)
    }

    /// As it is kept under its id.
    pub fn record(&self) -> Vec<u8> {
        let addresses = self.addresses.iter().map(|address| &**address).collect();
        let record = Record { kind: self.kind, label: &self.label, stream: &self.stream, addresses };
        postcard::to_allocvec(&record).expect("texts in memory are always written")
    }

    /// The directory's name for it, which never changes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// For people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name of its stream within the realm, in lower case.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Its addresses by their keys ([`Address::key`]), each once.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = &str> {
        self.addresses.iter().map(|address| &**address)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::User => "user",
            Kind::SharedMailbox => "shared mailbox",
            Kind::Group => "group",
            Kind::Contact => "contact",
            Kind::Other => "entry",
        })
    }
}

impl fmt::Display for Owner<'_> {
    /// For the trace and the count's list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label {
            "" => write!(f, "{} {}", self.kind, self.id),
            label => write!(f, "{} {label} ({})", self.kind, self.id),
        }
    }
}
