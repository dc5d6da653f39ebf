//! Group commit: one thread takes the writes that wait, runs them in one transaction, commits once, and
//! answers them all.
//!
//! A write that is refused before it wrote anything leaves its neighbours alone. One that is refused or
//! panics after it wrote spoils the transaction: it is rolled back, and the others run again without it.
//! When the disk fails, the whole group is answered so, and the database is opened again.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Limits, Pending, Resource, StoreError, Timestamp,
    engine::Engine,
    failure::Failure,
    log::{self, Event, FaultClass},
    pending::Answer,
    tables::Transaction,
};

/// Rollbacks of one group; after them each of its writes has a transaction of its own, so that many bad
/// writes cannot make the good ones run again and again.
const ROLLBACKS_MAX: usize = 3;

/// Queue updates may wait beyond [`Limits::waiting_writes`] by this factor: accepting stops before
/// recording what was delivered does.
const UPDATES_FACTOR: usize = 2;

/// What a write is for, which decides how early it is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Takes in something new.
    Accept,
    /// Finishes or changes what is there.
    Update,
}

/// One write. It may run several times, each time on a fresh transaction; only the last run counts.
pub(crate) trait Job: Send {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failure>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
    fn bytes(&self) -> usize;
}

struct Write<T, F> {
    operation: F,
    result: Option<T>,
    answer: Answer<T>,
    bytes: usize,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnMut(&mut Transaction<'_>) -> Result<T, Failure> + Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        self.result = None;
        self.result = Some((self.operation)(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let missing = || StoreError::Bug("a write was committed that did not run".into());
        let Self { operation, result, answer, .. } = *self;
        // Memory that the operation holds is free before the caller goes on.
        drop(operation);
        answer.send(outcome.and_then(|()| result.ok_or_else(missing)));
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What waits for the writer thread.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    work: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    events: VecDeque<Event>,
    event_bytes: usize,
    events_dropped: u64,
    /// When the oldest waiting event came.
    events_since: Option<Instant>,
    /// A reader met a failure: the writer finds out whether the handle is still good.
    suspect: bool,
    closing: bool,
}

impl Inbox {
    /// Queues a write. `bytes` is how much of a group it fills.
    pub(crate) fn submit<T, F>(
        &self,
        limits: &Limits,
        purpose: Purpose,
        bytes: usize,
        operation: F,
    ) -> Pending<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let limit = match purpose {
            Purpose::Accept => limits.waiting_writes,
            Purpose::Update => limits.waiting_writes * UPDATES_FACTOR,
        };
        let mut waiting = self.lock();
        if waiting.closing {
            return Pending::ready(Err(Resource::Closed.into()));
        }
        if waiting.jobs.len() >= limit {
            return Pending::ready(Err(Resource::Busy { limit }.into()));
        }
        let (answer, pending) = Pending::new();
        waiting.jobs.push_back(Box::new(Write { operation, result: None, answer, bytes }));
        self.work.notify_one();
        pending
    }

    /// Queues an event; when too many wait, the oldest are dropped and counted.
    pub(crate) fn event(&self, limits: &Limits, event: Event) {
        let mut waiting = self.lock();
        waiting.event_bytes += event.size();
        waiting.events.push_back(event);
        while waiting.events.len() > limits.waiting_events || waiting.event_bytes > limits.waiting_event_bytes
        {
            let Some(oldest) = waiting.events.pop_front() else { break };
            waiting.event_bytes -= oldest.size();
            waiting.events_dropped += 1;
        }
        if waiting.events_since.is_none() {
            waiting.events_since = Some(Instant::now());
            self.work.notify_one();
        }
    }

    pub(crate) fn suspect(&self) {
        self.lock().suspect = true;
        self.work.notify_one();
    }

    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until there is something to do.
    fn next(&self, limits: &Limits, down_until: Option<Instant>) -> Task {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            let due = waiting.events_since.map(|since| since + limits.event_delay);
            let deadline = match down_until {
                Some(until) => {
                    if !waiting.jobs.is_empty() {
                        return Task::Refuse(waiting.jobs.drain(..).collect());
                    }
                    if waiting.closing {
                        return Task::Close;
                    }
                    if until <= now {
                        return Task::Reopen;
                    }
                    Some(until)
                }
                None => {
                    let idle = waiting.jobs.is_empty() && !waiting.suspect;
                    if !idle || due.is_some_and(|due| due <= now || waiting.closing) {
                        return Task::Group(waiting.take_group(limits));
                    }
                    if waiting.closing {
                        return Task::Close;
                    }
                    due
                }
            };
            waiting = match deadline {
                Some(at) => {
                    let wait = at.saturating_duration_since(now);
                    self.work.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Puts events back whose commit failed, in front of those that came since.
    fn return_events(&self, limits: &Limits, events: Vec<Event>) {
        let mut waiting = self.lock();
        for event in events.into_iter().rev() {
            if waiting.events.len() >= limits.waiting_events
                || waiting.event_bytes + event.size() > limits.waiting_event_bytes
            {
                waiting.events_dropped += 1;
                continue;
            }
            waiting.event_bytes += event.size();
            waiting.events.push_front(event);
        }
        waiting.events_since.get_or_insert_with(Instant::now);
    }
}

impl Waiting {
    fn take_group(&mut self, limits: &Limits) -> Group {
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < limits.group_writes.max(1) {
            let more = self.jobs.front().map_or(0, |job| job.bytes());
            if !jobs.is_empty() && bytes + more > limits.group_bytes {
                break;
            }
            let Some(job) = self.jobs.pop_front() else { break };
            bytes += more;
            jobs.push(Entry { job, spoiled: None, refused: None });
        }
        self.suspect = false;
        self.event_bytes = 0;
        self.events_since = None;
        let dropped = std::mem::take(&mut self.events_dropped);
        Group { jobs, events: self.events.drain(..).collect(), events_dropped: dropped }
    }
}

enum Task {
    Group(Group),
    /// The database is down: these are answered so.
    Refuse(Vec<Box<dyn Job>>),
    Reopen,
    Close,
}

struct Group {
    jobs: Vec<Entry>,
    events: Vec<Event>,
    events_dropped: u64,
}

struct Entry {
    job: Box<dyn Job>,
    /// It broke a transaction, and does not run again.
    spoiled: Option<StoreError>,
    /// It was refused in the run at hand.
    refused: Option<StoreError>,
}

/// How a run of a group ended.
enum Run {
    Committed,
    /// The write at this place broke the transaction, which was rolled back.
    Spoiled(usize, StoreError),
    Failed(String),
}

/// The writer thread's own.
pub(crate) struct Writer {
    engine: Arc<Engine>,
    /// While the database is down: when it is opened again, and how long to wait after that.
    down: Option<(Instant, Duration)>,
    /// The time of the latest event, which dates our own: there is no clock here.
    latest: Timestamp,
}

impl Writer {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, down: None, latest: Timestamp::MIN }
    }

    /// Works until the store is closed.
    pub(crate) fn run(mut self) {
        loop {
            let down_until = self.down.map(|(until, _)| until);
            match self.engine.inbox.next(&self.engine.limits(), down_until) {
                Task::Group(group) => self.commit(group),
                Task::Refuse(jobs) => self.refuse(jobs),
                Task::Reopen => self.reopen(),
                Task::Close => return,
            }
        }
    }

    fn commit(&mut self, mut group: Group) {
        if group.events_dropped > 0 {
            let event = Event::new(self.latest, "store.events-dropped").fault(FaultClass::Resource);
            group.events.push(event.field("count", group.events_dropped));
        }
        let latest = group.events.iter().map(|event| event.at).max();
        self.latest = self.latest.max(latest.unwrap_or_default());
        let mut rollbacks = 0;
        while rollbacks <= ROLLBACKS_MAX {
            match self.run_safely(&mut group.jobs, &group.events) {
                Run::Committed => return answer(group.jobs, None),
                Run::Spoiled(at, error) => {
                    group.jobs[at].spoiled = Some(error);
                    rollbacks += 1;
                }
                Run::Failed(text) => match self.recover(&text) {
                    true => rollbacks += 1,
                    false => return self.fail(group, &text),
                },
            }
        }
        self.commit_one_by_one(group);
    }

    fn commit_one_by_one(&mut self, group: Group) {
        let mut events = group.events;
        let mut jobs = group.jobs.into_iter();
        for mut entry in jobs.by_ref() {
            if entry.spoiled.is_some() {
                answer(vec![entry], None);
                continue;
            }
            match self.run_safely(std::slice::from_mut(&mut entry), &events) {
                Run::Committed => {
                    events.clear();
                    answer(vec![entry], None);
                }
                Run::Spoiled(_, error) => {
                    entry.spoiled = Some(error);
                    answer(vec![entry], None);
                }
                Run::Failed(text) => {
                    self.recover(&text);
                    let jobs = std::iter::once(entry).chain(jobs).collect();
                    return self.fail(Group { jobs, events, events_dropped: 0 }, &text);
                }
            }
        }
        // No write of this group was left to carry them.
        if !events.is_empty() {
            self.engine.inbox.return_events(&self.engine.limits(), events);
        }
    }

    /// redb may panic on a damaged database; that ends the handle, not the thread.
    fn run_safely(&self, jobs: &mut [Entry], events: &[Event]) -> Run {
        catch_unwind(AssertUnwindSafe(|| self.run_group(jobs, events)))
            .unwrap_or_else(|panic| Run::Failed(format!("the database panicked: {}", panic_text(&*panic))))
    }

    fn run_group(&self, jobs: &mut [Entry], events: &[Event]) -> Run {
        match self.try_group(jobs, events) {
            Ok(None) => Run::Committed,
            Ok(Some((at, error))) => Run::Spoiled(at, error),
            Err(failure) => Run::Failed(StoreError::from(failure).to_string()),
        }
    }

    fn try_group(
        &self,
        jobs: &mut [Entry],
        events: &[Event],
    ) -> Result<Option<(usize, StoreError)>, Failure> {
        let database = self.engine.database()?;
        let mut write = database.begin_write()?;
        // Two flushes a commit, and a start after a power cut that reads nothing but the allocator's state.
        write.set_quick_repair(true);
        let mut transaction = Transaction::open(&write, self.engine.space())?;
        transaction.take_written();
        let mut wrote = false;
        for (at, entry) in jobs.iter_mut().enumerate() {
            if let Some(error) = run_job(entry, &mut transaction)? {
                drop(transaction);
                write.abort()?;
                return Ok(Some((at, error)));
            }
            wrote |= transaction.take_written();
        }
        log::ring::append(&mut transaction, events)?;
        if !wrote && !transaction.take_written() {
            drop(transaction);
            write.abort()?;
            return Ok(None);
        }
        transaction.save_state()?;
        let state = transaction.state;
        drop(transaction);
        write.commit()?;
        self.engine.publish(state);
        Ok(None)
    }

    /// Opens the database again. Whether the group should simply run again on it.
    fn recover(&mut self, text: &str) -> bool {
        let growing = self.engine.growth_refused();
        if !growing {
            self.engine.note_failure(text);
        }
        match self.engine.reopen(growing) {
            Ok(()) if growing => return true,
            Ok(()) => self.note("store.reopened", text),
            Err(_) => {
                self.down = Some((
                    Instant::now() + self.engine.limits().reopen_wait,
                    self.engine.limits().reopen_wait,
                ))
            }
        }
        false
    }

    fn reopen(&mut self) {
        let Some((_, wait)) = self.down.take() else { return };
        match self.engine.reopen(false) {
            Ok(()) => self.note("store.reopened", "the disk works again"),
            Err(error) => {
                self.engine.note_failure(&error.to_string());
                let wait = (wait * 2).min(self.engine.limits().reopen_wait_max);
                self.down = Some((Instant::now() + wait, wait));
            }
        }
    }

    fn note(&self, kind: &'static str, text: &str) {
        let event = Event::new(self.latest, kind).fault(FaultClass::Resource).field("error", text);
        self.engine.inbox.event(&self.engine.limits(), event);
    }

    fn fail(&self, group: Group, text: &str) {
        if !group.events.is_empty() {
            self.engine.inbox.return_events(&self.engine.limits(), group.events);
        }
        answer(group.jobs, Some(Resource::Disk(text.to_owned()).into()));
    }

    fn refuse(&self, jobs: Vec<Box<dyn Job>>) {
        let text = self.engine.last_error();
        for job in jobs {
            job.answer(Err(Resource::Disk(text.clone()).into()));
        }
    }
}

/// Runs one write. An error that is returned spoils the transaction; one that is not stands in the entry.
fn run_job(entry: &mut Entry, transaction: &mut Transaction<'_>) -> Result<Option<StoreError>, Failure> {
    if entry.spoiled.is_some() {
        return Ok(None);
    }
    entry.refused = None;
    match catch_unwind(AssertUnwindSafe(|| entry.job.run(transaction))) {
        Ok(Ok(())) => Ok(None),
        Ok(Err(Failure::Refused(error))) if transaction.is_written() => Ok(Some(error)),
        Ok(Err(Failure::Refused(error))) => {
            entry.refused = Some(error);
            Ok(None)
        }
        Ok(Err(failure)) => Err(failure),
        Err(panic) => Ok(Some(StoreError::Bug(panic_text(&*panic).to_owned()))),
    }
}

/// Answers writes after their commit, or all of them with `failure`.
fn answer(jobs: Vec<Entry>, failure: Option<StoreError>) {
    for Entry { job, spoiled, refused } in jobs {
        let error = spoiled.or_else(|| failure.clone()).or(refused);
        job.answer(error.map_or(Ok(()), Err));
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests;
