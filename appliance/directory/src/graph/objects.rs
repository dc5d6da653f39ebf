//! One collection in memory: objects by id, and by address. Addresses are not stored twice.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use config_schema::Guid;
use hashbrown::HashTable;

use super::{collection::Collection, record::Record};

/// Objects of one collection.
pub const OBJECTS_MAX: usize = 500_000;

/// Objects, and which of them has an address.
#[derive(Debug)]
pub(super) struct Objects {
    collection: Collection,
    slots: Vec<Option<(Guid, Record)>>,
    free: Vec<u32>,
    ids: HashTable<u32>,
    /// Each address of each object. An address may have several.
    addresses: HashTable<Entry>,
    hasher: RandomState,
}

/// An address of the object in a slot. The hash is kept, since the table asks for it as it grows.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    slot: u32,
}

/// More than [`OBJECTS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Objects {
    pub(super) fn new(collection: Collection) -> Objects {
        Objects {
            collection,
            slots: Vec::new(),
            free: Vec::new(),
            ids: HashTable::new(),
            addresses: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get(&self, id: Guid) -> Option<&Record> {
        let slot = self.ids.find(self.hasher.hash_one(id), |slot| self.id(*slot) == Some(id))?;
        self.at(*slot).map(|(_, record)| record)
    }

    /// Puts a record in the place of an earlier one.
    pub(super) fn put(&mut self, id: Guid, record: Record) -> Result<(), Full> {
        self.remove(id);
        if self.len() >= OBJECTS_MAX {
            return Err(Full);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("there are fewer than OBJECTS_MAX slots")
        });
        let hashes: Vec<u64> =
            record.addresses(self.collection).map(|address| self.hasher.hash_one(address)).collect();
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some((id, record));
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_id = |slot: &u32| match slots.get(*slot as usize) {
            Some(Some((id, _))) => hasher.hash_one(id),
            _ => 0,
        };
        self.ids.insert_unique(hasher.hash_one(id), slot, hash_id);
        for hash in hashes {
            self.addresses.insert_unique(hash, Entry { hash, slot }, |entry| entry.hash);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: Guid) -> Option<Record> {
        let slots = &self.slots;
        let is = |slot: &u32| matches!(slots.get(*slot as usize), Some(Some((found, _))) if *found == id);
        let Ok(entry) = self.ids.find_entry(self.hasher.hash_one(id), is) else { return None };
        let (slot, _) = entry.remove();
        let (_, record) = self.slots.get_mut(slot as usize)?.take()?;
        for address in record.addresses(self.collection) {
            let hash = self.hasher.hash_one(address);
            if let Ok(entry) =
                self.addresses.find_entry(hash, |found| found.slot == slot && found.hash == hash)
            {
                entry.remove();
            }
        }
        self.free.push(slot);
        Some(record)
    }

    /// The objects that have an address.
    pub(super) fn owners(&self, address: &str) -> impl Iterator<Item = (Guid, &Record)> {
        let hash = self.hasher.hash_one(address);
        let has = move |record: &Record| record.addresses(self.collection).any(|own| own == address);
        self.addresses
            .iter_hash(hash)
            .filter(move |entry| entry.hash == hash)
            .filter_map(|entry| self.at(entry.slot))
            .filter(move |(_, record)| has(record))
            .map(|(id, record)| (*id, record))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Guid, &Record)> {
        self.slots.iter().flatten().map(|(id, record)| (*id, record))
    }

    fn at(&self, slot: u32) -> Option<&(Guid, Record)> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn id(&self, slot: u32) -> Option<Guid> {
        self.at(slot).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::page::{Change, Properties};

    fn guid(n: usize) -> Guid {
        Guid::from_bytes((n as u128).to_be_bytes())
    }

    fn record(proxies: &[&str]) -> Record {
        let proxies = proxies.iter().map(|proxy| format!("smtp:{proxy}")).collect();
        Record::default().after(Properties { proxy_addresses: Change::Set(proxies), ..Properties::default() })
    }

    fn owners(objects: &Objects, address: &str) -> Vec<Guid> {
        let mut ids: Vec<Guid> = objects.owners(address).map(|(id, _)| id).collect();
        ids.sort();
        ids
    }

    #[test]
    fn addresses_follow_their_objects() {
        let mut objects = Objects::new(Collection::Users);
        objects.put(guid(1), record(&["a@x.example", "b@x.example"])).unwrap();
        objects.put(guid(2), record(&["b@x.example"])).unwrap();
        assert_eq!(owners(&objects, "b@x.example"), [guid(1), guid(2)]);
        objects.put(guid(1), record(&["c@x.example"])).unwrap();
        assert_eq!(owners(&objects, "a@x.example"), []);
        assert_eq!(owners(&objects, "b@x.example"), [guid(2)]);
        assert_eq!(owners(&objects, "c@x.example"), [guid(1)]);
        assert!(objects.remove(guid(2)).is_some() && objects.remove(guid(2)).is_none());
        assert_eq!(owners(&objects, "b@x.example"), []);
        assert_eq!((objects.len(), objects.get(guid(1)).is_some(), objects.get(guid(2))), (1, true, None));
        objects.put(guid(3), record(&["a@x.example"])).unwrap();
        assert_eq!(objects.iter().count(), 2);
    }

    #[test]
    fn there_is_a_most() {
        let mut objects = Objects::new(Collection::Contacts);
        for n in 0..OBJECTS_MAX {
            objects.put(guid(n), Record::default()).unwrap();
        }
        assert_eq!(objects.put(guid(OBJECTS_MAX), Record::default()), Err(Full));
        assert_eq!(objects.put(guid(7), Record::default()), Ok(()));
    }
}
