//! Streams and counts: made by mail, counted with it, expired, bounded.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod world;

use std::sync::Arc;

use store::{
    Limits, Resource, Store, StoreError, Timestamp,
    message::{Notice, RecipientState},
    stream::{Count, EXPIRE_STEP, STREAM_LIFE, STREAM_MAX, Stream, StreamMail},
    testing::MemoryDisk,
};
use world::{at, delivery, limits, mail, new_message, new_store, open, receive, reply, result};

const CYCLE: u32 = 202_611;

/// A message at `seconds` for these streams.
fn send(store: &Store, seconds: u64, streams: Vec<StreamMail>) -> Result<(), StoreError> {
    let mut new = new_message(vec![delivery("a", &["x"])]);
    (new.received_at, new.streams) = (at(seconds), streams);
    receive(store, b"text", new).map(drop)
}

fn names(store: &Store) -> Vec<String> {
    store.streams().map(|stream| stream.unwrap().name.to_string()).collect()
}

fn messages(store: &Store, cycle: u32) -> Vec<(String, u64)> {
    store.counts(cycle).map(Result::unwrap).map(|count| (count.stream.to_string(), count.messages)).collect()
}

#[test]
fn mail_makes_a_stream_and_counts_in_its_own_commit() {
    let (disk, store) = new_store();
    let ann = StreamMail { address: "a.nn@example.com".into(), ..mail("example:ann", CYCLE) };
    let elsewhere = StreamMail { domain: "example.org".into(), ..mail("example:ann", CYCLE) };
    // Two recipients of one stream, and the stream once more in another domain.
    send(&store, 5, vec![ann.clone(), mail("example:ann", CYCLE), elsewhere]).unwrap();
    send(&store, 9, vec![mail("example:ann", CYCLE), mail("example:bob", CYCLE)]).unwrap();
    send(&store, 7, vec![mail("example:ann", CYCLE), mail("example:ann", CYCLE + 1)]).unwrap();

    let store = open(&Arc::new(disk.after_power_cut(4)));
    assert_eq!(names(&store), ["example:ann", "example:bob"]);
    let stream = Stream { name: "example:ann".into(), created_at: at(5), last_mail_at: Some(at(9)) };
    assert_eq!(store.stream("example:ann"), Ok(Some(stream)));
    assert_eq!(store.stream("example:an"), Ok(None));
    let first = store.counts(CYCLE).next().unwrap().unwrap();
    let expected = Count {
        stream: "example:ann".into(),
        domain: "example.com".into(),
        first_at: at(5),
        last_at: at(9),
        messages: 3,
        address: "a.nn@example.com".into(),
        because: "chop-domain".into(),
    };
    assert_eq!(first, expected);
    let all = [("example:ann", 3), ("example:ann", 1), ("example:bob", 1)];
    assert_eq!(messages(&store, CYCLE), all.map(|(name, count)| (name.to_owned(), count)));
    assert_eq!(store.cycles(), Ok(vec![CYCLE, CYCLE + 1]));
    assert_eq!(store.usage().streams, 2);
}

#[test]
fn what_is_refused_counts_nothing() {
    let (_, store) = new_store();
    let wrong = |change: fn(&mut StreamMail)| {
        let mut mail = mail("example:ann", CYCLE);
        change(&mut mail);
        let refused = send(&store, 0, vec![world::mail("example:bob", CYCLE), mail]);
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    };
    wrong(|mail| mail.stream = "".into());
    wrong(|mail| mail.stream = "x".repeat(STREAM_MAX + 1).into());
    wrong(|mail| mail.domain = "".into());
    wrong(|mail| mail.domain = "x".repeat(256).into());
    wrong(|mail| mail.cycle = 202_613);
    wrong(|mail| mail.cycle = 202_600);
    wrong(|mail| mail.cycle = 1_000_001);
    let refused = send(&store, 0, vec![mail("example:ann", CYCLE); limits().recipients + 1]);
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!((names(&store).len(), store.usage().messages, store.usage().table_bytes), (0, 0, 0));

    let long =
        StreamMail {
            address: "ä".repeat(400).into(), because: "b".repeat(400).into(), ..mail("a:b", CYCLE)
        };
    send(&store, 0, vec![long]).unwrap();
    let count = store.counts(CYCLE).next().unwrap().unwrap();
    assert!(count.address.len() <= 320 && count.because.len() <= 160, "cut: {count:?}");
}

#[test]
fn a_notice_counts_with_the_attempt_that_it_tells_of_or_not_at_all() {
    let (_, store) = new_store();
    let enqueued = receive(&store, b"text", new_message(vec![delivery("a", &["x"])])).unwrap();
    let notice = || {
        let mut message = new_message(vec![delivery("back", &["sender"])]);
        message.streams = vec![mail("example:sender", CYCLE)];
        vec![Notice { message, body: "failed".into() }]
    };
    let wrong = result(enqueued.deliveries[0], vec![(1, RecipientState::Failed(reply(550)))]);
    assert!(store.record(wrong, notice(), vec![]).wait().is_err());
    assert!(messages(&store, CYCLE).is_empty());
    let failed = result(enqueued.deliveries[0], vec![(0, RecipientState::Failed(reply(550)))]);
    store.record(failed, notice(), vec![]).wait().unwrap();
    assert_eq!(messages(&store, CYCLE), [("example:sender".to_owned(), 1)]);
}

#[test]
fn a_stream_expires_when_it_had_no_mail_and_nothing_keeps_it() {
    let (_, store) = new_store();
    send(&store, 0, vec![mail("example:ann", CYCLE), mail("example:kept", CYCLE)]).unwrap();
    assert_eq!(store.prepare_stream("example:new", at(1)).wait(), Ok(true));
    assert_eq!(store.prepare_stream("example:new", at(9)).wait(), Ok(false));
    assert_eq!(store.prepare_stream("example:ann", at(9)).wait(), Ok(false));
    let stream = store.stream("example:new").unwrap().unwrap();
    assert_eq!((stream.created_at, stream.last_mail_at), (at(1), None));

    let expire = |now: Timestamp| store.expire_streams(now, |name| name == "example:kept").wait().unwrap();
    assert!(expire(at(0)).is_empty() && expire(Timestamp::MIN).is_empty());
    let life = STREAM_LIFE.as_secs();
    assert!(expire(at(life - 1)).is_empty());
    assert_eq!(expire(at(life)), [Box::from("example:ann")]);
    assert_eq!(expire(at(life + 1)), [Box::from("example:new")]);
    assert_eq!(names(&store), ["example:kept"]);
    assert_eq!(messages(&store, CYCLE).len(), 2, "what was counted stays counted");

    store.remove_stream("example:kept").wait().unwrap();
    assert!(matches!(store.remove_stream("example:kept").wait(), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.prepare_stream("", at(0)).wait(), Err(StoreError::Refused(_))));
    assert_eq!(store.usage().streams, 0);
}

#[test]
fn many_streams_expire_in_steps() {
    let (_, store) = new_store();
    let step = limits().recipients;
    for from in (0..EXPIRE_STEP + 10).step_by(step) {
        let all = from..(from + step).min(EXPIRE_STEP + 10);
        send(&store, 0, all.map(|number| mail(&format!("example:{number:05}"), CYCLE)).collect()).unwrap();
    }
    let expire = || store.expire_streams(Timestamp::MAX, |_| false).wait().unwrap().len();
    assert_eq!((expire(), expire(), expire()), (EXPIRE_STEP, 10, 0));
}

#[test]
fn mail_that_needs_a_row_too_many_waits_and_the_rest_goes_on() {
    let small = Limits { streams: 2, counts: 3, ..limits() };
    let store = Store::open(Arc::new(MemoryDisk::new(world::DISK)), small).unwrap();
    let too_many = |streams, what, limit| {
        assert_eq!(send(&store, 0, streams), Err(Resource::TooMany { what, limit }.into()));
    };
    send(&store, 0, vec![mail("example:a", CYCLE), mail("example:b", CYCLE)]).unwrap();
    too_many(vec![mail("example:a", CYCLE), mail("example:c", CYCLE)], "streams", 2);
    assert!(matches!(
        store.prepare_stream("example:c", at(0)).wait(),
        Err(StoreError::Resource(Resource::TooMany { .. }))
    ));
    send(&store, 0, vec![mail("example:a", CYCLE), mail("example:b", CYCLE)]).unwrap();
    send(&store, 0, vec![mail("example:a", CYCLE + 1)]).unwrap();
    too_many(vec![mail("example:a", CYCLE + 1), mail("example:b", CYCLE + 1)], "counts", 3);
    assert_eq!(messages(&store, CYCLE), [("example:a".to_owned(), 2), ("example:b".to_owned(), 2)]);
    assert_eq!(messages(&store, CYCLE + 1), [("example:a".to_owned(), 1)]);
    assert_eq!(store.usage().messages, 3);
}

#[test]
fn the_counts_of_old_cycles_go_in_steps_whatever_the_clock_once_said() {
    let few = Limits { cycles: 3, ..limits() };
    let store = Store::open(Arc::new(MemoryDisk::new(world::DISK)), few).unwrap();
    let cycle = |month: u32, count: usize| {
        let all = (0..count).map(|number| mail(&format!("example:{number:03}"), 202_600 + month));
        send(&store, 0, all.collect()).unwrap();
    };
    cycle(1, 100);
    cycle(2, 10);
    // A clock that ran wrong, both ways: one cycle is taken for the newest, the other for the oldest.
    send(&store, 0, vec![mail("example:000", 209_901)]).unwrap();
    send(&store, 0, vec![mail("example:000", 197_001)]).unwrap();
    assert_eq!(store.cycles(), Ok(vec![202_601, 202_602, 209_901]));
    cycle(3, 1);
    assert_eq!(store.cycles(), Ok(vec![202_602, 202_603, 209_901]));
    let left = messages(&store, 202_601).len();
    assert!((36..50).contains(&left), "{left} are left after one step");
    cycle(3, 2);
    assert_eq!(messages(&store, 202_601).len(), 0);
    assert_eq!(messages(&store, 202_602).len(), 10);
    assert_eq!(messages(&store, 202_603), [("example:000".to_owned(), 2), ("example:001".to_owned(), 1)]);
    assert_eq!(Limits::default().cycles, 37, "three years and the present cycle");
}

#[test]
fn a_full_disk_refuses_mail_for_new_streams_before_its_end() {
    let store = open(&Arc::new(MemoryDisk::new(12 << 20)));
    let (mut sent, name) = (0, "n".repeat(300));
    let error = loop {
        let streams = (0..50).map(|number| mail(&format!("example:{name}{sent}-{number}"), CYCLE)).collect();
        match send(&store, 0, streams) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Resource(Resource::Full { .. })), "{error}");
    assert_eq!((store.health().failures, store.usage().streams), (0, sent * 50));
    assert_eq!(messages(&store, CYCLE).len() as u64, sent * 50);
    while store.expire_streams(Timestamp::MAX, |_| false).wait().unwrap().len() == EXPIRE_STEP {}
    assert_eq!((store.usage().streams, store.health().failures), (0, 0));
}
