//! Connections that only ask whether recipients exist. They take the way that mail would take: the same addresses,
//! the same TLS, so that a next hop that knows us by either answers as it would answer mail.

use std::sync::Arc;

use config_schema::{Config, Domain, Route};
use smtp::{
    address::{Address, ForwardPath, ReversePath},
    client::{Outcome, Recipient, Transaction},
    envelope::{MailParameters, RcptParameters},
};

use super::{connection::Connection, shared::Shared, ways::Place};
use crate::{dns::TempError, route::RouteFault};

/// Opens such connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Prober {
    pub(super) shared: Arc<Shared>,
}

/// Why a verification server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFault {
    #[error("the appliance has no address yet")]
    NotConnected,
    #[error(transparent)]
    Route(#[from] RouteFault),
    #[error(transparent)]
    Dns(#[from] TempError),
    /// The last host that was tried, and what became of it.
    #[error("{host}: {why}")]
    Open { host: String, why: String },
}

/// An open connection to a verification server.
pub struct Probe {
    connection: Connection,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({})", self.host())
    }
}

impl Prober {
    /// Connects to the first host of `server` that answers, protected as mail for `domain` is.
    ///
    /// # Errors
    /// No host could be found, or none took the connection.
    pub async fn open(
        &self,
        config: &Arc<Config>,
        domain: &Domain,
        server: &Route,
    ) -> Result<Probe, ProbeFault> {
        let shared = &self.shared;
        if !shared.ways.is_connected() {
            return Err(ProbeFault::NotConnected);
        }
        let (place, tls) = (Place::Ours(domain), shared.ways.tls(config));
        let mut last = ProbeFault::NotConnected;
        for hop in shared.ways.hops_of(config, server).await? {
            let protection = shared.ways.protection(&place, &hop).await?;
            let hostname = config.network.hostname.clone();
            let clock = &shared.appliance.clock;
            let opened = Connection::open(&*shared.transport, &tls, clock, hostname, &hop, &protection).await;
            match opened {
                Ok(connection) => return Ok(Probe { connection }),
                Err(fault) => last = ProbeFault::Open { host: hop.to_string(), why: fault.to_string() },
            }
        }
        Err(last)
    }
}

impl Probe {
    /// Who is asked, for people.
    pub fn host(&self) -> String {
        self.connection.hop().to_string()
    }

    /// Whether another question may be asked.
    pub fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }

    /// MAIL, RCPT for each, RSET; nothing is sent.
    pub async fn ask(&mut self, from: ReversePath, recipients: &[Address]) -> Outcome {
        let utf8 = recipients.iter().any(|address| !address.is_ascii());
        let recipient = |address: &Address| Recipient {
            to: ForwardPath::Address(address.clone()),
            parameters: RcptParameters::default(),
        };
        self.connection
            .probe(Transaction {
                from,
                parameters: MailParameters { smtputf8: utf8, ..MailParameters::default() },
                recipients: recipients.iter().map(recipient).collect(),
            })
            .await
    }

    /// Returns when the server has closed the connection.
    pub async fn idle(&mut self) {
        self.connection.idle().await;
    }

    /// Says QUIT.
    pub async fn close(self) {
        self.connection.quit().await;
    }
}
