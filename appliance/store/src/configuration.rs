//! The configuration in force and those before it, and the appliance's own values.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Limits, StoreError, Timestamp,
    engine::Engine,
    failure::Failure,
    log::{Event, ring},
    message::cut,
    space::footprint,
    tables::{CONFIGURATIONS, Transaction, VALUES, decode, encode},
};

/// A configuration that was imported or set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Counted from 1; the greatest is in force.
    pub number: u64,
    pub text: String,
    /// SHA-256 of the text.
    pub digest: [u8; 32],
    /// SHA-256 of the file that was imported last, which is not imported again at the next start.
    pub imported: Option<[u8; 32]>,
    pub at: Timestamp,
    /// Who set it: an administrator's name, or the name of a file.
    pub by: Box<str>,
}

/// A configuration to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConfiguration {
    /// At most [`Limits::value_bytes`].
    pub text: String,
    /// Whether it comes from a file; otherwise the digest of the last file is carried on.
    pub from_file: bool,
    pub at: Timestamp,
    pub by: Box<str>,
}

/// Longest [`Configuration::by`], in bytes.
const BY_MAX: usize = 256;

/// A small value that the appliance keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// Mixed into the kernel's pool at the next start.
    EntropySeed,
    /// The self-signed certificate with its key.
    TlsIdentity,
    /// The key that signs and checks what must survive a restart, such as SYN cookies and SRS addresses.
    SigningKey,
    /// Alarms that stand.
    Alarms,
    /// Counters as the gateway last wrote them.
    Counters,
    /// Whether set-up was finished, and by what.
    Setup,
}

impl Value {
    const fn name(self) -> &'static str {
        match self {
            Self::EntropySeed => "entropy-seed",
            Self::TlsIdentity => "tls-identity",
            Self::SigningKey => "signing-key",
            Self::Alarms => "alarms",
            Self::Counters => "counters",
            Self::Setup => "setup",
        }
    }
}

impl NewConfiguration {
    pub(crate) fn check(&mut self, limits: &Limits) -> Result<(), StoreError> {
        cut(&mut self.by, BY_MAX);
        check_len(self.text.len(), limits)
    }
}

pub(crate) fn check_len(len: usize, limits: &Limits) -> Result<(), StoreError> {
    if len <= limits.value_bytes {
        return Ok(());
    }
    Err(StoreError::Refused(format!("{len} bytes; a value may have {}", limits.value_bytes)))
}

/// Puts a configuration in force with its audit entry; returns its number.
pub(crate) fn set(
    transaction: &mut Transaction<'_>,
    new: &NewConfiguration,
    audit: &Event,
    keep: u64,
) -> Result<u64, Failure> {
    let before = transaction.configurations.last()?;
    let before: Option<Configuration> = before.map(|row| decode(&row, "a configuration")).transpose()?;
    let number = before.as_ref().map_or(0, |before| before.number) + 1;
    let digest = Sha256::digest(&new.text).into();
    let imported = if new.from_file { Some(digest) } else { before.and_then(|before| before.imported) };
    let configuration =
        Configuration { number, text: new.text.clone(), digest, imported, at: new.at, by: new.by.clone() };
    let row = encode(&configuration);
    transaction.configurations.put(number, &row)?;
    transaction.state.value_bytes += footprint(row.len());
    while transaction.configurations.count()? > keep.max(1) {
        let Some(len) = transaction.configurations.remove_first()? else { break };
        transaction.state.value_bytes = transaction.state.value_bytes.saturating_sub(footprint(len));
    }
    ring::append_audit(transaction, audit)?;
    Ok(number)
}

/// The newest configurations, newest first.
pub(crate) fn newest(engine: &Engine, limit: usize) -> Result<Vec<Configuration>, StoreError> {
    engine.read(|snapshot| {
        let rows = snapshot.open_table(CONFIGURATIONS)?.range::<u64>(..)?.rev();
        rows.take(limit).map(|row| decode(row?.1.value(), "a configuration")).collect()
    })
}

pub(crate) fn value(engine: &Engine, value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    engine.read(|snapshot| {
        let row = snapshot.open_table(VALUES)?.get(value.name())?;
        Ok(row.map(|bytes| bytes.value().to_vec()))
    })
}

pub(crate) fn set_value(
    transaction: &mut Transaction<'_>,
    value: Value,
    bytes: Option<&[u8]>,
) -> Result<(), Failure> {
    let old = match bytes {
        Some(bytes) => {
            transaction.state.value_bytes += footprint(bytes.len());
            transaction.values.put(value.name(), bytes)?
        }
        None => transaction.values.remove(value.name())?,
    };
    let freed = old.map_or(0, footprint);
    transaction.state.value_bytes = transaction.state.value_bytes.saturating_sub(freed);
    Ok(())
}
