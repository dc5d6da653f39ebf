//! Receiving mail: who may connect, what is answered, and the way of a message into the spool.
//!
//! [`Listener::serve`] takes one connection from its first octet to its close. It opens nothing itself.

mod conversation;
mod fault;
mod gate;
mod intake;
mod policy;
mod recent;
mod refusals;
mod settings;
mod sources;
mod transaction;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use smtp::server::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use crate::appliance::Appliance;
use crate::directory::Directory;
use crate::tls::server::ServerTls;
use conversation::Conversation;
pub use gate::{Gate, Place};
use refusals::Refusals;
use settings::Settings;
pub use sources::{Offence, Refusal, SourceLimits, Sources};

/// Closed connections that are still read, so that the last reply is not lost to a reset; with more, as in a flood
/// of refused ones, they are dropped at once.
const LINGERING_MAX: usize = 1_000;

/// The listener of port 25. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Listener(Arc<Shared>);

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    appliance: Appliance,
    directory: Directory,
    tls: ServerTls,
    gate: Gate,
    settings: Settings,
    refusals: Refusals,
    /// Connections that are closed but still read for a moment.
    lingering: Semaphore,
    stop: watch::Sender<bool>,
}

/// A connection that was just accepted.
#[derive(Debug)]
pub struct Accepted<S> {
    pub stream: S,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub bulk: Bulk,
}

/// How the network is asked for large buffers while a body comes.
#[derive(Default)]
pub struct Bulk {
    ask: Option<Box<dyn Fn(bool) + Send + Sync>>,
    is_set: bool,
}

impl Listener {
    pub fn new(appliance: Appliance, directory: Directory, tls: ServerTls) -> Listener {
        let gate = Gate::new(settings::source_limits(&appliance.config()));
        let (stop, _) = watch::channel(false);
        let (settings, refusals) = (Settings::default(), Refusals::default());
        let lingering = Semaphore::new(LINGERING_MAX);
        Listener(Arc::new(Shared { appliance, directory, tls, gate, settings, refusals, lingering, stop }))
    }

    /// Talks with one client until the connection is closed. Never fails: what goes wrong ends this session and
    /// is said in an event.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(self, accepted: Accepted<S>) {
        Conversation::new(accepted, self.0).run().await;
    }

    /// How many sessions have a place.
    pub fn open(&self) -> u32 {
        self.0.gate.open()
    }

    /// Ends the sessions that wait for their client with 421; a message that is being committed is still answered.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    /// Returns when no session is left.
    pub async fn ended(&self) {
        self.0.stop.closed().await;
    }
}

impl Shared {
    fn session_settings(&self) -> Arc<ServerConfig> {
        self.settings.of(&self.appliance.config(), |limits| self.gate.set_limits(limits))
    }
}

impl Bulk {
    /// `ask` is called with true when a body begins, and with false when it is over.
    pub fn new(ask: impl Fn(bool) + Send + Sync + 'static) -> Bulk {
        Bulk { ask: Some(Box::new(ask)), is_set: false }
    }

    fn set(&mut self, bulk: bool) {
        if self.is_set != bulk {
            self.is_set = bulk;
            if let Some(ask) = &self.ask {
                ask(bulk);
            }
        }
    }
}

impl fmt::Debug for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bulk({})", self.is_set)
    }
}
