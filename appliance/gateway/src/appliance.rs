//! What every part of the gateway works with.

use std::sync::Arc;

use config_schema::Config;
use store::Store;
use tokio::sync::{Notify, watch};

use crate::alarms::Alarms;
use crate::clock::Clock;
use crate::event::Events;

/// The handles that the listener, the queue and the daily jobs share. Cheap to clone; every clone means the same.
#[derive(Debug, Clone)]
pub struct Appliance {
    pub store: Store,
    /// The configuration in force; it changes while the gateway runs.
    pub config: watch::Receiver<Arc<Config>>,
    pub events: Events,
    pub clock: Clock,
    /// What an administrator must look at now.
    pub alarms: Alarms,
    /// Rung when something was committed to the queue that may be tried at once.
    pub queued: Arc<Notify>,
}

impl Appliance {
    /// Binds the handles together; events get their time from `clock`.
    pub fn new(store: Store, config: watch::Receiver<Arc<Config>>, clock: Clock) -> Appliance {
        let events = Events::new(store.clone(), clock.clone());
        Appliance { store, config, events, clock, alarms: Alarms::default(), queued: Arc::default() }
    }

    /// The configuration as it is now. Whoever decides several things asks once, so that they fit together.
    pub fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }
}
