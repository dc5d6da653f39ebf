//! Directory copies: what a user lookup's directory holds, so that mail flows when it does not answer.
//!
//! A copy is built beside the one in use as a further generation, and the older one is dropped afterwards.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use crate::{
    Limits, StoreError,
    engine::Engine,
    failure::Failure,
    record::{check_change, check_key, check_value},
    scan::{BATCH, Scan},
    tables::{DIRECTORIES, OBJECTS, Transaction},
    tally::{Bound, Change, change},
};

/// Longest name of a user lookup, in bytes.
const LOOKUP_MAX: usize = 64;
/// Objects removed by one step of [`crate::Store::directory_drop`].
pub const DROP_STEP: usize = 1000;

/// What changes in one copy, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectoryChange {
    /// The user lookup's name.
    pub lookup: Box<str>,
    /// Which copy of its objects.
    pub generation: u32,
    /// Objects by their key, over what they were before; of equal keys the last one holds.
    pub put: Vec<(Box<[u8]>, Vec<u8>)>,
    /// Keys of objects that are gone, also those that are put.
    pub remove: Vec<Box<[u8]>>,
    /// Where the copy stands, such as which generation holds and how to go on; `None`: as it was.
    pub state: Option<Vec<u8>>,
}

/// A change that keeps the limits, sorted.
pub(crate) struct Checked {
    lookup: Box<str>,
    generation: u32,
    objects: BTreeMap<Box<[u8]>, Option<Vec<u8>>>,
    state: Option<Vec<u8>>,
    most: (usize, usize),
}

impl DirectoryChange {
    pub(crate) fn bytes(&self) -> usize {
        self.put.iter().map(|(_, object)| object.len()).sum()
    }

    /// Refuses what goes over a limit.
    pub(crate) fn check(self, limits: &Limits) -> Result<Checked, StoreError> {
        if self.lookup.is_empty() || self.lookup.len() > LOOKUP_MAX {
            let text =
                format!("a lookup's name of {} bytes; it may have 1 to {LOOKUP_MAX}", self.lookup.len());
            return Err(StoreError::Refused(text));
        }
        check_change(self.put.len() + self.remove.len(), limits)?;
        self.put
            .iter()
            .map(|(key, _)| key)
            .chain(&self.remove)
            .try_for_each(|key| check_key(key.len(), limits))?;
        self.put
            .iter()
            .map(|(_, object)| object)
            .chain(&self.state)
            .try_for_each(|value| check_value(value.len(), limits))?;
        let mut objects: BTreeMap<_, _> =
            self.put.into_iter().map(|(key, object)| (key, Some(object))).collect();
        objects.extend(self.remove.into_iter().map(|key| (key, None)));
        let most = (limits.directories, limits.directory_objects);
        Ok(Checked { lookup: self.lookup, generation: self.generation, objects, state: self.state, most })
    }
}

pub(crate) fn apply(transaction: &mut Transaction<'_>, new: &Checked) -> Result<(), Failure> {
    let lookup = &*new.lookup;
    let changes: Vec<_> = new
        .objects
        .iter()
        .map(|(key, object)| Change {
            key: (lookup, new.generation, &**key),
            key_len: lookup.len() + key.len(),
            value: object.as_deref(),
        })
        .collect();
    let bound = Bound {
        what: "objects of directories",
        most: new.most.1,
        space: &transaction.space,
        state: &transaction.state,
    };
    transaction.state.tallies.objects =
        change(&mut transaction.objects, bound.state.tallies.objects, &changes, &bound)?;
    let Some(state) = &new.state else { return Ok(()) };
    let changes = [Change { key: lookup, key_len: lookup.len(), value: Some(&**state) }];
    let bound =
        Bound { what: "directories", most: new.most.0, space: &transaction.space, state: &transaction.state };
    transaction.state.tallies.directories =
        change(&mut transaction.directories, bound.state.tallies.directories, &changes, &bound)?;
    Ok(())
}

pub(crate) fn state(engine: &Engine, lookup: &str) -> Result<Option<Vec<u8>>, StoreError> {
    engine.read(|snapshot| {
        let row = snapshot.open_table(DIRECTORIES)?.get(lookup)?;
        Ok(row.map(|state| state.value().to_vec()))
    })
}

pub(crate) fn objects(engine: Arc<Engine>, lookup: &str, generation: u32) -> Scan<(Box<[u8]>, Vec<u8>)> {
    let lookup = Box::<str>::from(lookup);
    let mut after: Option<Box<[u8]>> = None;
    Scan::new(engine, move |snapshot| {
        let from = match &after {
            Some(key) => Excluded((&*lookup, generation, &**key)),
            None => Included((&*lookup, generation, [].as_slice())),
        };
        let rows = snapshot.open_table(OBJECTS)?.range::<(&str, u32, &[u8])>((from, Unbounded))?;
        let mut read: Vec<(Box<[u8]>, Vec<u8>)> = Vec::new();
        for row in rows.take(BATCH) {
            let (key, object) = row?;
            let (of, number, key) = key.value();
            if (of, number) != (&*lookup, generation) {
                break;
            }
            read.push((key.into(), object.value().to_vec()));
        }
        after = read.last().map(|(key, _)| key.clone());
        Ok(read)
    })
}

/// The user lookups that have a state.
pub(crate) fn names(engine: &Engine) -> Result<Vec<Box<str>>, StoreError> {
    engine.read(|snapshot| {
        let table = snapshot.open_table(DIRECTORIES)?;
        let mut names = Vec::new();
        for row in table.range::<&str>(..)? {
            names.push(Box::from(row?.0.value()));
        }
        Ok(names)
    })
}

/// Every user lookup's generations that have an object, found by leaping from one to the next.
pub(crate) fn generations(engine: &Engine) -> Result<Vec<(Box<str>, u32)>, StoreError> {
    let mut found: Vec<(Box<str>, u32)> = Vec::new();
    engine.read(|snapshot| {
        let table = snapshot.open_table(OBJECTS)?;
        loop {
            // No key is empty, so that an object's key lies behind the one of the next generation.
            let from = match found.last() {
                Some((lookup, u32::MAX)) => (format!("{lookup}\0"), 0),
                Some((lookup, generation)) => (lookup.to_string(), generation + 1),
                None => (String::new(), 0),
            };
            let from = (&*from.0, from.1, [].as_slice());
            let Some(row) = table.range::<(&str, u32, &[u8])>(from..)?.next() else { return Ok(()) };
            let (key, _) = row?;
            let (lookup, generation, _) = key.value();
            found.push((lookup.into(), generation));
        }
    })?;
    Ok(found)
}

/// Removes up to [`DROP_STEP`] objects of a generation. Whether any are left.
pub(crate) fn drop_generation(
    transaction: &mut Transaction<'_>,
    lookup: &str,
    generation: u32,
) -> Result<bool, Failure> {
    let mut keys = transaction.objects.keys_from(
        (lookup, generation, [].as_slice()),
        DROP_STEP + 1,
        |(of, number, key)| ((of, number) == (lookup, generation)).then(|| Box::<[u8]>::from(key)),
    )?;
    let is_left = keys.len() > DROP_STEP;
    keys.truncate(DROP_STEP);
    for key in keys {
        let old = transaction.objects.remove((lookup, generation, &*key))?;
        transaction.state.tallies.objects.note(lookup.len() + key.len(), old, None);
    }
    Ok(is_left)
}

/// Forgets where a copy stands.
pub(crate) fn forget_state(transaction: &mut Transaction<'_>, lookup: &str) -> Result<(), Failure> {
    if transaction.directories.len_of(lookup)?.is_some() {
        let old = transaction.directories.remove(lookup)?;
        transaction.state.tallies.directories.note(lookup.len(), old, None);
    }
    Ok(())
}
