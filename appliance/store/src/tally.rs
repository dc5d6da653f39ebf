//! How many rows a table has and what they take, and changes that stay within its limit.

use redb::Key;
use serde::{Deserialize, Serialize};

use crate::{
    StoreError,
    failure::Failure,
    space::{Space, footprint},
    tables::{Rows, State},
};

/// Rows of one table, and the bytes of disk that they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// One row to be put or, by `None`, removed.
pub(crate) struct Change<'k, K: Key + 'static> {
    pub(crate) key: K::SelfType<'k>,
    /// Bytes of the key.
    pub(crate) key_len: usize,
    pub(crate) value: Option<&'k [u8]>,
}

/// What changes of a table are held against.
pub(crate) struct Bound<'b> {
    /// What a row is, in the plural.
    pub(crate) what: &'static str,
    /// Rows that the table may have.
    pub(crate) most: usize,
    pub(crate) space: &'b Space,
    pub(crate) state: &'b State,
}

impl Tally {
    /// Counts a row of which the value had `old` bytes and now has `new`; `None`: there is no such row.
    pub(crate) fn note(&mut self, key: usize, old: Option<usize>, new: Option<usize>) {
        let bytes = |len: Option<usize>| len.map_or(0, |len| footprint(key + len));
        self.rows = (self.rows + u64::from(new.is_some())).saturating_sub(u64::from(old.is_some()));
        self.bytes = (self.bytes + bytes(new)).saturating_sub(bytes(old));
    }
}

/// Changes rows of a table, each key once; returns its tally. What would go over the limit, or grow into the
/// reserve, is refused before anything is written.
pub(crate) fn change<K: Key + 'static>(
    rows: &mut Rows<'_, K>,
    before: Tally,
    changes: &[Change<'_, K>],
    bound: &Bound<'_>,
) -> Result<Tally, Failure> {
    let mut tally = before;
    let mut there = Vec::with_capacity(changes.len());
    for change in changes {
        let old = rows.len_of(&change.key)?;
        tally.note(change.key_len, old, change.value.map(<[u8]>::len));
        there.push(old.is_some());
    }
    if tally.rows > before.rows && tally.rows > bound.most as u64 {
        let text = format!("{} {}; there may be {}", tally.rows, bound.what, bound.most);
        return Err(StoreError::Refused(text).into());
    }
    if tally.bytes > before.bytes {
        bound.space.admit(bound.state, tally.bytes - before.bytes)?;
    }
    for (change, there) in changes.iter().zip(there) {
        match change.value {
            Some(value) => rows.put(&change.key, value).map(drop)?,
            None if there => rows.remove(&change.key).map(drop)?,
            // Nothing is written when there is nothing to do, so that no commit is made for it.
            None => {}
        }
    }
    Ok(tally)
}
