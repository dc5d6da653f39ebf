//! Valid recipients: the addresses that setting S-700 lets in, a table for each stream.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    Limits, StoreError, Timestamp,
    engine::Engine,
    failure::Failure,
    log::{Event, ring},
    message::cut,
    scan::{BATCH, Scan},
    stream::check_name,
    tables::{Transaction, VALID_RECIPIENTS, decode, encode},
    tally::{Bound, Change, change},
};

/// Longest address, in bytes (RFC 5321 §4.5.3.1).
pub const VALID_RECIPIENT_MAX: usize = 320;
/// Longest [`ValidRecipient::by`], in bytes.
const BY_MAX: usize = 256;

/// An entry of a stream's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidRecipient {
    /// As it is compared: whoever adds and asks writes it the same way.
    pub address: Box<str>,
    pub added_at: Timestamp,
    /// Who added it: an administrator's name, or the name of a file.
    pub by: Box<str>,
}

/// What changes in one stream's table, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValidRecipientChange {
    /// `realm:stream`.
    pub stream: Box<str>,
    /// Addresses to add; one that is there already stays as it was.
    pub add: Vec<Box<str>>,
    /// Addresses to remove, also one that is to be added.
    pub remove: Vec<Box<str>>,
    pub at: Timestamp,
    pub by: Box<str>,
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValidRecipientsChanged {
    /// Entries that were not there before.
    pub added: usize,
    /// Entries that are gone.
    pub removed: usize,
}

/// The row of an entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    added_at: Timestamp,
    by: Box<str>,
}

/// A change that keeps the limits: each address once, with whether it is to be there.
pub(crate) struct Checked {
    stream: Box<str>,
    addresses: BTreeMap<Box<str>, bool>,
    row: Vec<u8>,
    most: usize,
}

impl ValidRecipientChange {
    /// Refuses what goes over a limit; cuts what is only for people.
    pub(crate) fn check(mut self, limits: &Limits) -> Result<Checked, StoreError> {
        check_name(&self.stream)?;
        cut(&mut self.by, BY_MAX);
        let most = limits.valid_recipients;
        if self.add.len() > most || self.remove.len() > most {
            let given = self.add.len().max(self.remove.len());
            return Err(StoreError::Refused(format!("{given} valid recipients; there may be {most}")));
        }
        for address in self.add.iter().chain(&self.remove) {
            if address.is_empty() || address.len() > VALID_RECIPIENT_MAX {
                let text =
                    format!("an address of {} bytes; it may have 1 to {VALID_RECIPIENT_MAX}", address.len());
                return Err(StoreError::Refused(text));
            }
        }
        let mut addresses: BTreeMap<_, _> = self.add.into_iter().map(|address| (address, true)).collect();
        addresses.extend(self.remove.into_iter().map(|address| (address, false)));
        let row = encode(&Row { added_at: self.at, by: self.by });
        Ok(Checked { stream: self.stream, addresses, row, most })
    }
}

/// Changes a stream's table together with its audit entry.
pub(crate) fn set(
    transaction: &mut Transaction<'_>,
    new: &Checked,
    audit: &Event,
) -> Result<ValidRecipientsChanged, Failure> {
    let stream = &*new.stream;
    let mut changes = Vec::new();
    for (address, is_wanted) in &new.addresses {
        if transaction.valid_recipients.len_of((stream, &**address))?.is_some() != *is_wanted {
            let value = is_wanted.then_some(&*new.row);
            changes.push(Change { key: (stream, &**address), key_len: stream.len() + address.len(), value });
        }
    }
    let bound = Bound {
        what: "valid recipients",
        most: new.most,
        space: &transaction.space,
        state: &transaction.state,
    };
    let before = bound.state.tallies.valid_recipients;
    let tally = change(&mut transaction.valid_recipients, before, &changes, &bound)?;
    transaction.state.tallies.valid_recipients = tally;
    ring::append_audit(transaction, audit)?;
    let added = changes.iter().filter(|change| change.value.is_some()).count();
    Ok(ValidRecipientsChanged { added, removed: changes.len() - added })
}

pub(crate) fn get(
    engine: &Engine,
    stream: &str,
    address: &str,
) -> Result<Option<ValidRecipient>, StoreError> {
    engine.read(|snapshot| {
        let row = snapshot.open_table(VALID_RECIPIENTS)?.get((stream, address))?;
        row.map(|row| read(address, row.value())).transpose()
    })
}

fn read(address: &str, row: &[u8]) -> Result<ValidRecipient, Failure> {
    let Row { added_at, by } = decode(row, "a valid recipient")?;
    Ok(ValidRecipient { address: address.into(), added_at, by })
}

pub(crate) fn of_stream(engine: Arc<Engine>, stream: &str) -> Scan<ValidRecipient> {
    let stream = Box::<str>::from(stream);
    let mut after = Box::<str>::default();
    Scan::new(engine, move |snapshot| {
        // No address is empty.
        let from = Excluded((&*stream, &*after));
        let rows = snapshot.open_table(VALID_RECIPIENTS)?.range::<(&str, &str)>((from, Unbounded))?;
        let mut found: Vec<ValidRecipient> = Vec::new();
        for row in rows.take(BATCH) {
            let (key, row) = row?;
            let (of, address) = key.value();
            if of != &*stream {
                break;
            }
            found.push(read(address, row.value())?);
        }
        if let Some(last) = found.last() {
            after = last.address.clone();
        }
        Ok(found)
    })
}

/// Every stream that has an entry, found by leaping from one to the next.
pub(crate) fn streams(engine: &Engine) -> Result<Vec<Box<str>>, StoreError> {
    let mut found: Vec<Box<str>> = Vec::new();
    engine.read(|snapshot| {
        let table = snapshot.open_table(VALID_RECIPIENTS)?;
        loop {
            // No name holds a NUL, which sorts before all else.
            let from = found.last().map_or_else(String::new, |last| format!("{last}\0"));
            let Some(row) = table.range::<(&str, &str)>((&*from, "")..)?.next() else { return Ok(()) };
            found.push(row?.0.value().0.into());
        }
    })?;
    Ok(found)
}
