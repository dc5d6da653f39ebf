//! Keeps what verification servers said over a restart.

use std::sync::{Arc, Weak};

use directory::verification::Remembered;
use store::{RecordKind, StoreError, log::FaultClass};
use tokio::{
    sync::Mutex,
    time::{Duration, interval},
};

use crate::{appliance::Appliance, event::Kind};

/// How often what was learnt is written to the disk.
const KEEP_EVERY: Duration = Duration::from_millis(500);
/// Records written at a time.
const KEEP_MAX: usize = 1_000;

/// Writes down what is remembered; nobody who asks waits for it.
#[derive(Debug)]
pub(super) struct Keeper {
    appliance: Appliance,
    remembered: Remembered,
    /// One writes at a time, so that who has written all knows that it is on the disk.
    turn: Mutex<()>,
}

impl Keeper {
    /// Loads what was remembered, and begins. Must be called inside the runtime.
    pub(super) fn start(appliance: Appliance, remembered: Remembered) -> Arc<Keeper> {
        let keeper = Arc::new(Keeper { appliance, remembered, turn: Mutex::default() });
        keeper.load();
        tokio::spawn(run(Arc::downgrade(&keeper)));
        keeper
    }

    fn load(&self) {
        let epoch = self.epoch();
        for record in self.appliance.store.records(RecordKind::Verification) {
            match record {
                Ok((key, value)) => drop(self.remembered.load(&key, &value, epoch)),
                Err(error) => return self.unkept(&error),
            }
        }
    }

    /// Writes what is new. What cannot be written now is learnt again by asking.
    pub(super) async fn keep(&self) {
        let _turn = self.turn.lock().await;
        loop {
            let changes = self.remembered.changes(self.epoch(), KEEP_MAX);
            let last = changes.len() < KEEP_MAX;
            if changes.is_empty() {
                return;
            }
            if let Err(error) = self.appliance.store.put_records(RecordKind::Verification, changes).await {
                return self.unkept(&error);
            }
            if last {
                return;
            }
        }
    }

    /// What time it was when the appliance's clock began, in seconds since 1970.
    fn epoch(&self) -> u64 {
        let clock = &self.appliance.clock;
        let run = clock.elapsed().since_start().as_secs();
        clock.now().unix_seconds().saturating_sub(run)
    }

    fn unkept(&self, error: &StoreError) {
        let events = &self.appliance.events;
        let event = events.event(Kind::VerificationUnkept).fault(FaultClass::Resource);
        events.record(event.field("error", error));
    }
}

/// Ends with the last handle.
async fn run(keeper: Weak<Keeper>) {
    let mut ticks = interval(KEEP_EVERY);
    loop {
        ticks.tick().await;
        let Some(keeper) = keeper.upgrade() else { return };
        keeper.keep().await;
    }
}
