//! The machine that keeps the copy of a tenant: what to ask, what to keep, when to ask again.

mod answer;
mod loss;
mod progress;
mod questions;
mod state;

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use config_schema::{
    Guid,
    name::DomainName,
    user_lookup::{EntraId, entra_id::WebHost},
};
use smtp::Time;

use super::{
    Moment,
    collection::Collection,
    fault::Fault,
    objects::Objects,
    page::{PAGE_MAX, Page, is_stale, parse_list},
    record::Record,
    retry,
    token::Tokens,
};
use crate::http::{Failure, Request, Response, percent_encode};

pub use loss::Loss;
pub use progress::PAGES_MAX;
use progress::Progress;
use questions::{Owner, Questions};
pub use questions::{QUESTIONS_MAX, REMEMBERED_MAX};
pub use state::BadState;
use state::State;

/// Attempts at one page before the other collections have their turn.
const ATTEMPTS_MAX: u32 = 5;
/// How long to wait before the disk is asked again to keep something.
const DISK_WAIT: Duration = Duration::from_secs(10);
/// Of how much of the time between two readings the next one comes earlier or later.
const JITTER: u32 = 10;
/// What has happened and nobody has asked for yet.
const NEWS_MAX: usize = 64;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// To be asked; what comes of it goes to [`Sync::answered`].
    Send(Box<Request>),
    /// To be kept on the disk, all or nothing; then [`Sync::kept`].
    Keep(Change),
    /// A generation to be removed from the disk; then [`Sync::dropped`].
    Drop(u32),
    /// What was read is to be compared with the copy in use by [`Sync::losses`], which takes its time in a large tenant
    /// and keeps no look-up from its answer; then [`Sync::judged`].
    Judge,
    /// Nothing until then, or until someone asks or confirms.
    Sleep(Time),
}

/// A change of what is kept on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Of which generation.
    pub generation: u32,
    /// Objects by key, over what they were.
    pub put: Vec<(Box<[u8]>, Vec<u8>)>,
    /// Keys of objects that are gone.
    pub remove: Vec<Box<[u8]>>,
    /// How far the reading has come.
    pub state: Option<Vec<u8>>,
}

impl Change {
    fn of(generation: u32) -> Change {
        Change { generation, ..Change::default() }
    }
}

/// What was read is not applied, as too many addresses would be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where.
    pub losses: Vec<Loss>,
}

/// A copy that is no longer in use.
#[derive(Debug, Default)]
#[must_use = "drop it where nobody waits"]
pub struct Retired(Vec<Objects>);

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// A collection was read to its end, and what was read is in use.
    Read {
        /// Which one.
        collection: Collection,
        /// So many objects it has.
        objects: usize,
        /// Everything was read, and not only what has changed.
        full: bool,
    },
    /// A link was too old: everything is read afresh.
    Restarted(Collection),
    /// An alarm: waits to be confirmed.
    Held(Held),
    /// What was held is in use.
    Released,
    /// Something went wrong; said once until it is another thing or mended.
    Fault(Fault),
    /// Nothing is wrong any more.
    Recovered,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Objects of each collection in use, and when they were as in the directory, in Unix seconds.
    pub collections: [(Collection, usize, Option<u64>); 3],
    /// Collections that the application may not read.
    pub denied: Vec<Collection>,
    /// What is wrong.
    pub fault: Option<Fault>,
    /// What waits to be confirmed.
    pub held: Option<Held>,
    /// When the secret or the certificate ends, in Unix seconds.
    pub proof_ends: Option<u64>,
    /// How often all collections were gone through.
    pub rounds: u64,
    /// How often something failed.
    pub failed: u64,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Flight {
    Token,
    Page(usize),
    Question(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Until then.
    Idle(Time),
    /// This collection, after so many failures.
    Reading { at: usize, attempts: u32 },
    /// All of them were gone through.
    Judging,
}

/// The machine. One question at a time is under way.
#[derive(Debug)]
pub struct Sync {
    tenant: Guid,
    graph: WebHost,
    every: Duration,
    ours: HashSet<DomainName>,
    tokens: Tokens,
    progress: [Progress; 3],
    denied: [bool; 3],
    next_generation: u32,
    dropping: Vec<u32>,
    keep: VecDeque<Change>,
    keep_after: Time,
    round: Round,
    /// Rounds that have come to an end.
    rounds: u64,
    /// The next round begins as soon as this one ends.
    again: bool,
    flight: Option<Flight>,
    /// Whether Graph refused the token of this attempt; a second refusal is not for its age.
    refused: bool,
    not_before: Time,
    failures: u32,
    failed: u64,
    questions: Questions,
    held: Option<Held>,
    fault: Option<Fault>,
    /// Whether something went wrong in this round.
    marred: bool,
    news: VecDeque<News>,
}

impl Sync {
    /// A tenant of which nothing is known. `ours` are the domains whose addresses count.
    pub fn new(entra: &EntraId, ours: HashSet<DomainName>) -> Sync {
        Sync {
            tenant: entra.tenant,
            graph: entra.hosts.graph(),
            every: entra.sync_every.duration(),
            ours,
            tokens: Tokens::new(entra),
            progress: Collection::ALL.map(Progress::new),
            denied: [false; 3],
            next_generation: 1,
            dropping: Vec::new(),
            keep: VecDeque::new(),
            keep_after: Time::default(),
            round: Round::Idle(Time::default()),
            rounds: 0,
            again: false,
            flight: None,
            refused: false,
            not_before: Time::default(),
            failures: 0,
            failed: 0,
            questions: Questions::default(),
            held: None,
            fault: None,
            marred: false,
            news: VecDeque::new(),
        }
    }

    /// A tenant of which a copy was kept. The objects of its [`Sync::generations`] are to be given to
    /// [`Sync::load`].
    ///
    /// # Errors
    /// When what was kept is not this tenant's, or cannot be read.
    pub fn restore(entra: &EntraId, ours: HashSet<DomainName>, state: &[u8]) -> Result<Sync, BadState> {
        let state = State::decode(state)?;
        if state.tenant != entra.tenant.to_bytes() {
            return Err(BadState::OtherTenant);
        }
        let mut sync = Sync::new(entra, ours);
        for (progress, kept) in sync.progress.iter_mut().zip(state.collections) {
            *progress = Progress::restore(progress.collection, kept, &sync.graph)?;
        }
        (sync.next_generation, sync.dropping) = (state.next_generation, state.dropping);
        Ok(sync)
    }

    /// The generations whose objects count.
    pub fn generations(&self) -> Vec<u32> {
        let of = |progress: &Progress| {
            let live = progress.live.as_ref().map(|live| live.generation);
            let staged =
                progress.staged.as_ref().filter(|staged| staged.kept).map(|staged| staged.generation);
            [live, staged]
        };
        self.progress.iter().flat_map(of).flatten().collect()
    }

    /// Takes an object that was kept.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(&mut self, generation: u32, key: &[u8], value: &[u8]) -> Result<(), BadState> {
        let id = Guid::from_bytes(key.try_into().map_err(|_| BadState::Object)?);
        self.progress.iter_mut().try_for_each(|progress| progress.load(generation, id, value))
    }

    /// A generation of which the machine knows nothing lies on the disk.
    pub fn forget(&mut self, generation: u32) {
        if !self.dropping.contains(&generation) && !self.generations().contains(&generation) {
            self.dropping.push(generation);
            self.next_generation = self.next_generation.max(generation.wrapping_add(1));
        }
    }

    /// Domains have come or gone.
    pub fn set_domains(&mut self, ours: HashSet<DomainName>) {
        self.ours = ours;
    }

    /// What to do now. While a question is under way it is not to be asked.
    pub fn next(&mut self, now: &Moment) -> Step {
        if let Some(change) = self.keep.front() {
            if now.at < self.keep_after {
                return Step::Sleep(self.keep_after);
            }
            return Step::Keep(change.clone());
        }
        if let Some(generation) = self.dropping.last() {
            return Step::Drop(*generation);
        }
        if self.round == Round::Judging {
            return Step::Judge;
        }
        if now.at < self.not_before {
            // Whoever asked is told at once that nobody can say.
            self.questions.fail();
            return Step::Sleep(self.not_before);
        }
        if let Some(address) = self.questions.next() {
            let address = Box::<str>::from(address);
            return self.send(Flight::Question(address), now);
        }
        if let Round::Idle(until) = self.round {
            if now.at < until {
                return Step::Sleep(until);
            }
            self.begin();
        }
        self.read_on(now)
    }

    fn begin(&mut self) {
        for progress in &mut self.progress {
            progress.begin(&mut self.next_generation);
        }
        self.marred = false;
        self.round = Round::Reading { at: 0, attempts: 0 };
    }

    fn read_on(&mut self, now: &Moment) -> Step {
        while let Round::Reading { at, .. } = self.round {
            match self.progress.get(at) {
                Some(progress) if progress.target().is_some() => return self.send(Flight::Page(at), now),
                Some(_) => self.round = Round::Reading { at: at + 1, attempts: 0 },
                None => self.round = Round::Judging,
            }
        }
        match self.round {
            _ if !self.keep.is_empty() => self.next(now),
            Round::Idle(until) => Step::Sleep(until),
            Round::Reading { .. } => Step::Sleep(now.at),
            Round::Judging => Step::Judge,
        }
    }

    /// The domains that would lose too many addresses if what was read to its end were applied.
    pub fn losses(&self) -> Vec<Loss> {
        loss::too_large(&self.progress, &self.ours)
    }

    /// Ends the round: applies what was read, unless there are `losses`. What it returns is no longer in use, and takes
    /// its time to be dropped.
    pub fn judged(&mut self, losses: Vec<Loss>, now: &Moment) -> Retired {
        if self.round != Round::Judging {
            return Retired::default();
        }
        let retired = self.settle(losses, now);
        if !self.marred && self.fault.take().is_some() {
            self.tell(News::Recovered);
        }
        let jitter = self.every / JITTER;
        let millis = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX).max(1);
        let spread = Duration::from_millis(random(now) % (2 * millis));
        let next = now.at + (self.every + spread).saturating_sub(jitter);
        self.round = Round::Idle(if std::mem::take(&mut self.again) { now.at } else { next });
        self.rounds += 1;
        retired
    }

    fn send(&mut self, flight: Flight, now: &Moment) -> Step {
        let Some(token) = self.tokens.held(now.at).cloned() else {
            return match self.tokens.request(now) {
                Ok(request) => {
                    self.flight = Some(Flight::Token);
                    Step::Send(Box::new(request))
                }
                Err(fault) => {
                    self.fail(fault, None, now);
                    Step::Sleep(self.not_before)
                }
            };
        };
        let (target, headers) = match &flight {
            Flight::Question(address) => (search(address), vec![("ConsistencyLevel", "eventual")]),
            Flight::Page(at) => {
                let target = self.progress.get(*at).and_then(Progress::target);
                (target.unwrap_or_default().to_owned(), Vec::new())
            }
            Flight::Token => (String::new(), Vec::new()),
        };
        self.flight = Some(flight);
        let headers = [vec![("Accept", "application/json")], headers].concat();
        let host = self.graph.clone();
        Step::Send(Box::new(Request {
            host,
            target,
            bearer: Some(token),
            headers,
            body: None,
            answer_max: PAGE_MAX,
        }))
    }

    /// What the last change came to.
    pub fn kept(&mut self, done: bool, now: &Moment) {
        if done {
            self.keep.pop_front();
            return;
        }
        self.keep_after = now.at + DISK_WAIT;
        self.say(Fault::NotKept);
    }

    /// A generation is no longer on the disk.
    pub fn dropped(&mut self, generation: u32) {
        self.dropping.retain(|dropping| *dropping != generation);
    }

    /// Puts what is held into use: whoever says so has seen what would be lost. `None` if nothing is held.
    pub fn confirm(&mut self, now: &Moment) -> Option<Retired> {
        self.held.take()?;
        let waits = |progress: &Progress| progress.staged.as_ref().is_some_and(|staged| staged.whole);
        let retired = self.apply_those(waits, now);
        self.tell(News::Released);
        Some(retired)
    }

    /// Reads now instead of when it is due; returns which of the [`Status::rounds`] shows what there is now.
    ///
    /// Somebody who asks has perhaps mended what was wrong: only a tenant that said it was busy is waited for.
    pub fn read_now(&mut self) -> u64 {
        if !matches!(self.fault, Some(Fault::Busy(_))) {
            self.not_before = Time::default();
        }
        match self.round {
            Round::Idle(_) => {
                self.round = Round::Idle(Time::default());
                self.rounds + 1
            }
            // What was read of it already may have changed since.
            Round::Reading { .. } | Round::Judging => {
                self.again = true;
                self.rounds + 2
            }
        }
    }

    /// Applies what was read to its end, unless too much would be lost.
    fn settle(&mut self, losses: Vec<Loss>, now: &Moment) -> Retired {
        // What was judged may have been confirmed meanwhile.
        let waits = self.progress.iter().any(|progress| progress.complete().is_some());
        if waits && !losses.is_empty() {
            let held = Held { losses };
            if self.held.as_ref() != Some(&held) {
                self.tell(News::Held(held.clone()));
            }
            self.held = Some(held);
            return Retired::default();
        }
        if self.held.take().is_some() {
            self.tell(News::Released);
        }
        self.apply_those(|progress| progress.complete().is_some(), now)
    }

    fn apply_those(&mut self, which: impl Fn(&Progress) -> bool, now: &Moment) -> Retired {
        let (mut changes, mut news, mut retired) = (Vec::new(), Vec::new(), Retired::default());
        for progress in self.progress.iter_mut().filter(|progress| which(progress)) {
            let full = progress.staged.as_ref().is_some_and(progress::Staged::is_full);
            let applied = progress.apply(now);
            changes.extend(applied.changes);
            self.dropping.extend(applied.left);
            retired.0.extend(applied.replaced);
            let objects = progress.live.as_ref().map_or(0, |live| live.objects.len());
            news.push(News::Read { collection: progress.collection, objects, full });
        }
        if !news.is_empty() {
            news.into_iter().for_each(|news| self.tell(news));
            self.keep(changes);
        }
        retired
    }

    /// Has changes kept, and with the last one how far the reading has come.
    fn keep(&mut self, mut changes: Vec<Change>) {
        if changes.is_empty() {
            changes.push(Change::default());
        }
        if let Some(last) = changes.last_mut() {
            last.state = Some(self.state());
        }
        self.keep.extend(changes);
    }

    fn state(&self) -> Vec<u8> {
        let [users, groups, contacts] = &self.progress;
        let state = State {
            tenant: self.tenant.to_bytes(),
            next_generation: self.next_generation,
            dropping: self.dropping.clone(),
            collections: [users.state(), groups.state(), contacts.state()],
        };
        state.encode()
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let of = |progress: &Progress| {
            let live = progress.live.as_ref();
            (progress.collection, live.map_or(0, |live| live.objects.len()), live.map(|live| live.at))
        };
        let [users, groups, contacts] = &self.progress;
        let denied = Collection::ALL.into_iter().zip(self.denied).filter(|(_, denied)| *denied);
        Status {
            collections: [of(users), of(groups), of(contacts)],
            denied: denied.map(|(collection, _)| collection).collect(),
            fault: self.fault.clone(),
            held: self.held.clone(),
            proof_ends: self.tokens.proof_ends(),
            rounds: self.rounds,
            failed: self.failed,
        }
    }

    /// What has happened since this was asked last.
    pub fn take_news(&mut self) -> impl Iterator<Item = News> {
        std::mem::take(&mut self.news).into_iter()
    }

    fn tell(&mut self, news: News) {
        if self.news.len() < NEWS_MAX {
            self.news.push_back(news);
        }
    }

    /// Says a fault that was not the last one said.
    fn say(&mut self, fault: Fault) {
        self.marred = true;
        if self.fault.as_ref() != Some(&fault) {
            self.tell(News::Fault(fault.clone()));
            self.fault = Some(fault);
        }
    }

    fn fail(&mut self, fault: Fault, retry_after: Option<&str>, now: &Moment) {
        self.failures = self.failures.saturating_add(1);
        self.failed += 1;
        self.not_before = now.at + retry::wait(retry_after, now.unix, self.failures, random(now));
        self.questions.fail();
        self.say(fault);
    }
}

/// The direct question about an address.
fn search(address: &str) -> String {
    // OData doubles an apostrophe within a text.
    let filter = format!("proxyAddresses/any(p:p eq 'smtp:{}')", address.replace('\'', "''"));
    let filter = percent_encode(&filter);
    format!(
        "/v1.0/users?$filter={filter}&$count=true&$select=id,mail,proxyAddresses,accountEnabled,userType,displayName"
    )
}

fn random(now: &Moment) -> u64 {
    now.random.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
