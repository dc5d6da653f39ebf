//! What the disk may be, how full it may get, and what an old one still tells.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod world;

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use store::{
    DirectoryChange, Disk, FileDisk, Limits, NewConfiguration, PartitionDisk, RecordKind, Resource, Store,
    StoreError, ValidRecipientChange, Value,
    log::{Event, Query},
    message::{Notice, RecipientState},
    testing::{Fault, MemoryDisk, Operation, Random},
};
use world::{at, body, delivery, limits, mail, new_message, open, read_body, receive, reply, result};

#[test]
fn a_disk_with_unknown_data_is_refused_and_stays_as_it_is() {
    for at in [0, 1, 511, 1080, 40_000, (1 << 20) - 1, (12 << 20) - 512, (12 << 20) - 1] {
        let mut content = vec![0; 12 << 20];
        content[at] = 0x53;
        let disk = Arc::new(MemoryDisk::with_content(content.clone()));
        let refused = Store::open(disk.clone(), limits()).map(|_| ());
        let Err(StoreError::ForeignDisk(text)) = refused else { panic!("byte {at}: {refused:?}") };
        assert!(text.ends_with(&format!("at byte {at}")), "{text}");
        assert_eq!(disk.content(), content);
    }
}

#[test]
fn a_disk_too_small_or_cut_short_is_refused() {
    let small = Arc::new(MemoryDisk::new(1 << 20));
    assert!(matches!(Store::open(small, limits()), Err(StoreError::Refused(_))));

    let disk = Arc::new(MemoryDisk::new(24 << 20));
    let store = open(&disk);
    for number in 0..700 {
        receive(&store, &body(number, 20_000), new_message(vec![delivery("a", &["x"])])).unwrap();
    }
    store.close();
    let mut content = disk.content();
    content.truncate(12 << 20);
    let cut = Store::open(Arc::new(MemoryDisk::with_content(content)), limits());
    assert!(matches!(cut, Err(StoreError::Damaged(_))), "{cut:?}");
}

#[test]
fn garbage_where_the_database_was_is_an_error_and_no_panic() {
    let disk = Arc::new(MemoryDisk::new(12 << 20));
    let store = open(&disk);
    let enqueued = receive(&store, &body(1, 300_000), new_message(vec![delivery("a", &["x"])])).unwrap();
    store.close();
    let whole = disk.content();
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut content = whole.clone();
        for _ in 0..=random.below(40) {
            let at = 65_536 + random.below(1 << 20) as usize;
            let len = random.below(4096) as usize;
            content[at..at + len].iter_mut().for_each(|byte| *byte = random.next() as u8);
        }
        let Ok(store) = Store::open(Arc::new(MemoryDisk::with_content(content)), limits()) else { continue };
        let _ = read_body(&store, enqueued.id);
        let _ = receive(&store, b"text", new_message(vec![delivery("a", &["x"])]));
    }
}

#[test]
fn both_copies_of_the_header_are_good_alone() {
    let disk = Arc::new(MemoryDisk::new(12 << 20));
    let store = open(&disk);
    let id = receive(&store, b"text", new_message(vec![delivery("a", &["x"])])).unwrap().id;
    store.close();
    for copy in [0, 32 << 10] {
        let mut content = disk.content();
        content[copy..copy + 512].fill(0xAA);
        // The older copy may know a shorter database: that is told, and never repaired into a loss.
        match Store::open(Arc::new(MemoryDisk::with_content(content)), limits()) {
            Ok(store) => assert_eq!(read_body(&store, id).unwrap(), b"text"),
            Err(error) => {
                assert!(matches!(error, StoreError::Resource(_) | StoreError::Damaged(_)), "{error}")
            }
        }
    }
}

#[test]
fn a_partition_is_a_part_of_a_device() {
    let path = std::env::temp_dir().join(format!("postern-store-{}.device", std::process::id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.write_all(b"not ours").unwrap();
    file.set_len(20 << 20).unwrap();
    assert!(PartitionDisk::new(file.try_clone().unwrap(), 1 << 20, 20 << 20).is_err(), "beyond the device");
    let partition = || Arc::new(PartitionDisk::new(file.try_clone().unwrap(), 1 << 20, 16 << 20).unwrap());
    assert!(partition().write_at((16 << 20) - 1, b"xy").is_err());
    let store = Store::open(partition(), limits()).unwrap();
    let id = receive(&store, &body(1, 100_000), new_message(vec![delivery("a", &["x"])])).unwrap().id;
    store.close();
    let store = Store::open(partition(), limits()).unwrap();
    assert_eq!(read_body(&store, id).unwrap(), body(1, 100_000));
    assert_eq!(&std::fs::read(&path).unwrap()[..8], b"not ours");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_locked_file_is_not_opened_twice() {
    let path = std::env::temp_dir().join(format!("postern-store-{}.locked", std::process::id()));
    let first = FileDisk::open(&path, 16 << 20).unwrap();
    first.lock().unwrap();
    assert!(FileDisk::open(&path, 16 << 20).unwrap().lock().is_err());
    drop(first);
    assert!(FileDisk::open(&path, 16 << 20).unwrap().lock().is_ok());
    std::fs::remove_file(&path).unwrap();
}

/// Fills the disk with messages of `len` bytes until one is refused; returns those that were accepted.
fn fill(store: &Store, len: usize) -> Vec<store::queue::Enqueued> {
    let mut accepted = Vec::new();
    loop {
        match receive(store, &body(accepted.len() as u64, len), new_message(vec![delivery("a", &["x"])])) {
            Ok(enqueued) => accepted.push(enqueued),
            Err(StoreError::Resource(Resource::Full { .. })) => return accepted,
            Err(error) => panic!("after {}: {error}", accepted.len()),
        }
    }
}

#[test]
fn a_full_disk_refuses_mail_and_goes_on_delivering() {
    for len in [300, 5_000, 20_000, 65_472, 700_000] {
        let disk = Arc::new(MemoryDisk::new(20 << 20));
        let store = open(&disk);
        let mut accepted = fill(&store, len);
        assert_eq!(store.health().failures, 0, "{len}: the disk's end was never met");
        // Attempts, notices and events go on in the reserve.
        for enqueued in &accepted {
            let mut said = reply(451);
            said.text = "busy ".repeat(1000).into();
            let mut deferred =
                result(enqueued.deliveries[0], vec![(0, RecipientState::Deferred(said.clone()))]);
            deferred.last_reply = Some(said);
            let event = Event::new(at(1), "delivery.deferred").field("reply", "x".repeat(200));
            store.record(deferred, vec![], vec![event]).wait().unwrap();
        }
        let failed = accepted.swap_remove(0);
        let notice = Notice { message: new_message(vec![delivery("back", &["s"])]), body: "failed".into() };
        let failure = result(failed.deliveries[0], vec![(0, RecipientState::Failed(reply(550)))]);
        store.record(failure, vec![notice], vec![]).wait().unwrap();
        for (number, enqueued) in accepted.iter().enumerate() {
            if number == accepted.len() / 2 {
                assert_eq!(read_body(&store, enqueued.id).unwrap().len(), len);
            }
            store.purge(enqueued.deliveries[0]).wait().unwrap();
        }
        assert!(store.usage().accepting);
        assert_eq!(store.health().failures, 0, "{len}");
        assert!(!fill(&store, len).is_empty());
    }
}

#[test]
fn most_of_a_disk_can_be_used_although_the_database_grows_by_doubling() {
    for bytes in [17 << 20, 23 << 20, 31 << 20] {
        let disk = Arc::new(MemoryDisk::new(bytes));
        let store = open(&disk);
        let accepted = fill(&store, 16_000);
        let stored = accepted.len() * 16_384;
        assert!(stored > bytes / 2, "{stored} bytes of mail on {bytes}");
        for enqueued in &accepted {
            assert_eq!(read_body(&store, enqueued.id).unwrap().len(), 16_000);
        }
        drop(store);
        let store = open(&Arc::new(disk.after_power_cut(1)));
        assert_eq!(store.usage().messages, accepted.len() as u64);
    }
}

#[test]
fn space_is_used_again_under_steady_load() {
    let disk = Arc::new(MemoryDisk::new(32 << 20));
    let store = open(&disk);
    let mut queued = std::collections::VecDeque::new();
    let mut extents = Vec::new();
    // Ten times the disk's size passes through a queue of about a tenth of it.
    for number in 0..16_000u64 {
        let len = 5_000 + Random::new(number).below(30_000) as usize;
        queued.push_back(receive(&store, &vec![7; len], new_message(vec![delivery("a", &["x"])])).unwrap());
        store.event(Event::new(at(number), "smtp.accepted").field("text", "x".repeat(50)));
        if queued.len() > 150 {
            let done = queued.pop_front().unwrap().deliveries[0];
            let delivered = result(done, vec![(0, RecipientState::Delivered(reply(250)))]);
            store.record(delivered, vec![], vec![]).wait().unwrap();
        }
        if number % 1000 == 999 {
            extents.push(store.usage().extent);
        }
    }
    // Once the queue and the log's ring have their size, nothing grows.
    let (early, late) = extents.split_at(10);
    assert!(late.iter().max() <= early.iter().max(), "it grows: {extents:?}");
    assert!(late.iter().all(|&extent| extent < 12 << 20), "{extents:?}");
    assert_eq!(store.health().failures, 0);
}

#[test]
fn the_nth_error_of_the_disk_is_answered_and_survived() {
    for kind in [Operation::Read, Operation::Write, Operation::Sync] {
        for after in 0..25 {
            let disk = Arc::new(MemoryDisk::new(12 << 20));
            let store = Store::open(disk.clone(), Limits { cache_bytes: 0, ..limits() }).unwrap();
            let first = receive(&store, &body(1, 100_000), new_message(vec![delivery("a", &["x"])])).unwrap();
            disk.set_fault(Some(Fault { kind, after, count: 1 }));
            for number in 0..6 {
                match receive(&store, &body(number, 30_000), new_message(vec![delivery("a", &["x"])])) {
                    Ok(_) => {}
                    Err(error) => assert!(error.is_transient(), "{kind:?} {after}: {error}"),
                }
                if let Err(error) = read_body(&store, first.id) {
                    assert!(error.is_transient(), "{kind:?} {after}: {error}");
                }
            }
            disk.set_fault(None);
            store.flush_events().wait().unwrap();
            assert_eq!(read_body(&store, first.id).unwrap(), body(1, 100_000), "{kind:?} {after}");
        }
    }
}

/// The golden file of a version.
fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/version-{version}.runs"))
}

/// What the golden file holds. To make one for a new version: `GOLDEN_WRITE=1 cargo test -p store golden`.
fn write_golden(path: &Path) {
    let disk = Arc::new(MemoryDisk::with_content(vec![0; 8 << 20]));
    let store = Store::open(disk.clone(), Limits { log_bytes: Some(64 << 10), ..limits() }).unwrap();
    let mut new = new_message(vec![delivery("mx.example.com", &["x", "y"]), delivery("b.example", &["z"])]);
    new.events.push(Event::new(at(0), "smtp.accepted").field("from", "sender@example.net"));
    new.streams = vec![mail("example:x", 202_611), mail("example:y", 202_611)];
    let enqueued = receive(&store, &vec![b'm'; 70_000], new).unwrap();
    let half = result(enqueued.deliveries[0], vec![(0, RecipientState::Deferred(reply(451)))]);
    store.record(half, vec![], vec![]).wait().unwrap();
    store.hold(enqueued.deliveries[1], golden_hold()).wait().unwrap();
    let new =
        NewConfiguration { text: "version = 1\n".into(), from_file: true, at: at(0), by: "file".into() };
    store.set_configuration(new, Event::new(at(0), "configuration.set")).wait().unwrap();
    store.set_value(Value::EntropySeed, Some(vec![9; 32])).wait().unwrap();
    store.put_records(RecordKind::Login, vec![("ann".into(), Some(vec![1, 2]))]).wait().unwrap();
    let add = vec!["ann@example.com".into()];
    let new = ValidRecipientChange { stream: "example:ann".into(), add, at: at(3), ..Default::default() };
    store.set_valid_recipients(new, Event::new(at(3), "valid-recipients.set")).wait().unwrap();
    let put = vec![(Box::from(*b"id"), b"object".to_vec())];
    let new = DirectoryChange { lookup: "ad".into(), put, state: Some(vec![7]), ..Default::default() };
    store.change_directory(new).wait().unwrap();
    store.close();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, runs(&disk.content())).unwrap();
}

fn golden_hold() -> store::queue::Hold {
    let reason = store::queue::HoldReason::Administrator;
    store::queue::Hold { reason, since: at(1), text: "wait".into() }
}

/// What every version holds.
fn check_golden(store: &Store) {
    let deliveries: Vec<_> = store.deliveries().map(Result::unwrap).collect();
    assert_eq!(deliveries.len(), 2);
    assert_eq!(deliveries[0].recipients[0].state, RecipientState::Deferred(reply(451)));
    assert_eq!(deliveries[1].hold, Some(golden_hold()));
    assert_eq!(read_body(store, deliveries[0].id.message).unwrap(), vec![b'm'; 70_000]);
    let expected = new_message(vec![]);
    let message = store.message(deliveries[0].id.message).unwrap();
    assert_eq!((message.envelope, message.source), (expected.envelope, expected.source));
    assert_eq!(store.configuration().unwrap().unwrap().text, "version = 1\n");
    assert_eq!(store.value(Value::EntropySeed).unwrap(), Some(vec![9; 32]));
    assert_eq!(store.events(&Query::default()).unwrap().events[0].1.kind, "smtp.accepted");
    assert!(!store.audits(&Query::default()).unwrap().events.is_empty());
    assert_eq!(store.usage().messages, 1);
    assert!(receive(store, b"text", new_message(vec![delivery("a", &["x"])])).is_ok());
}

#[test]
fn the_golden_file_of_version_1_still_opens() {
    let content = from_runs(&std::fs::read(golden(1)).unwrap());
    let disk = Arc::new(MemoryDisk::with_content(content));
    let store = open(&disk);
    check_golden(&store);
    // What came with version 2 is there, empty.
    assert_eq!(store.usage().table_bytes, 0);
    assert!(store.records(RecordKind::Login).next().is_none());
    store.put_records(RecordKind::Login, vec![("ann".into(), Some(vec![1]))]).wait().unwrap();
    store.close();
    let store = open(&disk);
    assert_eq!(store.record_of(RecordKind::Login, "ann"), Ok(Some(vec![1])));
    assert_eq!(store.usage().messages, 2);
}

#[test]
fn the_golden_file_of_version_2_still_opens() {
    if std::env::var_os("GOLDEN_WRITE").is_some() {
        write_golden(&golden(2));
    }
    let content = from_runs(&std::fs::read(golden(2)).unwrap());
    let store = open(&Arc::new(MemoryDisk::with_content(content)));
    check_golden(&store);
    assert_eq!(store.record_of(RecordKind::Login, "ann"), Ok(Some(vec![1, 2])));
    assert!(store.usage().table_bytes > 0);
    let streams: Vec<_> = store.streams().map(|stream| stream.unwrap().name).collect();
    assert_eq!(streams, [Box::from("example:x"), "example:y".into()]);
    assert_eq!(store.directory_state("ad"), Ok(Some(vec![7])));
    assert_eq!(store.directory_objects("ad", 0).next().unwrap().unwrap().1, b"object");
    let entry = store.valid_recipient("example:ann", "ann@example.com").unwrap().unwrap();
    assert_eq!((entry.added_at, &*entry.by), (at(3), ""));
    let count = store.counts(202_611).next().unwrap().unwrap();
    assert_eq!((count.messages, &*count.address, count.first_at), (1, "x@example.com", at(0)));
}

/// Runs of equal bytes as (length, byte), the rest as it is: small in a repository without a compressor.
fn runs(content: &[u8]) -> Vec<u8> {
    const LONG: usize = 16;
    let mut out = Vec::new();
    let mut literal: Vec<u8> = Vec::new();
    let flush = |literal: &mut Vec<u8>, run: usize, byte: u8, out: &mut Vec<u8>| {
        out.extend((literal.len() as u32).to_le_bytes());
        out.append(literal);
        out.extend((run as u32).to_le_bytes());
        out.push(byte);
    };
    for run in content.chunk_by(|a, b| a == b) {
        if run.len() < LONG {
            literal.extend(run);
        } else {
            flush(&mut literal, run.len(), run[0], &mut out);
        }
    }
    flush(&mut literal, 0, 0, &mut out);
    out
}

fn from_runs(mut runs: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while !runs.is_empty() {
        let (literal, rest) = runs[4..].split_at(u32::from_le_bytes(runs[..4].try_into().unwrap()) as usize);
        content.extend(literal);
        let run = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        content.resize(content.len() + run, rest[4]);
        runs = &rest[5..];
    }
    content
}
