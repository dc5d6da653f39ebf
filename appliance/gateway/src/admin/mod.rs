//! What an administrator may ask of the running gateway, over the control socket of a hosted appliance.

mod directory;
mod valid_recipients;

use std::{io, os::unix::net::UnixListener, sync::Arc, time::Duration};

use config_schema::{Config, Secret, SecretMode};
use control::{
    Refusal, Role, execute,
    operation::{DiskUse, Power, Status as View},
    wire,
};
use ipnet::IpNet;
use store::{DeliveryId, Store, StoreError, Timestamp};
use sys::status::FromRole;
use tokio::sync::{Semaphore, watch};

use crate::{
    appliance::Appliance, delivery::Delivery, directory::Directory, listener::Listener, startup,
    status::Status,
};

/// Administrators' connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 16;

/// The gateway as the operations see it.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    appliance: Appliance,
    listener: Listener,
    addresses: watch::Receiver<Vec<IpNet>>,
    config: watch::Sender<Arc<Config>>,
    status: Status,
    delivery: Arc<Delivery>,
    directory: Directory,
}

impl Live {
    pub(crate) fn new(
        appliance: &Appliance,
        listener: &Listener,
        delivery: &Arc<Delivery>,
        directory: &Directory,
        addresses: watch::Receiver<Vec<IpNet>>,
        config: watch::Sender<Arc<Config>>,
        status: &Status,
    ) -> Live {
        let (appliance, listener, status) = (appliance.clone(), listener.clone(), status.clone());
        let (delivery, directory) = (delivery.clone(), directory.clone());
        Live(Arc::new(Parts { appliance, listener, addresses, config, status, delivery, directory }))
    }

    /// Replaces the configuration by one that an operation has changed.
    async fn put_in_force(&self, config: Config, by: &str) -> Result<(), Refusal> {
        let text =
            config.export(&SecretMode::Plain).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let config = Config::parse(by, &text).map_err(|mistakes| Refusal::Configuration(mistakes.lines()))?;
        startup::set(&self.0.appliance.store, &self.0.appliance.clock, &text, by, false).await?;
        self.0.config.send_replace(Arc::new(config));
        Ok(())
    }
}

/// Answers on the control socket. Whoever can open it may do everything: the file's mode is the permission.
pub(crate) fn start(socket: UnixListener, live: Live) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UnixListener::from_std(socket)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        while let Ok(place) = places.clone().acquire_owned().await {
            let Ok((stream, _)) = socket.accept().await else {
                // No descriptor is free: wait until one is.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let live = live.clone();
            tokio::spawn(async move {
                let answer = |operation| execute(&live, Role::ApplianceAdministrator, operation);
                // A connection that breaks is the administrator's to open again.
                let _ = wire::serve(stream, answer).await;
                drop(place);
            });
        }
    });
    Ok(())
}

impl control::Appliance for Live {
    fn store(&self) -> &Store {
        &self.0.appliance.store
    }

    fn now(&self) -> Timestamp {
        self.0.appliance.clock.now()
    }

    fn status(&self) -> View {
        let usage = self.0.appliance.store.usage();
        let held = self
            .0
            .appliance
            .store
            .deliveries()
            .filter(|entry| matches!(entry, Ok(entry) if entry.hold.is_some()));
        View {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.0.appliance.config().network.hostname.to_string(),
            addresses: self.0.addresses.borrow().iter().map(IpNet::to_string).collect(),
            sessions: u64::from(self.0.listener.open()),
            queued: usage.deliveries,
            held: held.count() as u64,
            disk: DiskUse { used: usage.used, capacity: usage.capacity, reserve: usage.reserve },
            alarms: [self.0.appliance.alarms.lines(), self.0.delivery.alarms()].concat(),
        }
    }

    fn queue_changed(&self) {
        self.0.appliance.queued.notify_one();
    }

    async fn bounce(&self, id: DeliveryId) -> Result<bool, StoreError> {
        self.0.delivery.bounce(id).await
    }

    fn export(&self, passphrase: Option<&str>) -> Result<String, Refusal> {
        let mode = passphrase.map_or(SecretMode::LeftOut, |text| SecretMode::Sealed(Secret::new(text)));
        self.0.appliance.config().export(&mode).map_err(|error| Refusal::Malformed(error.to_string()))
    }

    async fn import(&self, name: &str, text: &str) -> Result<(), Refusal> {
        let config =
            Config::parse(name, text).map_err(|mistakes| Refusal::Configuration(mistakes.lines()))?;
        startup::set(&self.0.appliance.store, &self.0.appliance.clock, text, name, false).await?;
        self.0.config.send_replace(Arc::new(config));
        Ok(())
    }

    fn power(&self, power: Power) -> Result<(), Refusal> {
        self.0.status.tell(match power {
            Power::Reboot => FromRole::Reboot,
            Power::Off => FromRole::PowerOff,
        });
        Ok(())
    }
}
