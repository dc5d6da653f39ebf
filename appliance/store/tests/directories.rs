//! Copies of directories: changed as a whole, one generation beside the other, bounded.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod world;

use std::sync::Arc;

use store::{DROP_STEP, DirectoryChange, Limits, Resource, Store, StoreError, testing::MemoryDisk};
use world::{limits, new_store, open};

fn objects(numbers: std::ops::Range<usize>, len: usize) -> Vec<(Box<[u8]>, Vec<u8>)> {
    let key = |number: usize| number.to_be_bytes().to_vec().into_boxed_slice();
    numbers.map(|number| (key(number), vec![number as u8; len])).collect()
}

fn put(lookup: &str, generation: u32, put: Vec<(Box<[u8]>, Vec<u8>)>) -> DirectoryChange {
    DirectoryChange { lookup: lookup.into(), generation, put, ..DirectoryChange::default() }
}

fn count(store: &Store, lookup: &str, generation: u32) -> usize {
    store.directory_objects(lookup, generation).map(Result::unwrap).count()
}

#[test]
fn one_generation_is_built_beside_the_other_and_takes_its_place() {
    let (disk, store) = new_store();
    let change = |change| store.change_directory(change).wait().unwrap();
    change(DirectoryChange { state: Some(b"1".to_vec()), ..put("ad", 1, objects(0..1500, 20)) });
    change(put("ad", 2, objects(0..700, 30)));
    change(put("ada", 1, objects(3..4, 30)));
    change(put("ad", u32::MAX, objects(0..5, 1)));
    let all = [("ad", 1), ("ad", 2), ("ad", u32::MAX), ("ada", 1)].map(|(name, at)| (Box::from(name), at));
    assert_eq!(store.directory_generations().unwrap(), all);
    assert_eq!(store.directory_state("ad"), Ok(Some(b"1".to_vec())));
    // The last page of the new generation comes with the word that it holds from now on.
    let remove = vec![0_usize.to_be_bytes().to_vec().into_boxed_slice(), Box::from(*b"unknown")];
    change(DirectoryChange { remove, state: Some(b"2".to_vec()), ..put("ad", 2, objects(699..800, 31)) });

    let store = open(&Arc::new(disk.after_power_cut(2)));
    assert_eq!(store.directory_state("ad"), Ok(Some(b"2".to_vec())));
    let found: Vec<_> = store.directory_objects("ad", 2).map(Result::unwrap).collect();
    let mut expected = objects(1..699, 30);
    expected.extend(objects(699..800, 31));
    assert_eq!(found, expected);

    assert_eq!(store.directory_drop("ad", 1).wait(), Ok(true));
    assert_eq!(count(&store, "ad", 1), 1500 - DROP_STEP);
    assert_eq!(store.directory_drop("ad", 1).wait(), Ok(false));
    assert_eq!(store.directory_drop("ad", 1).wait(), Ok(false));
    assert_eq!((count(&store, "ad", 1), count(&store, "ad", 2), count(&store, "ada", 1)), (0, 799, 1));
    for (lookup, generation) in store.directory_generations().unwrap() {
        while store.directory_drop(&lookup, generation).wait().unwrap() {}
    }
    assert!(store.usage().table_bytes > 0, "the state is left");
    assert_eq!(store.directories(), Ok(vec![Box::from("ad")]));
    store.forget_directory_state("ad").wait().unwrap();
    store.forget_directory_state("ad").wait().unwrap();
    assert_eq!((store.directory_state("ad"), store.usage().table_bytes), (Ok(None), 0));
    assert_eq!(store.directories(), Ok(vec![]));
}

#[test]
fn limits_are_met_and_nothing_of_the_change_is_written() {
    let small = Limits { directory_objects: 10, directories: 1, change_rows: 20, ..limits() };
    let store = Store::open(Arc::new(MemoryDisk::new(world::DISK)), small).unwrap();
    let change = |change| store.change_directory(change).wait();
    let refused = |new, text: &str| assert_eq!(change(new), Err(StoreError::Refused(text.into())));
    let long = "x".repeat(65);
    let state = |lookup, state: Vec<u8>| DirectoryChange { state: Some(state), ..put(lookup, 1, vec![]) };
    change(DirectoryChange { state: Some(vec![1]), ..put("a", 1, objects(0..10, 1)) }).unwrap();
    refused(put("b", 1, objects(0..1, 1)), "11 objects of directories; there may be 10");
    refused(state("b", vec![]), "2 directories; there may be 1");
    change(DirectoryChange { remove: vec![objects(0..1, 1)[0].0.clone()], ..put("a", 1, vec![]) }).unwrap();
    // The object is taken back with the state that is refused.
    let both = DirectoryChange { state: Some(vec![2]), ..put("b", 1, objects(0..1, 1)) };
    refused(both, "2 directories; there may be 1");
    assert_eq!((count(&store, "b", 1), count(&store, "a", 1)), (0, 9));
    refused(put("a", 1, objects(0..21, 1)), "21 rows in a change; there may be 20");
    refused(put("a", 1, vec![(vec![0; 513].into(), vec![])]), "513 bytes of key; there may be 512");
    refused(put("a", 1, vec![(Box::default(), vec![])]), "a key without a byte");
    refused(put("a", 1, objects(0..1, 64_001)), "64001 bytes in a row; there may be 64000");
    refused(state("a", vec![0; 64_001]), "64001 bytes in a row; there may be 64000");
    refused(state("", vec![]), "a lookup's name of 0 bytes; it may have 1 to 64");
    refused(state(&long, vec![]), "a lookup's name of 65 bytes; it may have 1 to 64");
    change(state("a", vec![0; 64_000])).unwrap();
}

#[test]
fn a_full_disk_refuses_objects_before_its_end_and_drops_them() {
    for (len, batch) in [(100, 1000), (2_000, 100), (64_000, 5)] {
        let store = open(&Arc::new(MemoryDisk::new(12 << 20)));
        let mut objects_kept = 0;
        let error = loop {
            let new = put("lookup", 1, objects(objects_kept..objects_kept + batch, len));
            match store.change_directory(new).wait() {
                Ok(()) => objects_kept += batch,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Resource(Resource::Full { .. })), "{len}: {error}");
        assert_eq!(count(&store, "lookup", 1), objects_kept);
        while store.directory_drop("lookup", 1).wait().unwrap() {}
        assert_eq!((store.usage().table_bytes, store.health().failures), (0, 0), "{len}");
    }
}
