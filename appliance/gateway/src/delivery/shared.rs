//! What the queue and its workers share: who waits, who works, and what is known of each destination.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use config_schema::Config;
use smtp::Time;
use store::{DeliveryId, queue::Destination};
use tokio::sync::Notify;

use super::{
    breaker::Breaker,
    fate::Fate,
    holds::Holds,
    pace::Pace,
    throttling::Throttling,
    ways::{Place, Ways},
};
use crate::{appliance::Appliance, dns::Resolver, transport::Transport};

/// Deliveries that wait for a worker in memory, by their ids; further ones wait in the store.
pub(super) const WAITING_MAX: usize = 50_000;
/// Of one destination: a slow one leaves room for others.
pub(super) const WAITING_ONE_MAX: usize = 25_000;

/// Everything that is shared.
pub(super) struct Shared {
    pub(super) appliance: Appliance,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) ways: Ways,
    /// Rung when a worker has recorded or left.
    pub(super) changed: Notify,
    hashes: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    groups: HashMap<Destination, Group>,
    /// Taken from the store and not yet recorded.
    active: HashSet<DeliveryId>,
    /// In the hands of an attempt, or of an administrator who gives it up.
    claimed: HashSet<DeliveryId>,
    waiting: usize,
    workers: u32,
    paces: HashMap<PaceKey, Paced>,
    pub(super) breaker: Breaker,
    pub(super) holds: Holds,
    pub(super) throttling: Throttling,
    stopping: bool,
}

/// One destination.
#[derive(Default)]
struct Group {
    waiting: VecDeque<DeliveryId>,
    workers: u32,
    idle: u32,
    /// Hired, and not yet at work.
    starting: u32,
    bell: Arc<Notify>,
    microsoft: bool,
    /// No host could be connected to: until then the next attempts share this fate.
    down: Option<(Time, Fate)>,
}

/// Whose connections are counted together.
#[derive(Clone, PartialEq, Eq, Hash)]
enum PaceKey {
    /// Every front end of Microsoft 365.
    Microsoft,
    One(Destination),
}

struct Paced {
    pace: Pace,
    workers: u32,
}

impl Shared {
    pub(super) fn new(appliance: Appliance, transport: Arc<dyn Transport>, resolver: Resolver) -> Shared {
        let ways = Ways::new(resolver);
        let (changed, hashes) = (Notify::new(), RandomState::new());
        Shared { appliance, transport, ways, changed, hashes, state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Time {
        self.appliance.clock.elapsed()
    }

    /// An address as the breaker remembers it.
    pub(super) fn hash(&self, address: &str) -> u64 {
        self.hashes.hash_one(address)
    }

    /// Begins nothing new.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        state.groups.values().for_each(|group| group.bell.notify_waiters());
        drop(state);
        self.changed.notify_one();
    }

    /// Returns when no worker is left.
    pub(super) async fn idle(&self) {
        loop {
            if self.state().workers == 0 {
                return;
            }
            self.changed.notified().await;
        }
    }
}

/// A claimed delivery; given back also if what was done with it panics.
pub(super) struct Claim<'a> {
    pub(super) shared: &'a Shared,
    pub(super) id: DeliveryId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.shared.state().claimed.remove(&self.id);
    }
}

impl Group {
    /// Whether more wait than workers are free or about to be.
    fn wants_more(&self) -> bool {
        self.waiting.len() > (self.idle + self.starting) as usize
    }
}

impl State {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether a due delivery is to be taken: nobody has it yet, and there is room.
    pub(super) fn is_new(&self, id: DeliveryId) -> bool {
        !self.active.contains(&id)
    }

    /// Takes a delivery into one's hands; false if another has it.
    pub(super) fn claim(&mut self, id: DeliveryId) -> bool {
        self.claimed.insert(id)
    }

    /// Whether nothing is in anybody's hands.
    #[cfg(test)]
    pub(super) fn is_calm(&self) -> bool {
        self.claimed.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting < WAITING_MAX && !self.stopping
    }

    /// Whether so much room is left that another look through the whole queue is worth it.
    pub(super) fn is_roomy(&self) -> bool {
        self.waiting < WAITING_ONE_MAX / 2
    }

    /// Marks a delivery as taken, without putting it to work.
    pub(super) fn take(&mut self, id: DeliveryId) {
        self.active.insert(id);
    }

    /// A delivery is recorded, or left to the store.
    pub(super) fn finish(&mut self, id: DeliveryId) {
        self.active.remove(&id);
    }

    /// Puts a delivery to wait for a worker of its destination; false if too many do already.
    pub(super) fn add(&mut self, destination: &Destination, id: DeliveryId, config: &Config) -> bool {
        let group = self.groups.entry(destination.clone()).or_insert_with(|| {
            let microsoft = Place::of(config, destination).is_microsoft();
            Group { microsoft, ..Group::default() }
        });
        if group.waiting.len() >= WAITING_ONE_MAX || self.waiting >= WAITING_MAX {
            return false;
        }
        group.waiting.push_back(id);
        self.waiting += 1;
        self.active.insert(id);
        if group.idle > 0 {
            group.bell.notify_one();
        }
        true
    }

    /// Destinations that get one more worker now, which are counted as such; the emptiest-handed first.
    pub(super) fn hire(&mut self, config: &Config, now: Time) -> Vec<Destination> {
        let mut wanting: Vec<(u32, Destination)> = self
            .groups
            .iter()
            .filter(|(_, group)| group.wants_more())
            .map(|(destination, group)| (group.workers, destination.clone()))
            .collect();
        wanting.sort();
        let mut hired = Vec::new();
        for (_, destination) in wanting {
            while self.hire_one(&destination, config, now) {
                hired.push(destination.clone());
            }
        }
        hired
    }

    fn hire_one(&mut self, destination: &Destination, config: &Config, now: Time) -> bool {
        let Some(group) = self.groups.get_mut(destination) else { return false };
        let most = config.delivery.connections_per_destination;
        let paced = paced(&mut self.paces, key(destination, group.microsoft), most, now);
        let all_busy =
            self.workers >= config.delivery.connections || paced.workers >= paced.pace.allowed(now);
        if self.stopping || all_busy || !group.wants_more() {
            return false;
        }
        paced.workers += 1;
        group.workers += 1;
        group.starting += 1;
        self.workers += 1;
        true
    }

    /// A worker that was hired begins.
    pub(super) fn begin(&mut self, destination: &Destination) {
        if let Some(group) = self.groups.get_mut(destination) {
            group.starting = group.starting.saturating_sub(1);
        }
    }

    /// The next delivery for a worker.
    pub(super) fn next(&mut self, destination: &Destination) -> Option<DeliveryId> {
        if self.stopping {
            return None;
        }
        let id = self.groups.get_mut(destination)?.waiting.pop_front()?;
        self.waiting -= 1;
        Some(id)
    }

    /// A worker has nothing to do; it may wait for the returned bell. `None`: it is to leave, since others wait for
    /// its place, or all is about to end.
    pub(super) fn rest(&mut self, destination: &Destination, now: Time) -> Option<Arc<Notify>> {
        let crowded = self.is_crowded(destination, now);
        let group = self.groups.get_mut(destination)?;
        if self.stopping || crowded {
            return None;
        }
        group.idle += 1;
        Some(group.bell.clone())
    }

    pub(super) fn resume(&mut self, destination: &Destination) {
        if let Some(group) = self.groups.get_mut(destination) {
            group.idle = group.idle.saturating_sub(1);
        }
    }

    /// Whether a worker of this destination is one too many, or another destination that is counted with it has none.
    pub(super) fn is_crowded(&mut self, destination: &Destination, now: Time) -> bool {
        let Some(group) = self.groups.get(destination) else { return true };
        let microsoft = group.microsoft;
        let starving = |(other, group): (&Destination, &Group)| {
            other != destination && group.microsoft && group.workers == 0 && !group.waiting.is_empty()
        };
        if microsoft && self.groups.iter().any(starving) {
            return true;
        }
        let paced = self.paces.get_mut(&key(destination, microsoft));
        paced.is_some_and(|paced| paced.workers > paced.pace.allowed(now))
    }

    /// A worker ends. Returns false, and nothing has changed, if there is work for it again.
    pub(super) fn leave(&mut self, destination: &Destination, in_any_case: bool) -> bool {
        let Some(group) = self.groups.get_mut(destination) else { return true };
        if !in_any_case && !self.stopping && !group.waiting.is_empty() {
            return false;
        }
        group.workers = group.workers.saturating_sub(1);
        self.workers = self.workers.saturating_sub(1);
        let key = key(destination, group.microsoft);
        if let Some(paced) = self.paces.get_mut(&key) {
            paced.workers = paced.workers.saturating_sub(1);
        }
        if group.workers == 0 && group.waiting.is_empty() {
            self.groups.remove(destination);
        }
        true
    }

    /// The destination complained, or its connection broke.
    pub(super) fn complaint(&mut self, destination: &Destination, now: Time) {
        let microsoft = self.groups.get(destination).is_some_and(|group| group.microsoft);
        if let Some(paced) = self.paces.get_mut(&key(destination, microsoft)) {
            paced.pace.complaint(now);
        }
    }

    /// No host of the destination could be connected to: until `until` there is no point in trying.
    pub(super) fn mark_down(&mut self, destination: &Destination, until: Time, fate: Fate) {
        if let Some(group) = self.groups.get_mut(destination) {
            group.down = Some((until, fate));
        }
    }

    /// The fate that an attempt would share now.
    pub(super) fn down(&mut self, destination: &Destination, now: Time) -> Option<Fate> {
        let group = self.groups.get_mut(destination)?;
        group.down.take_if(|(until, _)| now >= *until);
        group.down.as_ref().map(|(_, fate)| fate.clone())
    }

    /// Forgets paces that hold nothing worth remembering.
    pub(super) fn tidy(&mut self, now: Time) {
        self.paces.retain(|_, paced| paced.workers > 0 || !paced.pace.is_full(now));
    }
}

fn key(destination: &Destination, microsoft: bool) -> PaceKey {
    if microsoft { PaceKey::Microsoft } else { PaceKey::One(destination.clone()) }
}

fn paced(paces: &mut HashMap<PaceKey, Paced>, key: PaceKey, most: u32, now: Time) -> &mut Paced {
    let paced = paces.entry(key).or_insert_with(|| Paced { pace: Pace::new(most, now), workers: 0 });
    paced.pace.set_most(most, now);
    paced
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "Shared({} waiting, {} workers)", state.waiting, state.workers)
    }
}
