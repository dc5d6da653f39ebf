//! The power goes at any operation of the disk; what was not flushed is lost, torn or reordered. Afterwards the
//! store holds everything that was acknowledged, and of the rest each operation wholly or not at all.
//!
//! `STORE_CUTS` sets how many cuts are tried.

#[path = "world/model.rs"]
mod model;
mod world;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use model::{Counted, Model, Step, delivered, fingerprint, held};
use store::{
    MessageId, NewConfiguration, Pending, Store, StoreError,
    log::Event,
    testing::{Fault, MemoryDisk, Operation, Random},
};
use world::{at, body, delivery, limits, mail, new_message, read_body, receive, result};

const DISK: usize = 12 << 20;
const STEPS: usize = 60;
/// Operations that wait together; each may fail, and then each choice among them is tried.
const WAITING_MAX: usize = 12;

fn cuts(default: u64) -> u64 {
    std::env::var("STORE_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Random work on a store, with the model beside it: several operations wait together, as in a busy gateway.
struct Work {
    random: Random,
    model: Model,
    /// The model after each operation that was submitted, and whether it was acknowledged.
    history: Vec<(Step, Result<(), StoreError>)>,
    waiting: Vec<(Step, Answer)>,
}

/// Waits for an answer, of which only matters whether it is good.
type Answer = Box<dyn FnOnce() -> Result<(), StoreError>>;

impl Work {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), model: Model::default(), history: vec![], waiting: vec![] }
    }

    /// After errors the store works on, so what failed may lie between what was acknowledged: each of the failed
    /// operations is there or not.
    fn check_each(&self, found: &Model, what: &str) {
        let failed: Vec<_> = self.history.iter().filter(|(_, answer)| answer.is_err()).collect();
        assert!(failed.len() <= WAITING_MAX, "{what}: {failed:?}");
        for subset in 0..1u32 << failed.len() {
            let mut model = Model::default();
            let mut number = 0;
            for (step, answer) in &self.history {
                let applies = answer.is_ok() || subset >> number & 1 == 1;
                number += u32::from(answer.is_err());
                if applies {
                    model.apply(step);
                }
            }
            if model == *found {
                return;
            }
        }
        panic!("{what}: no choice of the {} failed operations gives what is there: {found:?}", failed.len());
    }

    /// Whether the store still works.
    fn step(&mut self, store: &Store) -> bool {
        let choice = self.random.below(10);
        let keys: Vec<_> = self.model.deliveries.keys().copied().collect();
        let known = keys.get(self.random.below(keys.len() as u64) as usize).copied();
        let submitted = match (choice, known) {
            (0..=3, _) | (_, None) => self.enqueue(store),
            (4..=6, Some(id)) => {
                let recipients = self.model.deliveries[&id].open.len();
                let deliver: Vec<_> = (0..recipients).filter(|_| self.random.below(3) > 0).collect();
                let next = at(self.random.below(10_000));
                let mut attempt = result(id, deliver.iter().map(|&index| (index, delivered())).collect());
                attempt.next_attempt = next;
                let pending = unit(store.record(attempt, vec![], vec![Event::new(at(0), "delivery.tried")]));
                Some((Step::Attempt { id, deliver, next }, pending))
            }
            (7, Some(id)) if self.random.below(2) == 0 => {
                Some((Step::Hold(id), unit(store.hold(id, held()))))
            }
            (7, Some(id)) => Some((Step::Retry(id, at(9)), unit(store.retry_now(id, at(9))))),
            (8, Some(id)) => Some((Step::Purge(id), unit(store.purge(id)))),
            (_, Some(_)) if self.random.below(2) == 0 => {
                let text = format!("number = {}", self.random.below(1000));
                let new =
                    NewConfiguration { text: text.clone(), from_file: true, at: at(0), by: "test".into() };
                let set = store.set_configuration(new, Event::new(at(0), "configuration.set"));
                Some((Step::Configure(text), unit(set)))
            }
            (_, Some(_)) => Some((Step::Audit, unit(store.audit(Event::new(at(0), "audit"))))),
        };
        let Some((step, pending)) = submitted else { return false };
        self.model.apply(&step);
        self.waiting.push((step, pending));
        (self.random.below(4) > 0 && self.waiting.len() < WAITING_MAX) || self.settle()
    }

    fn enqueue(&mut self, store: &Store) -> Option<(Step, Answer)> {
        let len = [10, 3000, 20_000, 100_000, 400_000][self.random.below(5) as usize];
        let body = body(self.random.next(), len);
        let mut writer = store.begin(at(0)).ok()?;
        let id = writer.id();
        for part in body.chunks(50_000) {
            if let Some(spilling) = writer.write(part).ok()? {
                spilling.wait().ok()?;
            }
        }
        if self.random.below(8) == 0 {
            // A peer that goes away before the end of data. Its removal is no operation of the model.
            drop(writer);
            return Some((
                Step::Purge(store::DeliveryId { message: id, number: 0 }),
                unit(store.flush_events()),
            ));
        }
        let recipients: Vec<_> =
            (0..=self.random.below(2)).map(|_| 1 + self.random.below(3) as usize).collect();
        let names = ["x", "y", "z"];
        let deliveries = recipients.iter().map(|&count| delivery("a", &names[..count])).collect();
        let mut new = new_message(deliveries);
        let counted = self.counted();
        new.streams = counted.iter().map(|(cycle, stream, _)| mail(stream, *cycle)).collect();
        let pending = unit(writer.commit(new));
        Some((Step::Enqueue { id, body: fingerprint(&body), recipients, counted }, pending))
    }

    /// Up to two of a few streams, in the present cycle or the next.
    fn counted(&mut self) -> Vec<Counted> {
        let streams = ["example:ann", "example:bob", "example:default"];
        let (first, count) = (self.random.below(2) as usize, self.random.below(3) as usize);
        let cycle = 202_611 + self.random.below(2) as u32;
        let chosen = streams.iter().skip(first).take(count);
        chosen.map(|stream| (cycle, stream.to_string(), "example.com".into())).collect()
    }

    /// Waits for the answers. Whether all were good.
    fn settle(&mut self) -> bool {
        for (step, answer) in self.waiting.drain(..) {
            self.history.push((step, answer()));
        }
        self.history.iter().all(|(_, answer)| answer.is_ok())
    }

    /// The store must be what some prefix of the operations gives that holds all the acknowledged ones.
    fn check(&self, found: &Model, what: &str) {
        let acknowledged =
            self.history.iter().rposition(|(_, answer)| answer.is_ok()).map_or(0, |last| last + 1);
        let mut model = Model::default();
        for (count, (step, _)) in (0..).zip(&self.history) {
            if count >= acknowledged && model == *found {
                return;
            }
            model.apply(step);
        }
        assert_eq!(model, *found, "{what}: {acknowledged} of {} acknowledged", self.history.len());
    }
}

fn unit<T: 'static>(pending: Pending<T>) -> Answer {
    Box::new(|| pending.wait().map(|_| ()))
}

fn run(seed: u64, disk: &Arc<MemoryDisk>) -> Work {
    let mut work = Work::new(seed);
    let Ok(store) = Store::open(disk.clone(), limits()) else { return work };
    for _ in 0..STEPS {
        if !work.step(&store) {
            break;
        }
    }
    work.settle();
    work
}

#[test]
fn what_was_acknowledged_survives_a_cut_at_any_operation() {
    let whole = Arc::new(MemoryDisk::new(DISK));
    let work = run(1, &whole);
    assert!(work.history.len() >= STEPS && work.history.iter().all(|(_, answer)| answer.is_ok()));
    let mut cut = 0;
    for seed in 0..cuts(250) {
        let disk = Arc::new(MemoryDisk::new(DISK));
        let mut random = Random::new(seed);
        let seed = random.next();
        // Also within the format, which is the first few operations.
        let span = if seed.is_multiple_of(8) { 40 } else { whole.operations() };
        disk.cut_power_after(random.below(span));
        let work = run(seed, &disk);
        cut += u64::from(work.history.iter().any(|(_, answer)| answer.is_err()));
        let disk = Arc::new(disk.after_power_cut(random.next()));
        let store =
            Store::open(disk.clone(), limits()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        work.check(&Model::of(&store), &format!("seed {seed}"));

        // It works on, and a second cut at once finds the same.
        let more = receive(&store, &body(seed, 30_000), new_message(vec![delivery("a", &["x"])])).unwrap();
        let before = Model::of(&store);
        let store = Store::open(Arc::new(disk.after_power_cut(random.next())), limits()).unwrap();
        assert_eq!(Model::of(&store), before);
        assert_eq!(read_body(&store, more.id).unwrap(), body(seed, 30_000));
    }
    assert!(cut > 0, "some cuts fell into the work");
}

#[test]
fn what_was_acknowledged_survives_errors_of_the_disk() {
    let whole = Arc::new(MemoryDisk::new(DISK));
    run(1, &whole);
    for seed in 0..cuts(120) {
        let disk = Arc::new(MemoryDisk::new(DISK));
        let store = Store::open(disk.clone(), limits()).unwrap();
        let mut random = Random::new(seed);
        let kind = [Operation::Read, Operation::Write, Operation::Sync][random.below(3) as usize];
        let span = if kind == Operation::Sync { whole.flushes() } else { whole.operations() };
        let after = random.below(span / 2);
        disk.set_fault(Some(Fault { kind, after, count: 1 + random.below(3) }));
        let mut work = Work::new(random.next());
        while work.history.len() < STEPS && work.step(&store) {}
        work.settle();
        disk.set_fault(None);
        // What failed once works again, without a restart.
        let text = body(seed, 30_000);
        let mut tries = 0..1000;
        let more = loop {
            match receive(&store, &text, new_message(vec![delivery("a", &["x"])])) {
                Ok(more) => break more,
                Err(error) => assert!(error.is_transient() && tries.next().is_some(), "{error}"),
            }
        };
        let mut found = Model::of(&store);
        found.messages.remove(&more.id);
        found.deliveries.remove(&more.deliveries[0]);
        work.check_each(&found, &format!("seed {seed}, {kind:?} after {after}"));
        drop(store);
        let store = Store::open(disk, limits()).unwrap();
        assert_eq!(read_body(&store, more.id).unwrap(), text);
    }
}

/// Many threads receive and deliver while the power goes: 200 times, as the promise says.
#[test]
fn many_threads_lose_nothing_that_was_acknowledged() {
    for seed in 0..cuts(200) {
        let disk = Arc::new(MemoryDisk::new(DISK));
        let store = Store::open(disk.clone(), limits()).unwrap();
        disk.cut_power_after(20 + Random::new(seed).below(1500));
        // Messages that were acknowledged, and whether their delivery was tried and acknowledged too.
        let fates = Mutex::new(BTreeMap::<MessageId, (u64, Fate)>::new());
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (store, fates) = (&store, &fates);
                scope.spawn(move || {
                    for number in 0..200 {
                        let name = seed << 32 | thread << 16 | number;
                        let new = new_message(vec![delivery("a", &["x"])]);
                        let Ok(enqueued) = receive(store, &body(name, 20_000), new) else { return };
                        fates.lock().unwrap().insert(enqueued.id, (name, Fate::Queued));
                        if number % 3 == 0 {
                            continue;
                        }
                        let done = result(enqueued.deliveries[0], vec![(0, delivered())]);
                        let fate = match store.record(done, vec![], vec![]).wait() {
                            Ok(_) => Fate::Done,
                            Err(_) => Fate::Unknown,
                        };
                        fates.lock().unwrap().insert(enqueued.id, (name, fate));
                    }
                });
            }
        });
        let store = Store::open(Arc::new(disk.after_power_cut(seed)), limits()).unwrap();
        let found = Model::of(&store);
        for (id, (name, fate)) in fates.into_inner().unwrap() {
            match (found.messages.get(&id), fate) {
                (Some(text), Fate::Queued | Fate::Unknown) => {
                    assert_eq!(*text, fingerprint(&body(name, 20_000)))
                }
                (None, Fate::Done | Fate::Unknown) => {}
                (there, _) => panic!("seed {seed}: {id} is {fate:?}, there: {}", there.is_some()),
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Queued,
    /// The record of its delivery was not acknowledged: it may be delivered a second time.
    Unknown,
    Done,
}
