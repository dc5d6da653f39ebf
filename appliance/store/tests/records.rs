//! Records: put, found, removed, bounded.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod world;

use std::sync::Arc;

use store::{Limits, RecordKind, Resource, Store, StoreError, testing::MemoryDisk};
use world::{limits, new_store, open};

/// Records by number, each of `len` bytes.
fn numbered(numbers: std::ops::Range<usize>, len: usize) -> Vec<(Box<str>, Option<Vec<u8>>)> {
    numbers.map(|number| (format!("key {number:06}").into(), Some(vec![number as u8; len]))).collect()
}

fn keys(store: &Store, kind: RecordKind) -> Vec<Box<str>> {
    store.records(kind).map(|record| record.unwrap().0).collect()
}

#[test]
fn records_of_each_kind_stay_apart_and_survive_a_power_cut() {
    let (disk, store) = new_store();
    store.put_records(RecordKind::Verification, numbered(0..300, 20)).wait().unwrap();
    let other = vec![("key 000001".into(), Some(b"other".to_vec())), ("ä:\0".into(), Some(Vec::new()))];
    store.put_records(RecordKind::DomainCheck, other).wait().unwrap();
    store.put_records(RecordKind::Login, numbered(0..64, 1)).wait().unwrap();

    let store = open(&Arc::new(disk.after_power_cut(3)));
    assert_eq!(store.record_of(RecordKind::Verification, "key 000001"), Ok(Some(vec![1; 20])));
    assert_eq!(store.record_of(RecordKind::DomainCheck, "key 000001"), Ok(Some(b"other".to_vec())));
    assert_eq!(store.record_of(RecordKind::LookupState, "key 000001"), Ok(None));
    assert_eq!(keys(&store, RecordKind::DomainCheck), [Box::from("key 000001"), "ä:\0".into()]);
    assert_eq!(keys(&store, RecordKind::Login).len(), 64, "as many as one snapshot reads");
    assert!(keys(&store, RecordKind::LookupState).is_empty());
    let found = keys(&store, RecordKind::Verification);
    assert!(found.len() == 300 && found.is_sorted(), "{found:?}");
}

#[test]
fn of_equal_keys_the_last_one_holds_and_what_is_removed_is_free_again() {
    let (_, store) = new_store();
    let put = |records| store.put_records(RecordKind::Login, records).wait().unwrap();
    put(vec![("a".into(), Some(vec![1])), ("a".into(), Some(vec![2; 9000])), ("b".into(), Some(vec![3]))]);
    assert_eq!(store.record_of(RecordKind::Login, "a"), Ok(Some(vec![2; 9000])));
    assert!(store.usage().table_bytes > 9000);
    put(vec![("a".into(), None), ("b".into(), None), ("c".into(), None)]);
    assert!(keys(&store, RecordKind::Login).is_empty());
    assert_eq!(store.usage().table_bytes, 0);
}

#[test]
fn limits_are_met_and_nothing_of_the_change_is_written() {
    let small = Limits { verifications: 10, change_rows: 12, ..limits() };
    let store = Store::open(Arc::new(MemoryDisk::new(world::DISK)), small).unwrap();
    let put = |records| store.put_records(RecordKind::Verification, records).wait();
    let refused = |records, text: &str| assert_eq!(put(records), Err(StoreError::Refused(text.into())));
    put(numbered(0..10, 4)).unwrap();
    refused(numbered(5..11, 5), "11 verifications; there may be 10");
    assert_eq!(store.record_of(RecordKind::Verification, "key 000005"), Ok(Some(vec![5; 4])), "as before");
    put(numbered(5..10, 5)).unwrap();
    let mut exchange = numbered(10..11, 5);
    exchange.push(("key 000000".into(), None));
    put(exchange).unwrap();
    refused(numbered(0..13, 1), "13 rows in a change; there may be 12");
    refused(vec![("x".repeat(513).into(), None)], "513 bytes of key; there may be 512");
    refused(vec![("".into(), None)], "a key without a byte");
    refused(vec![("x".into(), Some(vec![0; 64_001]))], "64001 bytes in a row; there may be 64000");
    put(vec![("key 000001".into(), None), ("x".repeat(512).into(), Some(vec![0; 64_000]))]).unwrap();
    store.put_records(RecordKind::DomainCheck, numbered(0..12, 4)).wait().unwrap();
}

#[test]
fn a_full_disk_refuses_records_before_its_end() {
    for (len, key, batch) in [(10, 30, 1000), (40, 512, 200), (3_000, 20, 50), (64_000, 40, 5)] {
        let disk = Arc::new(MemoryDisk::new(12 << 20));
        let store = open(&disk);
        let key = |number: usize| format!("{number:0key$}").into_boxed_str();
        let mut count = 0;
        let error = loop {
            let records = (count..count + batch).map(|number| (key(number), Some(vec![7; len]))).collect();
            match store.put_records(RecordKind::Verification, records).wait() {
                Ok(()) => count += batch,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Resource(Resource::Full { .. })), "{len}: {error}");
        assert_eq!(store.health().failures, 0, "{len}: the disk's end was never met");
        assert!(store.usage().extent <= 12 << 20 && count >= batch);
        for at in (0..count).step_by(batch) {
            let records = (at..at + batch).map(|number| (key(number), None)).collect();
            store.put_records(RecordKind::Verification, records).wait().unwrap();
        }
        assert_eq!((store.usage().table_bytes, store.health().failures), (0, 0));
    }
}
