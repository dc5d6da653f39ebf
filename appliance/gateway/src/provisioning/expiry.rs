//! Streams that nobody needs any more go: no mail for 21 days, and nothing of their own.

use std::{sync::Arc, time::Duration};

use config_schema::{Config, StreamName};
use store::{Store, StoreError, log::FaultClass, stream::EXPIRE_STEP};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{appliance::Appliance, event::Kind};

/// How often it is looked for them. The first look is at the start, so that a machine that is often restarted has it.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Begins to look. Must be called inside the runtime.
pub fn start(appliance: Appliance) {
    tokio::spawn(async move {
        let mut days = interval(EVERY);
        days.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            days.tick().await;
            expire(&appliance).await;
        }
    });
}

async fn expire(appliance: &Appliance) {
    let mut gone = 0;
    loop {
        match step(appliance).await {
            Ok(count) => {
                gone += count;
                if count < EXPIRE_STEP {
                    break;
                }
            }
            Err(error) => {
                let event = appliance.events.event(Kind::StreamsExpired).fault(FaultClass::Resource);
                return appliance.events.record(event.field("error", error));
            }
        }
    }
    if gone > 0 {
        appliance.events.record(appliance.events.event(Kind::StreamsExpired).field("count", gone));
    }
}

/// Removes some; fewer than [`EXPIRE_STEP`] were the last.
async fn step(appliance: &Appliance) -> Result<usize, StoreError> {
    let (store, config, now) = (appliance.store.clone(), appliance.config(), appliance.clock.now());
    let finding =
        spawn_blocking(move || store.expire_streams(now, |name| has_its_own(&store, &config, name)));
    let removed = match finding.await {
        Ok(removal) => removal.await?,
        Err(_) => return Err(StoreError::Bug("the look for expired streams panicked".into())),
    };
    Ok(removed.len())
}

/// Whether a stream has something that must not be lost with it. What cannot be read is not lost either.
fn has_its_own(store: &Store, config: &Arc<Config>, name: &str) -> bool {
    let Ok(stream) = name.parse::<StreamName>() else { return false };
    let listed = || store.valid_recipients(name).next().is_some();
    stream.is_default() || config.stream(&stream).is_some() || listed()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::{Disk, Limits, Timestamp, ValidRecipientChange, log::Event, testing::MemoryDisk};
    use tokio::sync::watch;

    use super::*;
    use crate::clock::Clock;

    const CONFIG: &str = "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n\
        [[realm]]\nname = \"r\"\n[[realm.stream]]\nname = \"kept\"\n[[realm.stream.setting]]\nid = \"S-300\"\nvalue = 4\n";

    #[tokio::test]
    async fn only_streams_without_mail_and_without_anything_of_their_own_go() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(48 << 20));
        let store = Store::open(disk, Limits::default()).unwrap();
        let start = Timestamp::from_unix_seconds(1_800_000_000);
        let config = Arc::new(Config::parse("f", CONFIG).unwrap());
        let clock = Clock::starting_at(start.after(Duration::from_secs(22 * 86_400)));
        let appliance = Appliance::new(store.clone(), watch::channel(config).1, clock);
        for name in ["r:old", "r:kept", "r:listed", "r:default"] {
            store.prepare_stream(name, start).await.unwrap();
        }
        store.prepare_stream("r:young", start.after(Duration::from_secs(2 * 86_400))).await.unwrap();
        let change = ValidRecipientChange {
            stream: "r:listed".into(),
            add: vec!["a@example.com".into()],
            remove: Vec::new(),
            at: start,
            by: "test".into(),
        };
        store.set_valid_recipients(change, Event::new(start, "test.changed")).await.unwrap();
        expire(&appliance).await;
        let left: Vec<String> = store.streams().map(|stream| stream.unwrap().name.into()).collect();
        assert_eq!(left, ["r:default", "r:kept", "r:listed", "r:young"]);
    }
}
