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

#[cfg(test)]
mod tests {
    use config_schema::Config;
    use directory::{
        reply::Recipient,
        verification::{Answer, Settings, Verification},
    };
    use store::{Limits, Store, testing::MemoryDisk};
    use tokio::sync::watch;

    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn answers_outlive_a_restart_unless_they_are_forgotten() {
        let store = Store::open(Arc::new(MemoryDisk::new(8 << 20)), Limits::default()).unwrap();
        let config = Config::parse(
            "test",
            "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n",
        )
        .unwrap();
        let (_config, watched) = watch::channel(Arc::new(config));
        let clock = Clock::system();
        let appliance = Appliance::new(store.clone(), watched, clock.clone());
        let value = postcard::to_allocvec(&(clock.now().unix_seconds(), None::<u64>)).unwrap();
        let record = |key: &str| (key.into(), Some(value.clone()));
        let records = vec![record("a@example.com"), record("b@example.com")];
        store.put_records(RecordKind::Verification, records).await.unwrap();

        let remembered = Verification::new(Settings::default()).memory().clone();
        let keeper = Keeper::start(appliance, remembered.clone());
        let answer = |text: &str| remembered.answer(clock.elapsed(), &text.parse().unwrap());
        assert!(matches!(answer("A@Example.com"), Some(Answer { recipient: Recipient::Valid, .. })));
        assert_eq!(remembered.forget(|key| key.starts_with('b')), 1);
        assert_eq!(answer("b@example.com"), None);
        keeper.keep().await;
        let left: Vec<_> = store.records(RecordKind::Verification).map(|record| record.unwrap().0).collect();
        assert_eq!(left, ["a@example.com".into()]);
    }
}
