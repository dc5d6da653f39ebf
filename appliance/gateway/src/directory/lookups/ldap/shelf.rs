//! A directory's copy on the disk: a generation of its objects, and a state that says which one holds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use config_schema::user_lookup::ldap::{AttributeName, Ldap};
use directory::copy::{Copy, Object};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{DirectoryChange, Resource, Store, StoreError};

/// The form of the state. What begins otherwise is another method's.
const FORM: &str = "ldap 1";
/// Objects that one change puts, and octets after which it is full.
const CHANGE_OBJECTS: usize = 1_000;
const CHANGE_OCTETS: usize = 1 << 20;
/// Octets of one object's record; the store takes no more.
pub(super) const RECORD_MAX: usize = 60_000;
/// How long the store is given when it has too much to do.
const BUSY: Duration = Duration::from_millis(100);
const BUSY_TIMES: usize = 100;

/// Where one lookup's copy lies. Its calls wait for the disk: they are for threads.
#[derive(Debug)]
pub(super) struct Shelf {
    store: Store,
    lookup: Box<str>,
    extent: [u8; 32],
    /// The generation that holds.
    generation: Option<u32>,
    /// Once it is set nothing more is written.
    ended: Arc<AtomicBool>,
}

#[derive(Serialize, Deserialize)]
struct State<'s> {
    form: &'s str,
    extent: [u8; 32],
    generation: u32,
    /// In seconds since 1970.
    read_at: u64,
}

/// What was found on the disk.
pub(super) struct Found {
    pub(super) shelf: Shelf,
    pub(super) copy: Copy,
    /// Why what was found is of no use.
    pub(super) unread: Option<&'static str>,
}

/// Which part of which directory a copy is of: another base, filter or attribute makes another copy, and another
/// server of the same directory does not.
fn extent(ldap: &Ldap) -> [u8; 32] {
    let names = |names: &[AttributeName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let (addresses, streams) = (names(&ldap.address_attributes), names(&ldap.stream_attributes));
    Sha256::digest(format!("{}\n{}\n{addresses}\n{streams}", ldap.base.as_str(), ldap.entries())).into()
}

impl Shelf {
    /// Opens it, with the copy that it has; an empty one if there is none that can be used.
    pub(super) fn open(
        store: &Store,
        lookup: &str,
        ldap: &Ldap,
        ended: Arc<AtomicBool>,
    ) -> Result<Found, StoreError> {
        let extent = extent(ldap);
        let mut shelf =
            Shelf { store: store.clone(), lookup: lookup.into(), extent, generation: None, ended };
        let nothing = |shelf, unread| Ok(Found { shelf, copy: Copy::new(), unread });
        let Some(bytes) = store.directory_state(lookup)? else { return nothing(shelf, None) };
        let state = match postcard::from_bytes::<State<'_>>(&bytes) {
            Ok(state) if state.form == FORM => state,
            _ => return nothing(shelf, Some("the kept state of the copy cannot be read")),
        };
        if state.extent != extent {
            return nothing(shelf, Some("the kept copy is of another base, filter or attributes"));
        }
        let Some(mut copy) = shelf.load(state.generation)? else {
            return nothing(shelf, Some("a kept object cannot be read"));
        };
        shelf.generation = Some(state.generation);
        copy.set_synced(state.read_at);
        copy.shrink();
        Ok(Found { shelf, copy, unread: None })
    }

    /// `None`: an object is damaged.
    fn load(&self, generation: u32) -> Result<Option<Copy>, StoreError> {
        let mut copy = Copy::new();
        for row in self.store.directory_objects(&self.lookup, generation) {
            let (key, record) = row?;
            let object = std::str::from_utf8(&key).ok().and_then(|id| Object::from_record(id, &record).ok());
            if object.is_none_or(|object| copy.put(&object).is_err()) {
                return Ok(None);
            }
        }
        Ok(Some(copy))
    }

    /// Puts this copy in the place of the one that is there: into a generation beside it, which holds from the
    /// moment that it is whole. If nothing has changed `since`, only when it was read is written.
    pub(super) fn keep(&mut self, copy: &Copy, read_at: u64, is_same: bool) -> Result<(), StoreError> {
        let generation = match self.generation {
            Some(generation) if is_same => generation,
            _ => self.write(copy)?,
        };
        let state = State { form: FORM, extent: self.extent, generation, read_at };
        let state = postcard::to_allocvec(&state).expect("numbers and texts can be written");
        self.change(generation, Vec::new(), Some(state))?;
        self.generation = Some(generation);
        self.tidy()
    }

    /// Writes a new generation, which does not hold yet.
    fn write(&mut self, copy: &Copy) -> Result<u32, StoreError> {
        // What an attempt that failed has left.
        self.tidy()?;
        let generation = self.generation.map_or(1, |holds| holds.wrapping_add(1));
        // In their order on the disk, so that each page of it is written once.
        let mut ids: Vec<Box<str>> = copy.objects().map(|object| object.id().into()).collect();
        ids.sort_unstable();
        let (mut put, mut octets) = (Vec::new(), 0);
        for object in ids.iter().filter_map(|id| copy.object(id)) {
            let record = object.record();
            octets += object.id().len() + record.len();
            put.push((Box::from(object.id().as_bytes()), record));
            if put.len() == CHANGE_OBJECTS || octets >= CHANGE_OCTETS {
                self.change(generation, std::mem::take(&mut put), None)?;
                octets = 0;
            }
        }
        self.change(generation, put, None)?;
        Ok(generation)
    }

    fn change(
        &self,
        generation: u32,
        put: Vec<(Box<[u8]>, Vec<u8>)>,
        state: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let lookup = self.lookup.clone();
        let change = DirectoryChange { lookup, generation, put, remove: Vec::new(), state };
        self.patiently(|| self.store.change_directory(change.clone()).wait())
    }

    /// Drops every generation but the one that holds.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        for (lookup, generation) in self.store.directory_generations()? {
            if lookup != self.lookup || Some(generation) == self.generation {
                continue;
            }
            while self.patiently(|| self.store.directory_drop(&lookup, generation).wait())? {}
        }
        Ok(())
    }

    /// Mail has the disk first: whoever has time waits.
    fn patiently<T>(&self, mut write: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        for _ in 0..BUSY_TIMES {
            if self.ended.load(Ordering::Relaxed) {
                return Err(Resource::Closed.into());
            }
            match write() {
                Err(StoreError::Resource(Resource::Busy { .. })) => std::thread::sleep(BUSY),
                result => return result,
            }
        }
        write()
    }

    /// Nothing is to be kept, and nothing is kept.
    pub(super) fn clear(store: &Store, lookup: &str) -> Result<(), StoreError> {
        store.forget_directory_state(lookup).wait()?;
        for (of, generation) in store.directory_generations()? {
            while &*of == lookup && store.directory_drop(lookup, generation).wait()? {}
        }
        Ok(())
    }
}
