//! The life of a message: received, enqueued, tried, done; and what else the store keeps.

mod world;

use std::sync::Arc;

use store::{
    FileDisk, NewConfiguration, Resource, Store, StoreError, Timestamp, Value,
    log::{Event, FaultClass, Query},
    message::{Notice, RecipientState},
    queue::{Hold, HoldReason},
};
use world::{at, body, delivery, limits, new_message, new_store, open, read_body, receive, reply, result};

#[test]
fn a_message_is_there_until_its_last_delivery_is_done() {
    let (_, store) = new_store();
    let text = body(1, 20_000);
    let new = new_message(vec![delivery("a.example", &["x", "y"]), delivery("b.example", &["z"])]);
    let enqueued = receive(&store, &text, new).unwrap();
    let [first, second] = enqueued.deliveries[..] else { panic!("two deliveries") };
    assert_eq!(read_body(&store, enqueued.id).unwrap(), text);
    assert_eq!(store.message(enqueued.id).unwrap().size, 20_000);

    let half = result(first, vec![(0, RecipientState::Delivered(reply(250)))]);
    assert!(!store.record(half, vec![], vec![]).wait().unwrap().done);
    let kept = store.delivery(first).unwrap();
    assert_eq!((kept.attempts, kept.next_attempt), (1, at(300)));
    assert!(!kept.recipients[0].is_open() && kept.recipients[1].is_open());

    let rest = result(first, vec![(1, RecipientState::Failed(reply(550)))]);
    assert!(store.record(rest, vec![], vec![]).wait().unwrap().done);
    assert!(matches!(store.delivery(first), Err(StoreError::NotFound { .. })));
    assert_eq!(read_body(&store, enqueued.id).unwrap(), text, "the second delivery still needs it");

    let done = result(second, vec![(0, RecipientState::Delivered(reply(250)))]);
    assert!(store.record(done, vec![], vec![]).wait().unwrap().done);
    assert!(matches!(store.message(enqueued.id), Err(StoreError::NotFound { .. })));
    assert!(matches!(read_body(&store, enqueued.id), Err(StoreError::NotFound { .. })));
    let usage = store.usage();
    assert_eq!((usage.messages, usage.deliveries, usage.spool_bytes, usage.queue_bytes), (0, 0, 0, 0));
}

#[test]
fn bodies_of_every_size_come_back_also_after_a_restart() {
    let (disk, store) = new_store();
    let sizes = [0, 1, 4096, 65_471, 65_472, 65_473, 262_143, 262_144, 300_000, 1_000_000];
    let ids: Vec<_> = sizes
        .iter()
        .map(|&len| {
            receive(&store, &body(len as u64, len), new_message(vec![delivery("a", &["x"])])).unwrap().id
        })
        .collect();
    assert!(ids.is_sorted());
    store.close();
    let store = open(&disk);
    for (&len, &id) in sizes.iter().zip(&ids) {
        assert_eq!(read_body(&store, id).unwrap(), body(len as u64, len), "{len} bytes");
    }
    assert_eq!(store.deliveries().count(), sizes.len());
    let last = *ids.last().unwrap();
    assert!(
        store.begin(Timestamp::MIN).unwrap().id() > last,
        "ids go up after a restart, whatever the clock"
    );
}

#[test]
fn a_message_given_up_while_it_is_received_leaves_nothing() {
    let (disk, store) = new_store();
    let mut writer = store.begin(at(0)).unwrap();
    for _ in 0..40 {
        if let Some(spilling) = writer.write(&body(3, 16 << 10)).unwrap() {
            spilling.wait().unwrap();
        }
    }
    assert!(store.usage().spool_bytes > 600_000, "the large message was spilled");
    drop(writer);
    store.flush_events().wait().unwrap();
    assert_eq!(store.usage().spool_bytes, 0);

    let mut writer = store.begin(at(0)).unwrap();
    let spilling = (0..20).filter_map(|_| writer.write(&body(4, 16 << 10)).unwrap()).last().unwrap();
    spilling.wait().unwrap();
    // The process ends here: what was spilled is an orphan of the next start.
    std::mem::forget(writer);
    let store = open(&Arc::new(disk.after_power_cut(1)));
    assert_eq!((store.usage().spool_bytes, store.usage().messages), (0, 0));
}

#[test]
fn limits_are_met_with_their_name() {
    let small = store::Limits { message_bytes: 1000, writer_memory_bytes: 1500, recipients: 2, ..limits() };
    let disk = Arc::new(store::testing::MemoryDisk::new(world::DISK));
    let store = Store::open(disk, small).unwrap();
    let mut writer = store.begin(at(0)).unwrap();
    assert!(writer.write(&[0; 1000]).unwrap().is_none());
    assert!(matches!(writer.write(&[0]), Err(StoreError::TooLarge { limit: 1000 })));
    let mut other = store.begin(at(0)).unwrap();
    assert!(other.write(&[0; 500]).is_ok());
    assert!(matches!(other.write(&[0]), Err(StoreError::Resource(Resource::Memory { limit: 1500 }))));
    drop(writer);
    assert!(other.write(&[0]).is_ok(), "memory that was given back can be used");

    let two = new_message(vec![delivery("a", &["x", "y"])]);
    assert!(receive(&store, b"text", two).is_ok());
    let three = new_message(vec![delivery("a", &["x", "y"]), delivery("b", &["z"])]);
    assert!(matches!(receive(&store, b"text", three), Err(StoreError::Refused(_))));
    let none = new_message(vec![]);
    assert!(matches!(receive(&store, b"text", none), Err(StoreError::Refused(_))));
}

#[test]
fn the_schedule_follows_attempts_holds_and_administrators() {
    let (_, store) = new_store();
    let new = new_message(vec![delivery("a", &["x"]), delivery("b", &["y"])]);
    let enqueued = receive(&store, b"text", new).unwrap();
    let [a, b] = enqueued.deliveries[..] else { panic!("two deliveries") };
    let due = |now| store.due(now, None, 100).unwrap().iter().map(|due| due.id).collect::<Vec<_>>();
    assert_eq!(due(at(0)), [a, b]);
    let first = store.due(at(0), None, 1).unwrap()[0];
    assert_eq!(store.due(at(0), Some(first), 100).unwrap()[0].id, b);

    let later = result(a, vec![(0, RecipientState::Deferred(reply(451)))]);
    store.record(later, vec![], vec![]).wait().unwrap();
    assert_eq!((due(at(0)), due(at(300))), (vec![b], vec![b, a]));
    let hold = Hold { reason: HoldReason::Configuration, since: at(1), text: "no connector".into() };
    store.hold(b, hold.clone()).wait().unwrap();
    assert_eq!(due(at(300)), [a]);
    assert_eq!(store.delivery(b).unwrap().hold, Some(hold));
    assert_eq!(store.next_due().unwrap().unwrap().id, a);
    let expires = store.delivery(b).unwrap().expires;
    store.release(b, at(2)).wait().unwrap();
    assert_eq!(store.delivery(b).unwrap().expires, expires.after(std::time::Duration::from_secs(1)));
    store.retry_now(a, at(3)).wait().unwrap();
    assert_eq!(due(at(3)), [b, a]);
    store.purge(a).wait().unwrap();
    store.purge(b).wait().unwrap();
    assert_eq!((due(Timestamp::MAX), store.usage().messages), (vec![], 0));
    assert!(matches!(store.purge(b).wait(), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_notice_is_enqueued_with_the_failure_it_tells_of_or_not_at_all() {
    let (_, store) = new_store();
    let enqueued = receive(&store, b"text", new_message(vec![delivery("a", &["x"])])).unwrap();
    let notice =
        || Notice { message: new_message(vec![delivery("back", &["sender"])]), body: "failed".into() };
    let wrong = result(enqueued.deliveries[0], vec![(1, RecipientState::Failed(reply(550)))]);
    assert!(matches!(store.record(wrong, vec![notice()], vec![]).wait(), Err(StoreError::Refused(_))));
    assert_eq!(store.usage().messages, 1);
    let failed = result(enqueued.deliveries[0], vec![(0, RecipientState::Failed(reply(550)))]);
    let recorded = store.record(failed, vec![notice()], vec![]).wait().unwrap();
    assert!(recorded.done);
    assert_eq!(store.usage().messages, 1);
    assert_eq!(read_body(&store, recorded.notices[0].id).unwrap(), b"failed");
}

#[test]
fn events_are_found_newest_first_by_what_they_say() {
    let (_, store) = new_store();
    for number in 0..2500u64 {
        let kind = if number % 2 == 0 { "smtp.accepted" } else { "delivery.deferred" };
        let mut event =
            Event::new(at(number), kind).session(store::SessionId(number % 10)).field("number", number);
        event = if number == 1001 { event.fault(FaultClass::Peer).field("Reason", "Grüße") } else { event };
        store.event(event);
    }
    store.flush_events().wait().unwrap();
    let mut query = Query { kind: Some("smtp".into()), limit: 500, ..Query::default() };
    let mut found = Vec::new();
    loop {
        let page = store.events(&query).unwrap();
        found.extend(page.events);
        query.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 1250);
    assert!(found.is_sorted_by(|a, b| a.0 > b.0 && a.1.at > b.1.at));
    let by_text = Query { text: Some("grüSSE".to_lowercase().replace("ss", "ß")), ..Query::default() };
    assert_eq!(store.events(&by_text).unwrap().events.len(), 1);
    let by_fault = Query { fault: Some(FaultClass::Peer), ..Query::default() };
    assert_eq!(store.events(&by_fault).unwrap().events[0].1.at, at(1001));
    let by_time =
        Query { time: Some(at(100)..at(110)), session: Some(store::SessionId(3)), ..Query::default() };
    let page = store.events(&by_time).unwrap();
    assert_eq!(page.events.iter().map(|(_, event)| event.at).collect::<Vec<_>>(), [at(103)]);
    assert!(store.events(&Query { kind: Some("smt".into()), ..Query::default() }).unwrap().events.is_empty());
}

#[test]
fn the_log_is_a_ring_and_an_audit_entry_is_durable() {
    let small = store::Limits { log_bytes: Some(200_000), waiting_events: 100, ..limits() };
    let disk = Arc::new(store::testing::MemoryDisk::new(world::DISK));
    let store = Store::open(disk.clone(), small).unwrap();
    for round in 0..200u64 {
        for number in 0..50 {
            store.event(Event::new(at(round * 50 + number), "test").field("text", "x".repeat(100)));
        }
        store.flush_events().wait().unwrap();
    }
    assert!(store.usage().log_bytes <= 200_000);
    let newest = store.events(&Query { limit: 1, ..Query::default() }).unwrap();
    assert_eq!(newest.events[0].1.at, at(9999));

    for number in 0..150 {
        store.event(Event::new(at(20_000 + number), "flood"));
    }
    store.flush_events().wait().unwrap();
    let dropped = Query { kind: Some("store.events-dropped".into()), ..Query::default() };
    assert!(!store.events(&dropped).unwrap().events.is_empty(), "what was dropped is counted");

    store.audit(Event::new(at(1), "login").field("who", "admin")).wait().unwrap();
    let store = open(&Arc::new(disk.after_power_cut(0)));
    assert_eq!(store.audits(&Query::default()).unwrap().events.len(), 1);
}

#[test]
fn configurations_are_numbered_and_bounded() {
    let (disk, store) = new_store();
    let set = |text: &str, from_file| {
        let new = NewConfiguration { text: text.into(), from_file, at: at(0), by: "admin".into() };
        store.set_configuration(new, Event::new(at(0), "configuration.set")).wait()
    };
    assert_eq!(store.configuration().unwrap(), None);
    assert_eq!(set("a = 1", true), Ok(1));
    assert_eq!(set("a = 2", false), Ok(2));
    let now = store.configuration().unwrap().unwrap();
    assert_eq!((now.number, &*now.text), (2, "a = 2"));
    assert_eq!(now.imported, Some(store.configurations(2).unwrap()[1].digest));
    for _ in 0..110 {
        set("a = 3", false).unwrap();
    }
    assert_eq!(store.configurations(1000).unwrap().len(), limits().configurations);
    assert!(matches!(set(&"x".repeat(limits().value_bytes + 1), false), Err(StoreError::Refused(_))));

    store.set_value(Value::EntropySeed, Some(vec![7; 32])).wait().unwrap();
    let store = open(&Arc::new(disk.after_power_cut(5)));
    assert_eq!(store.value(Value::EntropySeed).unwrap(), Some(vec![7; 32]));
    store.set_value(Value::EntropySeed, None).wait().unwrap();
    assert_eq!(store.value(Value::EntropySeed).unwrap(), None);
    assert_eq!(store.audits(&Query::default()).unwrap().events.len(), 112);
}

#[test]
fn a_file_is_created_and_opened_again() {
    let path = std::env::temp_dir().join(format!("postern-store-{}.disk", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let open = || Store::open(Arc::new(FileDisk::open(&path, 64 << 20).unwrap()), limits()).unwrap();
    let store = open();
    let id = receive(&store, &body(1, 500_000), new_message(vec![delivery("a", &["x"])])).unwrap().id;
    let disk_id = store.disk_id();
    store.close();
    assert!(matches!(store.begin(at(0)).map(|mut writer| writer.write(b"x")), Ok(Ok(None))));
    assert_eq!(store.flush_events().wait(), Err(Resource::Closed.into()));
    let store = open();
    assert_eq!(store.disk_id(), disk_id);
    assert_eq!(read_body(&store, id).unwrap(), body(1, 500_000));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn other_limits_are_obeyed_at_once() {
    let (_, store) = new_store();
    let two = || new_message(vec![delivery("a", &["x", "y"])]);
    for (recipients, taken) in [(1, false), (2, true), (3, true)] {
        store.set_limits(store::Limits { recipients, ..limits() });
        assert_eq!(receive(&store, b"text", two()).is_ok(), taken, "{recipients} recipients");
    }
    for (message_bytes, taken) in [(3, false), (4, true), (5, true)] {
        store.set_limits(store::Limits { message_bytes, ..limits() });
        assert_eq!(receive(&store, b"text", two()).is_ok(), taken, "{message_bytes} bytes");
    }
    let free = store.usage().free;
    for (reserve_bytes, accepting) in [(free - 1, true), (free, true), (free + 1, false)] {
        store.set_limits(store::Limits {
            reserve_bytes,
            reserve_percent: 0,
            reserve_percent_max: 100,
            ..limits()
        });
        let usage = store.usage();
        assert_eq!((usage.accepting, usage.reserve), (accepting, reserve_bytes));
    }
    assert!(matches!(store.begin(at(0)), Err(StoreError::Resource(Resource::Full { .. }))));
}
