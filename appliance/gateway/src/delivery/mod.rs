//! From the queue to the next hops, until nothing is owed any more.
//!
//! [`start`] it once. What is due is read from the store, grouped by destination, and handed to workers ([`worker`]),
//! each of which is one connection at a time. An attempt ([`attempt`]) ends in fates ([`fate`]), which are recorded
//! before anything is forgotten. What a reply means stands in one table ([`directory::reply`]).

mod alarm;
mod attempt;
mod bounce;
mod breaker;
mod connect;
mod connection;
mod fate;
mod holds;
mod ipv6;
mod notice;
mod pace;
mod probe;
mod queue;
mod race;
mod schedule;
mod shared;
mod throttling;
mod ways;
mod worker;

use std::{net::IpAddr, sync::Arc, time::Duration};

use store::{DeliveryId, StoreError};
use tokio::{task::JoinHandle, time::timeout};

use crate::{appliance::Appliance, dns::Resolver, transport::Transport};

pub use probe::{Probe, ProbeFault, Prober};

use shared::Shared;

/// A handle on the running delivery.
#[derive(Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
    queue: JoinHandle<()>,
}

/// Delivers what is in the queue, as soon as [`Delivery::set_addresses`] says that we have an address; what is added
/// later is announced by [`Appliance::queued`]. Must be called inside the runtime.
pub fn start(appliance: Appliance, transport: Arc<dyn Transport>, resolver: Resolver) -> Delivery {
    let shared = Arc::new(Shared::new(appliance, transport, resolver));
    let queue = tokio::spawn(queue::run(shared.clone()));
    Delivery { shared, queue }
}

impl Delivery {
    /// Says which addresses are ours now: mail is never sent to them, and without any it waits.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>) {
        self.shared.ways.set_addresses(addresses);
        self.shared.changed.notify_one();
    }

    /// Opens connections for questions about recipients.
    pub fn prober(&self) -> Prober {
        Prober { shared: self.shared.clone() }
    }

    /// What waits for somebody to mend something, an alarm for each cause and route.
    pub fn alarms(&self) -> Vec<String> {
        alarm::alarms(self.shared.state().holds.iter())
    }

    /// Gives up every open recipient of a delivery, and tells its sender. False while an attempt is under way: what
    /// it comes to decides.
    ///
    /// # Errors
    /// What the store says; nothing was changed then.
    pub async fn bounce(&self, id: DeliveryId) -> Result<bool, StoreError> {
        bounce::bounce(&self.shared, id).await
    }

    /// Begins no further attempts and waits until those under way are recorded, at most for `patience`. What was
    /// not finished by then is tried again at the next start.
    pub async fn stop(&self, patience: Duration) {
        self.shared.stop();
        let _ = timeout(patience, self.shared.idle()).await;
        self.queue.abort();
    }
}

#[cfg(test)]
mod tests;
