//! Counts: how many messages each stream had in each billing cycle, by domain.

use std::{
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{StreamMail, room_for};
use crate::{
    StoreError, Timestamp,
    engine::Engine,
    failure::Failure,
    scan::{BATCH, Scan},
    tables::{COUNTS, Transaction, decode, encode},
};

/// Rows of earlier cycles removed for each new row, so that a cycle goes in small steps.
const REMOVED_A_ROW: usize = 64;

/// What a stream had in a cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// `realm:stream`.
    pub stream: Box<str>,
    /// The domain of the recipients.
    pub domain: Box<str>,
    /// When its first message arrived.
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub messages: u64,
    /// The recipient of the first message.
    pub address: Box<str>,
    /// Why that address was this stream's.
    pub because: Box<str>,
}

/// The row of a count.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    first_at: Timestamp,
    last_at: Timestamp,
    messages: u64,
    address: Box<str>,
    because: Box<str>,
}

/// Counts a message.
pub(super) fn note(
    transaction: &mut Transaction<'_>,
    mail: &StreamMail,
    at: Timestamp,
) -> Result<(), Failure> {
    let key = (mail.cycle, &*mail.stream, &*mail.domain);
    let old = transaction.counts.get(key)?;
    let row = match old.as_deref() {
        Some(row) => {
            let row: Row = decode(row, "a count")?;
            Row {
                first_at: row.first_at.min(at),
                last_at: row.last_at.max(at),
                messages: row.messages.saturating_add(1),
                ..row
            }
        }
        None => {
            make_room(transaction, mail.cycle)?;
            let (address, because) = (mail.address.clone(), mail.because.clone());
            Row { first_at: at, last_at: at, messages: 1, address, because }
        }
    };
    let bytes = encode(&row);
    transaction.counts.put(key, &bytes)?;
    let key_len = mail.stream.len() + mail.domain.len();
    transaction.state.tallies.counts.note(key_len, old.map(|old| old.len()), Some(bytes.len()));
    Ok(())
}

/// Removes something of the cycles that are no longer kept, and sees that one more row is allowed.
fn make_room(transaction: &mut Transaction<'_>, cycle: u32) -> Result<(), Failure> {
    if transaction.counts.is_empty_in((cycle, "", "")..(cycle + 1, "", ""))? {
        // By their number and not by the clock: one that once ran wrong must not cost what is billed.
        let mut cycles = kept(transaction)?;
        cycles.push(cycle);
        cycles.sort_unstable();
        let from = cycles.len().checked_sub(transaction.space.cycles.max(1)).map_or(0, |at| cycles[at]);
        transaction.state.tallies.counts_from = transaction.state.tallies.counts_from.max(from);
    }
    let from = transaction.state.tallies.counts_from;
    let old = transaction.counts.keys_from((0, "", ""), REMOVED_A_ROW, |(cycle, stream, domain)| {
        (cycle < from).then(|| (cycle, Box::<str>::from(stream), Box::<str>::from(domain)))
    })?;
    for (cycle, stream, domain) in old {
        let old = transaction.counts.remove((cycle, &*stream, &*domain))?;
        transaction.state.tallies.counts.note(stream.len() + domain.len(), old, None);
    }
    room_for("counts", transaction.state.tallies.counts.rows, transaction.space.counts)?;
    Ok(())
}

/// The cycles that have a row and are not being removed, oldest first.
fn kept(transaction: &Transaction<'_>) -> Result<Vec<u32>, Failure> {
    let mut cycles = Vec::new();
    let mut from = transaction.state.tallies.counts_from;
    while let Some(cycle) = transaction.counts.keys_from((from, "", ""), 1, |key| Some(key.0))?.pop() {
        cycles.push(cycle);
        from = cycle + 1;
    }
    Ok(cycles)
}

/// The cycles that have a count, oldest first.
pub(crate) fn cycles(engine: &Engine) -> Result<Vec<u32>, StoreError> {
    let from = engine.state().tallies.counts_from;
    engine.read(|snapshot| {
        let table = snapshot.open_table(COUNTS)?;
        let mut cycles = Vec::new();
        let mut next = from;
        while let Some(row) = table.range::<(u32, &str, &str)>((next, "", "")..)?.next() {
            let cycle = row?.0.value().0;
            cycles.push(cycle);
            next = cycle + 1;
        }
        Ok(cycles)
    })
}

/// The counts of a cycle, by stream and domain.
pub(crate) fn of_cycle(engine: Arc<Engine>, cycle: u32) -> Scan<Count> {
    let mut after: Option<(Box<str>, Box<str>)> = None;
    Scan::new(engine, move |snapshot| {
        let from = match &after {
            Some((stream, domain)) => Excluded((cycle, &**stream, &**domain)),
            None => Included((cycle, "", "")),
        };
        let rows = snapshot.open_table(COUNTS)?.range::<(u32, &str, &str)>((from, Unbounded))?;
        let mut read: Vec<Count> = Vec::new();
        for row in rows.take(BATCH) {
            let (key, row) = row?;
            let (number, stream, domain) = key.value();
            if number != cycle {
                break;
            }
            let Row { first_at, last_at, messages, address, because } = decode(row.value(), "a count")?;
            let (stream, domain) = (stream.into(), domain.into());
            read.push(Count { stream, domain, first_at, last_at, messages, address, because });
        }
        after = read.last().map(|last| (last.stream.clone(), last.domain.clone()));
        Ok(read)
    })
}
