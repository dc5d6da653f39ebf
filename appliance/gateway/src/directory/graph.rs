//! A Microsoft 365 tenant: the task that keeps its copy, and the handle that is asked about addresses.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError},
    time::Duration,
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use config_schema::{Config, Date, EntraId, LookupName, Mapping, name::DomainName};
use directory::{
    answer::LookupAnswer,
    graph::{Change, Fault, Loss, Moment, News, Status, Step, Sync, Whose},
};
use smtp::address::Address;
use store::{DirectoryChange, Store, StoreError, log::FaultClass};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{sleep, sleep_until, timeout},
};

use super::{http::Client, task::Task};
use crate::{appliance::Appliance, dns::Resolver, event::Kind, transport::Transport};

/// How long a recipient waits for a direct question; the copy answers then.
const QUESTION: Duration = Duration::from_secs(5);
/// How soon it is looked again whether a question can be put.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long a copy may go without a reading before it is an alarm, in seconds.
const STALE: u64 = 24 * 60 * 60;
/// So long before its end a secret or certificate is an alarm, in seconds.
const PROOF_ENDS: u64 = 30 * 24 * 60 * 60;

/// A tenant's copy. Cheap to clone; the task ends with the last clone.
#[derive(Debug, Clone)]
pub struct Graph {
    inner: Arc<Inner>,
    task: Arc<Task>,
}

#[derive(Debug)]
struct Inner {
    name: LookupName,
    appliance: Appliance,
    /// Look-ups read it, also while a large tenant is judged.
    sync: RwLock<Sync>,
    /// Rung for the task: someone asks or has confirmed.
    wake: Notify,
    /// Rung by the task: questions may be answered.
    answered: Notify,
    /// When the task began, in Unix seconds.
    started: u64,
    random: SystemRandom,
}

impl Graph {
    /// Loads the copy from the disk and begins to keep it. Must be called inside the runtime.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn start(
        appliance: Appliance,
        transport: Arc<dyn Transport>,
        resolver: Resolver,
        name: LookupName,
        entra: EntraId,
    ) -> Result<Graph, StoreError> {
        let config = appliance.config();
        let ours = domains(&config, &name);
        let (store, of) = (appliance.store.clone(), name.clone());
        let loading = spawn_blocking(move || load(&store, of.as_str(), &entra, ours));
        let (sync, unread) = match loading.await {
            Ok(loaded) => loaded?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        if let Some(why) = unread {
            let event = appliance.events.event(Kind::DirectoryFault).fault(FaultClass::Bug);
            appliance.events.record(event.field("lookup", &name).field("why", why));
        }
        let client = Client::new(transport, resolver, &config);
        let started = appliance.clock.now().unix_seconds();
        let inner = Arc::new(Inner {
            name,
            appliance,
            sync: RwLock::new(sync),
            wake: Notify::new(),
            answered: Notify::new(),
            started,
            random: SystemRandom::new(),
        });
        let task = Task::new(tokio::spawn(run(inner.clone(), client)));
        Ok(Graph { inner, task: Arc::new(task) })
    }

    /// What is known of an address. A miss in the copy may be asked of the tenant itself, which takes some seconds
    /// at most.
    pub async fn lookup(&self, address: &Address) -> LookupAnswer {
        let key = address.key();
        let inner = &*self.inner;
        let known = inner.peek(&key);
        if matches!(known, LookupAnswer::Stream { .. }) {
            return known;
        }
        // Who waits too long has the copy's answer.
        let asked = timeout(QUESTION, async {
            let asked = inner.change_sync(|sync, now| sync.ask(&key, now)).await;
            if asked {
                inner.wake.notify_one();
                inner.wait_for(&key).await;
            }
            asked
        });
        if asked.await == Ok(false) { known } else { inner.peek(&key) }
    }

    /// Ends the task of all clones; when this returns, nothing more is written.
    pub async fn end(&self) {
        self.task.end().await;
        // The store writes in the order in which it was asked: after this, all that was under way is done.
        let lookup = self.inner.name.as_str().into();
        let nothing = DirectoryChange { lookup, ..DirectoryChange::default() };
        // A store that writes nothing any more writes nothing late, either.
        let _ = self.inner.appliance.store.change_directory(nothing).await;
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.inner.sync().status()
    }

    /// Puts what is held into use; false if nothing is held.
    pub async fn confirm(&self) -> bool {
        let Some(retired) = self.inner.change_sync(Sync::confirm).await else { return false };
        spawn_blocking(|| drop(retired));
        self.inner.wake.notify_one();
        true
    }

    /// Reads the tenant now instead of when it is due; returns which of the [`Status::rounds`] shows what there is
    /// now.
    pub async fn read_now(&self) -> u64 {
        let round = self.inner.change_sync(|sync, _| sync.read_now()).await;
        self.inner.wake.notify_one();
        round
    }
}

/// The domains whose addresses a user lookup answers for.
fn domains(config: &Config, name: &LookupName) -> HashSet<DomainName> {
    let mapped = config.domains.iter().filter(|domain| domain.mapping == Mapping::Lookup(name.clone()));
    mapped.map(|domain| domain.name.clone()).collect()
}

/// The machine with the copy from the disk; and why there is none, if one was kept that cannot be used.
fn load(
    store: &Store,
    name: &str,
    entra: &EntraId,
    ours: HashSet<DomainName>,
) -> Result<(Sync, Option<String>), StoreError> {
    let mut sync = Sync::new(entra, ours.clone());
    let mut unread = None;
    if let Some(state) = store.directory_state(name)? {
        match restore(store, name, entra, ours, &state)? {
            Ok(restored) => sync = restored,
            Err(why) => unread = Some(why.to_string()),
        }
    }
    for (of, generation) in store.directory_generations()? {
        if &*of == name {
            sync.forget(generation);
        }
    }
    Ok((sync, unread))
}

fn restore(
    store: &Store,
    name: &str,
    entra: &EntraId,
    ours: HashSet<DomainName>,
    state: &[u8],
) -> Result<Result<Sync, directory::graph::BadState>, StoreError> {
    let mut sync = match Sync::restore(entra, ours, state) {
        Ok(sync) => sync,
        Err(why) => return Ok(Err(why)),
    };
    for generation in sync.generations() {
        for row in store.directory_objects(name, generation) {
            let (key, value) = row?;
            if let Err(why) = sync.load(generation, &key, &value) {
                return Ok(Err(why));
            }
        }
    }
    Ok(Ok(sync))
}

async fn run(inner: Arc<Inner>, mut client: Client) {
    let mut config = inner.appliance.config.clone();
    config.borrow_and_update();
    loop {
        let now = inner.moment();
        let step = inner.sync_mut().next(&now);
        match step {
            Step::Send(request) => {
                let answer = client.ask(&request).await;
                let now = inner.moment();
                inner.sync_mut().answered(answer, &now);
            }
            Step::Keep(change) => {
                let kept = inner.appliance.store.change_directory(inner.change(change)).await;
                let now = inner.moment();
                inner.sync_mut().kept(kept.is_ok(), &now);
            }
            Step::Drop(generation) => {
                while matches!(
                    inner.appliance.store.directory_drop(inner.name.as_str(), generation).await,
                    Ok(true)
                ) {}
                inner.sync_mut().dropped(generation);
            }
            Step::Judge => {
                let losses = inner.losses().await;
                let now = inner.moment();
                let retired = inner.sync_mut().judged(losses, &now);
                // Hundreds of thousands of objects are not given back in a moment.
                spawn_blocking(|| drop(retired));
            }
            Step::Sleep(until) => {
                client.close();
                inner.alarm();
                tokio::select! {
                    () = sleep_until(inner.appliance.clock.instant(until)) => {}
                    () = inner.wake.notified() => {}
                    changed = config.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let ours = domains(&config.borrow_and_update(), &inner.name);
                        inner.sync_mut().set_domains(ours);
                    }
                }
            }
        }
        inner.answered.notify_waiters();
        inner.tell();
    }
}

impl Inner {
    fn sync(&self) -> RwLockReadGuard<'_, Sync> {
        self.sync.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for those who read, and they for it: only for the task that has the tenant judged, and does nothing else
    /// meanwhile.
    fn sync_mut(&self) -> RwLockWriteGuard<'_, Sync> {
        self.sync.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it as soon as nobody reads. It does not wait for the lock: a writer that waits keeps every reader from
    /// it, and a large tenant may just be judged.
    async fn change_sync<T>(&self, change: impl Fn(&mut Sync, &Moment) -> T) -> T {
        loop {
            if let Some(done) = self.try_change(&change) {
                return done;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    fn try_change<T>(&self, change: impl Fn(&mut Sync, &Moment) -> T) -> Option<T> {
        let now = self.moment();
        match self.sync.try_write() {
            Ok(mut sync) => Some(change(&mut sync, &now)),
            Err(TryLockError::Poisoned(poisoned)) => Some(change(&mut poisoned.into_inner(), &now)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    async fn losses(self: &Arc<Inner>) -> Vec<Loss> {
        let judging = self.clone();
        match spawn_blocking(move || judging.sync().losses()).await {
            Ok(losses) => losses,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn moment(&self) -> Moment {
        let mut random = [0; 16];
        // Without random numbers no token is given out twice either: the login service sees to that.
        let _ = self.random.fill(&mut random);
        let clock = &self.appliance.clock;
        Moment { at: clock.elapsed(), unix: clock.now().unix_seconds(), random }
    }

    fn peek(&self, key: &str) -> LookupAnswer {
        let age_max = self.appliance.config().recipients.directory_age.duration();
        let now = self.moment();
        self.sync().lookup(key, age_max, &now)
    }

    async fn wait_for(&self, key: &str) {
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            if !self.sync().is_asked(key) {
                return;
            }
            answered.await;
        }
    }

    fn change(&self, change: Change) -> DirectoryChange {
        let Change { generation, put, remove, state } = change;
        DirectoryChange { lookup: self.name.as_str().into(), generation, put, remove, state }
    }

    /// Writes what has happened to the log.
    fn tell(&self) {
        let news: Vec<News> = self.sync_mut().take_news().collect();
        let events = &self.appliance.events;
        for news in news {
            let event = |kind| events.event(kind).field("lookup", &self.name);
            events.record(match news {
                News::Read { collection, objects, full } => event(Kind::DirectoryRead)
                    .field("collection", collection.name())
                    .field("objects", objects)
                    .field("full", full),
                News::Restarted(collection) => {
                    event(Kind::DirectoryRestarted).field("collection", collection.name())
                }
                News::Held(held) => event(Kind::DirectoryHeld)
                    .fault(FaultClass::Configuration)
                    .field("losses", losses(&held.losses)),
                News::Released => event(Kind::DirectoryReleased),
                News::Fault(fault) => event(Kind::DirectoryFault).fault(class(&fault)).field("why", fault),
                News::Recovered => event(Kind::DirectoryRecovered),
                _ => continue,
            });
        }
    }

    fn cause(&self, what: Cause) -> String {
        format!("directory {}: {}", self.name, what.name())
    }

    /// Raises the alarms that hold and clears those that are over.
    fn alarm(&self) {
        let status = self.sync().status();
        let now = self.appliance.clock.now().unix_seconds();
        let read = status.collections.iter().map(|(_, _, at)| *at).min().flatten();
        let set = |what: Cause, text: Option<String>| match text {
            Some(text) => drop(self.appliance.alarms.raise(&self.cause(what), &text)),
            None => drop(self.appliance.alarms.clear(&self.cause(what))),
        };
        let fault = status.fault.as_ref();
        // A peer's fault is an alarm when it lasts; permissions have one of their own.
        let at_once =
            |fault: &&Fault| fault.whose() != Whose::Peer && !matches!(fault, Fault::PermissionMissing(_));
        set(Cause::Fault, fault.filter(at_once).map(Fault::to_string));
        let missing = status.denied.iter().map(|denied| Fault::PermissionMissing(*denied).to_string());
        let missing: Vec<String> = missing.collect();
        set(Cause::Permission, Some(missing.join("; ")).filter(|text| !text.is_empty()));
        let why = fault.map_or_else(|| "a reading is held".to_owned(), Fault::to_string);
        set(Cause::Stale, is_stale(read, self.started, now).then(|| format!("not read for a day: {why}")));
        let held = status.held.as_ref().map(|held| losses(&held.losses));
        set(Cause::Held, held.map(|losses| format!("a reading waits to be confirmed: {losses}")));
        let ends = status.proof_ends.filter(|ends| now + PROOF_ENDS > *ends);
        set(Cause::Secret, ends.map(|ends| proof_text(ends, now)));
    }
}

/// What an alarm about a tenant is about.
#[derive(Debug, Clone, Copy)]
enum Cause {
    Fault,
    Permission,
    Stale,
    Held,
    Secret,
}

impl Cause {
    const ALL: [Cause; 5] = [Cause::Fault, Cause::Permission, Cause::Stale, Cause::Held, Cause::Secret];

    const fn name(self) -> &'static str {
        match self {
            Cause::Fault => "fault",
            Cause::Permission => "permission",
            Cause::Stale => "stale",
            Cause::Held => "held",
            Cause::Secret => "secret",
        }
    }
}

impl Drop for Inner {
    /// Nobody asks this tenant any more: what was wrong with it is no alarm.
    fn drop(&mut self) {
        for cause in Cause::ALL {
            self.appliance.alarms.clear(&self.cause(cause));
        }
    }
}

/// Whether the last reading is too long ago; a copy that came from the disk has some time to be read again.
fn is_stale(read: Option<u64>, started: u64, now: u64) -> bool {
    now.saturating_sub(read.unwrap_or(started)) > STALE && now.saturating_sub(started) > STALE / 24
}

fn proof_text(ends: u64, now: u64) -> String {
    let day = Date::of_unix(ends).map(|day| day.to_string()).unwrap_or_default();
    let tense = if ends <= now { "ended" } else { "ends" };
    format!("the application's secret or certificate {tense} on {day}")
}

fn losses(losses: &[Loss]) -> String {
    let each = |loss: &Loss| format!("{} of {} addresses in {}", loss.lost, loss.of, loss.domain);
    let each: Vec<String> = losses.iter().map(each).collect();
    format!("{} would be lost", each.join(", "))
}

fn class(fault: &Fault) -> FaultClass {
    match fault.whose() {
        Whose::Peer => FaultClass::Peer,
        Whose::Configuration => FaultClass::Configuration,
        Whose::Resource => FaultClass::Resource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_without_a_reading_is_an_alarm() {
        let (start, hour) = (1_800_000_000, STALE / 24);
        assert!(!is_stale(None, start, start + STALE) && is_stale(None, start, start + STALE + 1));
        assert!(
            !is_stale(Some(start), start, start + STALE) && is_stale(Some(start), start, start + STALE + 1)
        );
        // After a week without power, the tenant has an hour to be read.
        let old = Some(start - 7 * STALE);
        assert!(!is_stale(old, start, start + hour) && is_stale(old, start, start + hour + 1));
    }

    #[test]
    fn the_end_of_a_secret_is_told_by_its_day() {
        let ends = 1_811_721_600;
        assert!(proof_text(ends, ends - 1).ends_with("ends on 2027-05-31"));
        assert!(proof_text(ends, ends).ends_with("ended on 2027-05-31"));
    }
}
