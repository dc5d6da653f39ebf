//! What one write of a group may do to the others.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::testing::{Fault, MemoryDisk, Operation};

const DISK: usize = 12 << 20;

struct Bench {
    disk: Arc<MemoryDisk>,
    engine: Arc<Engine>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let disk = Arc::new(MemoryDisk::new(DISK));
        let engine = Arc::new(Engine::start(disk.clone(), limits).unwrap());
        let writer = Writer::new(engine.clone());
        Self { disk, engine, thread: Some(std::thread::spawn(move || writer.run())) }
    }

    /// Submits a write that keeps the thread busy until `gate` opens, so that what follows forms one group.
    fn occupy(&self, gate: &Arc<Barrier>) -> Pending<()> {
        let (gate, mut runs) = (gate.clone(), 0);
        self.submit(move |_| {
            runs += 1;
            if runs == 1 {
                gate.wait();
            }
            Ok(())
        })
    }

    fn submit<T: Send + 'static>(
        &self,
        operation: impl FnMut(&mut Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Pending<T> {
        self.engine.inbox.submit(&self.engine.limits(), Purpose::Update, 0, operation)
    }

    fn put(&self, name: &'static str) -> Pending<()> {
        self.submit(move |transaction| transaction.values.put(name, b"value").map(|_| ()))
    }

    fn has(&self, name: &'static str) -> bool {
        let found = self.submit(move |transaction| Ok(transaction.values.get(name)?.is_some()));
        found.wait().unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.engine.inbox.close();
        let ended = self.thread.take().map(|thread| thread.join());
        assert!(ended.is_some_and(|ended| ended.is_ok()), "the writer thread never panics");
    }
}

fn refusal() -> Failure {
    StoreError::Refused("by the test".into()).into()
}

#[test]
fn writes_that_wait_together_share_a_commit() {
    let bench = Bench::new(Limits::default());
    let gate = Arc::new(Barrier::new(2));
    let first = bench.occupy(&gate);
    let all: Vec<_> = ["a", "b", "c", "d"].map(|name| bench.put(name)).into();
    let before = bench.disk.flushes();
    gate.wait();
    first.wait().unwrap();
    all.into_iter().for_each(|write| write.wait().unwrap());
    assert!(bench.disk.flushes() - before <= 4, "two flushes a commit, at most two commits");
}

#[test]
fn a_write_that_is_refused_leaves_the_others_alone() {
    let bench = Bench::new(Limits::default());
    let gate = Arc::new(Barrier::new(2));
    let first = bench.occupy(&gate);
    let runs = Arc::new(AtomicU32::new(0));
    let before = bench.put("before");
    let early = bench.submit::<()>(|_| Err(refusal()));
    let late = bench.submit::<()>(|transaction| {
        transaction.values.put("half", b"written")?;
        Err(refusal())
    });
    let panicking = bench.submit::<()>(|transaction| {
        transaction.values.put("panic", b"written")?;
        panic!("by the test")
    });
    let counted = runs.clone();
    let after = bench.submit(move |transaction| {
        counted.fetch_add(1, Ordering::Relaxed);
        transaction.values.put("after", b"value").map(|_| ())
    });
    gate.wait();
    first.wait().unwrap();
    assert_eq!((before.wait(), after.wait()), (Ok(()), Ok(())));
    assert!(matches!(early.wait(), Err(StoreError::Refused(_))));
    assert!(matches!(late.wait(), Err(StoreError::Refused(_))));
    assert_eq!(panicking.wait(), Err(StoreError::Bug("by the test".into())));
    assert!(bench.has("before") && bench.has("after"));
    assert!(!bench.has("half") && !bench.has("panic"), "what failed left nothing");
    assert_eq!(runs.load(Ordering::Relaxed), 1, "it stood behind both and ran once they were out");
}

#[test]
fn many_bad_writes_cost_the_good_ones_a_bounded_number_of_runs() {
    let bench = Bench::new(Limits::default());
    let gate = Arc::new(Barrier::new(2));
    let first = bench.occupy(&gate);
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let good = bench.submit(move |transaction| {
        counted.fetch_add(1, Ordering::Relaxed);
        transaction.values.put("good", b"value").map(|_| ())
    });
    let bad: Vec<_> = (0..50).map(|_| bench.submit::<()>(|_| panic!("by the test"))).collect();
    let last = bench.put("last");
    gate.wait();
    first.wait().unwrap();
    assert_eq!((good.wait(), last.wait()), (Ok(()), Ok(())));
    assert!(bad.into_iter().all(|write| matches!(write.wait(), Err(StoreError::Bug(_)))));
    assert_eq!(runs.load(Ordering::Relaxed), ROLLBACKS_MAX as u32 + 2);
}

#[test]
fn too_many_waiting_writes_are_turned_away_new_mail_first() {
    let bench = Bench::new(Limits { waiting_writes: 4, ..Limits::default() });
    let gate = Arc::new(Barrier::new(2));
    let running = Arc::new(Barrier::new(2));
    let (inside, until) = (running.clone(), gate.clone());
    let first = bench.submit(move |_| {
        inside.wait();
        until.wait();
        Ok(())
    });
    running.wait();
    let accept = || bench.engine.inbox.submit(&bench.engine.limits(), Purpose::Accept, 0, |_| Ok(()));
    let accepted: Vec<_> = (0..4).map(|_| accept()).collect();
    assert_eq!(accept().wait(), Err(Resource::Busy { limit: 4 }.into()));
    let updates: Vec<_> = (0..4).map(|_| bench.put("a")).collect();
    assert_eq!(bench.put("a").wait(), Err(Resource::Busy { limit: 8 }.into()));
    gate.wait();
    first.wait().unwrap();
    accepted.into_iter().chain(updates).for_each(|write| write.wait().unwrap());
}

#[test]
fn a_failed_flush_fails_the_group_and_the_next_one_works() {
    let bench = Bench::new(Limits::default());
    bench.put("before").wait().unwrap();
    bench.disk.set_fault(Some(Fault { kind: Operation::Sync, after: 0, count: 1 }));
    assert!(matches!(bench.put("lost").wait(), Err(StoreError::Resource(Resource::Disk(_)))));
    bench.put("after").wait().unwrap();
    assert!(bench.has("before") && bench.has("after"));
    let health = bench.engine.health();
    assert_eq!((health.working, health.failures), (true, 1));
    assert!(health.last_error.is_some_and(|text| text.contains("EIO")));
}

#[test]
fn while_the_disk_is_gone_every_write_is_answered_and_it_comes_back_by_itself() {
    let wait = Duration::from_millis(1);
    let bench = Bench::new(Limits { reopen_wait: wait, reopen_wait_max: wait, ..Limits::default() });
    bench.put("before").wait().unwrap();
    bench.disk.set_fault(Some(Fault { kind: Operation::Read, after: 0, count: u64::MAX }));
    bench.engine.inbox.suspect();
    // The cached pages may serve a few more writes; then each is refused, and none hangs.
    bench.disk.set_fault(Some(Fault { kind: Operation::Sync, after: 0, count: u64::MAX }));
    for _ in 0..20 {
        assert!(matches!(bench.put("refused").wait(), Err(StoreError::Resource(Resource::Disk(_)))));
    }
    assert!(!bench.engine.health().working);
    bench.disk.set_fault(None);
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.put("after").wait().is_err() {
        assert!(Instant::now() < deadline, "it never came back");
        std::thread::yield_now();
    }
    assert!(bench.has("before") && bench.has("after"));
}
