//! A worker: one connection at a time to one destination, and one message after another over it.

use std::{sync::Arc, time::Duration};

use config_schema::Config;
use smtp::Time;
use store::{DeliveryId, queue::Destination};
use tokio::time::sleep;

use super::{
    attempt,
    connection::Connection,
    shared::{Claim, Shared},
};

/// How long a connection without work is kept, for what may come.
const IDLE: Duration = Duration::from_secs(30);
/// How long a message that cannot even be read is left alone.
const UNREADABLE: Duration = Duration::from_secs(60);

/// A connection that is kept between messages, and the configuration that it was opened by.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) config: Arc<Config>,
}

impl Link {
    /// Whether another message may go over it.
    pub(super) fn is_usable(&self, config: &Arc<Config>, now: Time) -> bool {
        let limits = &config.delivery;
        // A changed configuration may mean another host or other demands on TLS.
        Arc::ptr_eq(&self.config, config)
            && self.connection.is_ready()
            && self.connection.transactions < limits.messages_per_connection
            && now.since(self.connection.opened) < limits.connection_life.duration()
    }
}

/// Runs a worker that was hired for `destination`.
pub(super) async fn run(shared: Arc<Shared>, destination: Destination) {
    // Whatever happens, the place is given back.
    let mut place = Hired { shared: shared.clone(), destination: destination.clone(), left: false };
    let mut link: Option<Link> = None;
    shared.state().begin(&destination);
    loop {
        let next = shared.state().next(&destination);
        match next {
            Some(id) => {
                let task = Task { shared: &shared, id };
                // Somebody else is giving it up; it is found due again if that fails.
                if shared.state().claim(id) {
                    let claim = Claim { shared: &shared, id };
                    attempt::run(&shared, &destination, id, &mut link).await;
                    drop(claim);
                }
                drop(task);
                if !shared.state().is_crowded(&destination, shared.now()) {
                    continue;
                }
                place.leave(true);
            }
            None => {
                if rest(&shared, &destination, &mut link).await {
                    continue;
                }
                place.leave(false);
            }
        }
        if place.left {
            break;
        }
    }
    if let Some(link) = link {
        link.connection.quit().await;
    }
}

/// Waits for work; false when it is time to go.
async fn rest(shared: &Arc<Shared>, destination: &Destination, link: &mut Option<Link>) -> bool {
    // Without a connection there is nothing to keep.
    let Some(open) = link else { return false };
    if !open.connection.is_ready() {
        *link = None;
        return false;
    }
    let Some(bell) = shared.state().rest(destination, shared.now()) else { return false };
    let work = tokio::select! {
        () = bell.notified() => true,
        () = open.connection.idle() => { *link = None; false }
        () = sleep(IDLE) => false,
    };
    shared.state().resume(destination);
    work
}

/// A worker's place.
struct Hired {
    shared: Arc<Shared>,
    destination: Destination,
    left: bool,
}

impl Hired {
    fn leave(&mut self, in_any_case: bool) {
        self.left = self.shared.state().leave(&self.destination, in_any_case);
        if self.left {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        if !self.left {
            self.leave(true);
        }
    }
}

/// A delivery in a worker's hands; given back also if the attempt panics.
struct Task<'a> {
    shared: &'a Shared,
    id: DeliveryId,
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.shared.state().finish(self.id);
        self.shared.changed.notify_one();
    }
}

/// Leaves a delivery alone that cannot be read or recorded now, so that it is not tried in a circle.
pub(super) fn set_aside(shared: &Arc<Shared>, id: DeliveryId) {
    let shared = shared.clone();
    tokio::spawn(async move {
        // After the worker gave it back.
        tokio::task::yield_now().await;
        shared.state().take(id);
        sleep(UNREADABLE).await;
        shared.state().finish(id);
        shared.changed.notify_one();
    });
}
