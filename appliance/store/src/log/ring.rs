//! Writing the logs: events in blocks, the oldest blocks dropped beyond the budget.

use super::Event;
use crate::{
    failure::Failure,
    space::footprint,
    tables::{RingState, Rows, Transaction, encode},
};

/// Bytes of a block: with its key it fills a database page of 16 KiB.
const BLOCK_BYTES: usize = (16 << 10) - 64;
/// Events of a block, so that [`super::Position`] can count them.
const BLOCK_EVENTS: usize = 1024;

/// Appends `events` and those of the transaction's writes.
pub(crate) fn append(transaction: &mut Transaction<'_>, events: &[Event]) -> Result<(), Failure> {
    let mut all = std::mem::take(&mut transaction.events);
    all.extend(events.iter().cloned());
    if all.is_empty() {
        return Ok(());
    }
    let budget = transaction.space.log_budget(&transaction.state);
    write(&mut transaction.log, &mut transaction.state.log, &mut all, budget)
}

/// Appends one entry to the audit log.
pub(crate) fn append_audit(transaction: &mut Transaction<'_>, event: &Event) -> Result<(), Failure> {
    let budget = transaction.space.audit_budget;
    write(&mut transaction.audit, &mut transaction.state.audit, &mut [event.clone()], budget)
}

fn write(
    rows: &mut Rows<'_, u64>,
    ring: &mut RingState,
    events: &mut [Event],
    budget: u64,
) -> Result<(), Failure> {
    events.iter_mut().for_each(Event::check);
    let mut rest = &*events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.size();
            bytes <= BLOCK_BYTES
        };
        let count = rest.iter().take(BLOCK_EVENTS).take_while(fits).count().max(1);
        let (block, later) = rest.split_at(count);
        put_block(rows, ring, block)?;
        rest = later;
    }
    while ring.bytes > budget {
        // The last block stays, however small the budget.
        let Some(first) = rows.first()?.map(|key| key.value()) else { break };
        if first == ring.last {
            break;
        }
        let Some(len) = rows.remove_first()? else { break };
        ring.bytes = ring.bytes.saturating_sub(footprint(len));
    }
    Ok(())
}

/// The number of a block is the time of its first event where that goes up, so that a search by time finds
/// its place.
fn put_block(rows: &mut Rows<'_, u64>, ring: &mut RingState, block: &[Event]) -> Result<(), Failure> {
    let at = block.first().map_or(0, |event| event.at.unix_micros());
    ring.last = at.max(ring.last.saturating_add(1));
    let bytes = encode(&block);
    rows.put(ring.last, &bytes)?;
    ring.bytes += footprint(bytes.len());
    Ok(())
}
