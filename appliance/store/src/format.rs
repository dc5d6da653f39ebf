//! The version of what lies in the tables, and the way from each version to the next.

use redb::{Database, WriteTransaction};

use crate::{
    StoreError,
    failure::Failure,
    space::{Space, footprint},
    spool,
    tables::{META, STATE_ROW, State, Tallies, Transaction, encode},
};

/// The version that this program writes.
///
/// | version | what it brought |
/// | --- | --- |
/// | 1 | messages, bodies, spilled, queue, schedule, log, audit, configurations, values |
/// | 2 | records, directories and their objects, streams, counts, valid recipients; their tallies in the state |
pub(crate) const FORMAT: u32 = 2;

/// The row of [`META`] that holds the version, four bytes, little-endian.
const FORMAT_ROW: &str = "format";

/// Each brings the tables from one version to the next: the first from 1 to 2, and so on.
const MIGRATIONS: [Migration; (FORMAT - 1) as usize] = [to_2];

type Migration = fn(&WriteTransaction) -> Result<(), Failure>;

/// Orphaned bytes removed in one transaction when the store is opened.
const SWEEP_BYTES: u64 = 64 << 20;

/// Creates or migrates the tables, all or nothing, and removes what was being received when the power went.
pub(crate) fn prepare(database: &Database, space: Space) -> Result<State, Failure> {
    migrate(database, space)?;
    loop {
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        let mut transaction = Transaction::open(&write, space)?;
        if transaction.spilled.count()? == 0 {
            let state = transaction.state;
            drop(transaction);
            write.abort()?;
            return Ok(state);
        }
        sweep(&mut transaction)?;
        transaction.save_state()?;
        drop(transaction);
        write.commit()?;
    }
}

fn migrate(database: &Database, space: Space) -> Result<(), Failure> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    let found = version(&write)?;
    match found {
        Some(FORMAT) => return Ok(write.abort()?),
        Some(found) if found > FORMAT => return Err(StoreError::NewerFormat { found, known: FORMAT }.into()),
        Some(0) => return Err(Failure::damaged("the format has version 0")),
        Some(found) => {
            for step in &MIGRATIONS[found as usize - 1..] {
                step(&write)?;
            }
            // A table that is new is made by opening it.
            drop(Transaction::open(&write, space)?);
        }
        None => Transaction::open(&write, space)?.save_state()?,
    }
    write.open_table(META)?.insert(FORMAT_ROW, FORMAT.to_le_bytes().as_slice())?;
    Ok(write.commit()?)
}

/// The tallies stand behind everything that the state had before.
fn to_2(write: &WriteTransaction) -> Result<(), Failure> {
    let mut meta = write.open_table(META)?;
    let row = redb::ReadableTable::get(&meta, STATE_ROW)?.map(|row| row.value().to_vec());
    let mut state = row.ok_or_else(|| Failure::damaged("the state is missing"))?;
    state.extend(encode(&Tallies::default()));
    meta.insert(STATE_ROW, state.as_slice())?;
    Ok(())
}

fn version(write: &WriteTransaction) -> Result<Option<u32>, Failure> {
    let meta = write.open_table(META)?;
    let Some(row) = redb::ReadableTable::get(&meta, FORMAT_ROW)? else { return Ok(None) };
    let bytes = row.value().try_into().map_err(|_| Failure::damaged("the format's version"))?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

fn sweep(transaction: &mut Transaction<'_>) -> Result<(), Failure> {
    let mut swept = 0;
    while swept < SWEEP_BYTES {
        let Some(id) = transaction.spilled.first()?.map(|id| id.value()) else { return Ok(()) };
        swept += spool::discard(transaction, id)? + footprint(0);
        transaction.spilled.remove(id)?;
    }
    Ok(())
}
