//! Valid recipients: added, removed, all or nothing, bounded.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod world;

use std::sync::Arc;

use store::{
    Limits, Pending, Resource, Store, StoreError, VALID_RECIPIENT_MAX, ValidRecipient, ValidRecipientChange,
    ValidRecipientsChanged,
    log::{Event, Query},
    stream::STREAM_MAX,
    testing::MemoryDisk,
};
use world::{at, limits, new_store, open};

fn addresses(numbers: std::ops::Range<usize>) -> Vec<Box<str>> {
    numbers.map(|number| format!("user{number:06}@example.com").into()).collect()
}

fn set(
    store: &Store,
    stream: &str,
    add: Vec<Box<str>>,
    remove: Vec<Box<str>>,
) -> Pending<ValidRecipientsChanged> {
    let change = ValidRecipientChange { stream: stream.into(), add, remove, at: at(5), by: "admin".into() };
    store.set_valid_recipients(change, Event::new(at(5), "valid-recipients.set"))
}

fn count(store: &Store, stream: &str) -> usize {
    store.valid_recipients(stream).map(Result::unwrap).count()
}

#[test]
fn entries_are_each_streams_own_and_keep_who_added_them() {
    let (disk, store) = new_store();
    let changed = set(&store, "example:default", addresses(0..200), vec![]).wait().unwrap();
    assert_eq!(changed, ValidRecipientsChanged { added: 200, removed: 0 });
    set(&store, "example:ann", addresses(7..8), vec![]).wait().unwrap();
    let again = ValidRecipientChange {
        stream: "example:ann".into(),
        add: [addresses(7..9), addresses(8..9)].concat(),
        remove: addresses(9..10),
        at: at(9),
        by: "other".into(),
    };
    let changed =
        store.set_valid_recipients(again, Event::new(at(9), "valid-recipients.set")).wait().unwrap();
    assert_eq!(changed, ValidRecipientsChanged { added: 1, removed: 0 });

    let store = open(&Arc::new(disk.after_power_cut(6)));
    let entry = |number: usize, seconds, by: &str| ValidRecipient {
        address: addresses(number..number + 1).remove(0),
        added_at: at(seconds),
        by: by.into(),
    };
    let found: Vec<_> = store.valid_recipients("example:ann").map(Result::unwrap).collect();
    assert_eq!(found, [entry(7, 5, "admin"), entry(8, 9, "other")]);
    assert_eq!(
        store.valid_recipient("example:default", "user000199@example.com"),
        Ok(Some(entry(199, 5, "admin")))
    );
    assert_eq!(store.valid_recipient("example:ann", "user000199@example.com"), Ok(None));
    assert_eq!((count(&store, "example:default"), count(&store, "example:an")), (200, 0));
    assert_eq!(store.valid_recipient_streams(), Ok(vec!["example:ann".into(), "example:default".into()]));
    assert_eq!(store.audits(&Query::default()).unwrap().events.len(), 3);
    assert_eq!(store.usage().valid_recipients, 202);

    let changed = set(&store, "example:default", addresses(0..5), addresses(0..200)).wait().unwrap();
    assert_eq!(changed, ValidRecipientsChanged { added: 0, removed: 200 });
    set(&store, "example:ann", vec![], addresses(0..9)).wait().unwrap();
    assert_eq!((store.valid_recipient_streams(), store.usage().table_bytes), (Ok(vec![]), 0));
}

#[test]
fn limits_are_met_and_nothing_of_the_change_is_written() {
    let small = Limits { valid_recipients: 10, ..limits() };
    let store = Store::open(Arc::new(MemoryDisk::new(world::DISK)), small).unwrap();
    let refused = |pending: Pending<_>, text: &str| {
        assert_eq!(pending.wait(), Err(StoreError::Refused(text.into())));
    };
    set(&store, "a:a", addresses(0..8), vec![]).wait().unwrap();
    refused(set(&store, "a:b", addresses(0..3), vec![]), "11 valid recipients; there may be 10");
    refused(set(&store, "a:b", addresses(0..11), vec![]), "11 valid recipients; there may be 10");
    refused(set(&store, "a:b", vec![], addresses(0..11)), "11 valid recipients; there may be 10");
    assert_eq!((count(&store, "a:a"), count(&store, "a:b")), (8, 0));
    assert_eq!(store.audits(&Query::default()).unwrap().events.len(), 1, "no entry of what was refused");
    set(&store, "a:a", addresses(8..14), addresses(0..4)).wait().unwrap();
    let longest: Box<str> = "x".repeat(VALID_RECIPIENT_MAX).into();
    set(&store, "a:a", vec![longest.clone()], addresses(8..10)).wait().unwrap();
    let long = format!("{longest}x").into();
    refused(set(&store, "a:a", vec![long], vec![]), "an address of 321 bytes; it may have 1 to 320");
    refused(set(&store, "a:a", vec!["".into()], vec![]), "an address of 0 bytes; it may have 1 to 320");
    refused(set(&store, "", vec![], vec![]), "a stream's name of 0 bytes; it may have 1 to 400");
    let long = "x".repeat(STREAM_MAX + 1);
    refused(set(&store, &long, vec![], vec![]), "a stream's name of 401 bytes; it may have 1 to 400");
}

#[test]
fn a_full_disk_refuses_a_whole_change_before_its_end() {
    let store = open(&Arc::new(MemoryDisk::new(12 << 20)));
    let refused = set(&store, "example:default", addresses(0..100_000), vec![]).wait();
    assert!(matches!(refused, Err(StoreError::Resource(Resource::Full { .. }))), "{refused:?}");
    assert_eq!(count(&store, "example:default"), 0);
    set(&store, "example:default", addresses(0..20_000), vec![]).wait().unwrap();
    assert_eq!((count(&store, "example:default"), store.health().failures), (20_000, 0));
}
