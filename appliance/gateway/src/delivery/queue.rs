//! The queue's own loop: takes what is due from the store, and hires workers.

use std::{sync::Arc, time::Duration};

use smtp::Time;
use store::{
    DeliveryId, StoreError, Timestamp,
    log::FaultClass,
    queue::{Destination, Due, HoldReason},
};
use tokio::time::sleep;

use super::{
    holds::{Canary, Cause},
    shared::Shared,
    ways::Place,
    worker,
};
use crate::event::Kind;

/// Due deliveries read at a time.
const PAGE: usize = 1_024;
/// The longest sleep: then the queue is looked through from its beginning, whatever the clock did meanwhile.
const LOOK: Duration = Duration::from_secs(60);
/// Microseconds by which each look reaches back behind the last.
const OVERLAP: u64 = 10_000_000;
/// How long the store is left alone after it could not be read.
const TROUBLE: Duration = Duration::from_secs(5);

/// Runs until delivery is stopped.
pub(super) async fn run(shared: Arc<Shared>) {
    restore_holds(&shared).await;
    let mut look = Look::default();
    while !shared.state().is_stopping() {
        let wait = if shared.ways.is_connected() { step(&shared, &mut look).await } else { LOOK };
        tokio::select! {
            () = shared.appliance.queued.notified() => {}
            () = shared.changed.notified() => {}
            () = sleep(wait) => {}
        }
    }
}

/// How far the queue was looked through.
#[derive(Default)]
struct Look {
    /// Everything due before this was taken; zero: look from the beginning.
    until: Timestamp,
    whole: Time,
    /// Something was left in the store for want of room.
    left: bool,
}

/// Takes what is due, hires workers, and returns how long nothing else will be due.
async fn step(shared: &Arc<Shared>, look: &mut Look) -> Duration {
    send_canaries(shared).await;
    let wait = match load(shared, look) {
        Ok(wait) => wait,
        Err(error) => {
            let event = shared.appliance.events.event(Kind::QueueUnreadable).fault(FaultClass::Resource);
            shared.appliance.events.record(event.field("error", error));
            TROUBLE
        }
    };
    hire(shared);
    wait
}

fn load(shared: &Arc<Shared>, look: &mut Look) -> Result<Duration, StoreError> {
    let appliance = &shared.appliance;
    let (now, elapsed) = (appliance.clock.now(), shared.now());
    let roomy = look.left && shared.state().is_roomy();
    if look.until > now || roomy || elapsed.since(look.whole) >= LOOK {
        (look.until, look.whole, look.left) = (Timestamp::MIN, elapsed, false);
    }
    // What was committed a moment late has an earlier time than what was seen.
    let begin = Timestamp::from_unix_micros(look.until.unix_micros().saturating_sub(OVERLAP));
    let mut after = Some(Due { at: begin, id: "0-0".parse().expect("zeros are an id") });
    while shared.state().has_room() {
        let page = appliance.store.due(now, after, PAGE)?;
        for due in &page {
            look.left |= !take(shared, due.id)?;
        }
        after = page.last().copied();
        if page.len() < PAGE {
            look.until = now;
            break;
        }
    }
    look.left |= !shared.state().has_room();
    shared.state().tidy(elapsed);
    Ok(until_next(shared, now)?.min(LOOK))
}

/// Takes a due delivery; false if it has to stay in the store for want of room.
fn take(shared: &Arc<Shared>, id: DeliveryId) -> Result<bool, StoreError> {
    if !shared.state().is_new(id) {
        return Ok(true);
    }
    let delivery = match shared.appliance.store.delivery(id) {
        Ok(delivery) => delivery,
        // Done or purged since the page was read.
        Err(StoreError::NotFound { .. }) => return Ok(true),
        Err(error) => return Err(error),
    };
    let config = shared.appliance.config();
    let mut state = shared.state();
    match state.holds.over(&delivery.destination, id) {
        None => return Ok(state.add(&delivery.destination, id, &config)),
        Some(hold) => {
            state.take(id);
            drop(state);
            let shared = shared.clone();
            tokio::spawn(async move {
                // A delivery that could not be held is found due again.
                let _ = shared.appliance.store.hold(id, hold).await;
                shared.state().finish(id);
            });
        }
    }
    Ok(true)
}

/// How long until the next delivery or canary that is not due at `now`.
fn until_next(shared: &Shared, now: Timestamp) -> Result<Duration, StoreError> {
    let last = "fzzzzzzzzzzzz-65535".parse().expect("the id with every bit set is an id");
    let later = shared.appliance.store.due(Timestamp::MAX, Some(Due { at: now, id: last }), 1)?;
    let delivery = later.first().map_or(LOOK, |due| due.at.since(now));
    let canary = shared.state().holds.next().map_or(LOOK, |at| at.since(shared.now()));
    Ok(delivery.min(canary))
}

fn hire(shared: &Arc<Shared>) {
    let config = shared.appliance.config();
    let hired = shared.state().hire(&config, shared.now());
    for destination in hired {
        tokio::spawn(worker::run(shared.clone(), destination));
    }
}

/// Destinations that were held when the gateway ended are held still.
async fn restore_holds(shared: &Arc<Shared>) {
    let held = held_deliveries(shared, None).await;
    let (config, now) = (shared.appliance.config(), shared.now());
    let mut state = shared.state();
    for (destination, id, hold) in held {
        let route = Place::of(&config, &destination).route(&destination);
        let cause = Cause { route, reason: hold.reason, rule: 0 };
        state.holds.block(&destination, cause, hold, id, now);
    }
}

async fn send_canaries(shared: &Arc<Shared>) {
    let canaries = shared.state().holds.canaries(shared.now());
    for Canary { destination, mut id, another } in canaries {
        if another {
            let held = held_deliveries(shared, Some(destination.clone())).await;
            id = following(held.into_iter().map(|(_, id, _)| id), id);
            shared.state().holds.appoint(&destination, id);
        }
        let released = shared.appliance.store.release(id, shared.appliance.clock.now()).await;
        if matches!(released, Err(StoreError::NotFound { .. })) {
            let another = held_deliveries(shared, Some(destination.clone())).await.pop().map(|(_, id, _)| id);
            shared.state().holds.replace(&destination, another, shared.now());
        }
    }
}

/// The one after `last`, or the first if there is none after it.
fn following(ids: impl Iterator<Item = DeliveryId>, last: DeliveryId) -> DeliveryId {
    let mut ids: Vec<DeliveryId> = ids.collect();
    ids.sort_unstable();
    ids.iter().find(|id| **id > last).or(ids.first()).copied().unwrap_or(last)
}

/// Releases everything that waited for `destination`.
pub(super) async fn release_all(shared: &Arc<Shared>, destination: &Destination) {
    for (_, id, _) in held_deliveries(shared, Some(destination.clone())).await {
        // One that cannot be released stays held, as the queue shows.
        let _ = shared.appliance.store.release(id, shared.appliance.clock.now()).await;
    }
    shared.changed.notify_one();
}

/// What is held because of the destination. The queue is read beside the runtime, since it may be long.
async fn held_deliveries(
    shared: &Arc<Shared>,
    only: Option<Destination>,
) -> Vec<(Destination, DeliveryId, store::queue::Hold)> {
    let store = shared.appliance.store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let wanted = |destination: &Destination| only.as_ref().is_none_or(|only| only == destination);
        let entries = store.deliveries().flatten().filter(|delivery| wanted(&delivery.destination));
        entries
            .filter_map(|delivery| {
                let hold = delivery.hold?;
                let ours = matches!(hold.reason, HoldReason::Configuration | HoldReason::Breaker);
                ours.then_some((delivery.destination, delivery.id, hold))
            })
            .collect()
    });
    read.await.unwrap_or_default()
}
