//! Records: small things of one kind by their key, such as what a verification server answered.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use crate::{
    Limits, StoreError,
    engine::Engine,
    failure::Failure,
    scan::{BATCH, Scan},
    tables::{RECORDS, Transaction},
    tally::{Bound, Change, change},
};

/// What a record is about. Each kind has keys of its own and a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordKind {
    /// What the last check of a domain found.
    DomainCheck,
    /// What was answered about a recipient.
    Verification,
    /// Failed logins, locks and second factors of an account.
    Login,
    /// How a user lookup fares.
    LookupState,
}

/// Kinds that the state has room for, so that a new one needs no new format.
pub(crate) const RECORD_KINDS_MAX: usize = 16;

/// Records to put or, by `None`, to remove; of equal keys the last one holds.
pub(crate) type Records = BTreeMap<Box<str>, Option<Vec<u8>>>;

impl RecordKind {
    /// The number on the disk.
    const fn number(self) -> u8 {
        match self {
            Self::DomainCheck => 0,
            Self::Verification => 1,
            Self::Login => 2,
            Self::LookupState => 3,
        }
    }

    /// What its records are called in a refusal.
    const fn plural(self) -> &'static str {
        match self {
            Self::DomainCheck => "domain checks",
            Self::Verification => "verifications",
            Self::Login => "logins",
            Self::LookupState => "states of user lookups",
        }
    }

    /// How many there may be.
    pub(crate) fn most(self, limits: &Limits) -> usize {
        match self {
            Self::DomainCheck => limits.domain_checks,
            Self::Verification => limits.verifications,
            Self::Login => limits.logins,
            Self::LookupState => limits.lookup_states,
        }
    }
}

/// Refuses what goes over a limit of one change.
pub(crate) fn check(
    records: Vec<(Box<str>, Option<Vec<u8>>)>,
    limits: &Limits,
) -> Result<Records, StoreError> {
    check_change(records.len(), limits)?;
    for (key, value) in &records {
        check_key(key.len(), limits)?;
        check_value(value.as_ref().map_or(0, Vec::len), limits)?;
    }
    Ok(records.into_iter().collect())
}

pub(crate) fn check_change(rows: usize, limits: &Limits) -> Result<(), StoreError> {
    at_most(rows, "rows in a change", limits.change_rows)
}

pub(crate) fn check_key(len: usize, limits: &Limits) -> Result<(), StoreError> {
    if len == 0 {
        return Err(StoreError::Refused("a key without a byte".into()));
    }
    at_most(len, "bytes of key", limits.record_key_bytes)
}

pub(crate) fn check_value(len: usize, limits: &Limits) -> Result<(), StoreError> {
    at_most(len, "bytes in a row", limits.record_bytes)
}

fn at_most(given: usize, what: &str, most: usize) -> Result<(), StoreError> {
    if given <= most {
        return Ok(());
    }
    Err(StoreError::Refused(format!("{given} {what}; there may be {most}")))
}

pub(crate) fn put(
    transaction: &mut Transaction<'_>,
    kind: RecordKind,
    records: &Records,
    most: usize,
) -> Result<(), Failure> {
    let changes: Vec<_> = records
        .iter()
        .map(|(key, value)| Change {
            key: (kind.number(), &**key),
            key_len: key.len(),
            value: value.as_deref(),
        })
        .collect();
    let slot = usize::from(kind.number());
    let before = transaction.state.tallies.records[slot];
    let bound = Bound { what: kind.plural(), most, space: &transaction.space, state: &transaction.state };
    transaction.state.tallies.records[slot] = change(&mut transaction.records, before, &changes, &bound)?;
    Ok(())
}

pub(crate) fn get(engine: &Engine, kind: RecordKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    engine.read(|snapshot| {
        let row = snapshot.open_table(RECORDS)?.get((kind.number(), key))?;
        Ok(row.map(|bytes| bytes.value().to_vec()))
    })
}

pub(crate) fn all(engine: Arc<Engine>, kind: RecordKind) -> Scan<(Box<str>, Vec<u8>)> {
    let mut after: Option<Box<str>> = None;
    Scan::new(engine, move |snapshot| {
        let from = match &after {
            Some(key) => Excluded((kind.number(), &**key)),
            None => Included((kind.number(), "")),
        };
        let mut read: Vec<(Box<str>, Vec<u8>)> = Vec::new();
        for row in snapshot.open_table(RECORDS)?.range::<(u8, &str)>((from, Unbounded))?.take(BATCH) {
            let (key, value) = row?;
            let (number, key) = key.value();
            if number != kind.number() {
                break;
            }
            read.push((Box::from(key), value.value().to_vec()));
        }
        after = read.last().map(|(key, _)| key.clone());
        Ok(read)
    })
}
