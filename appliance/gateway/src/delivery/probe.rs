//! Connections that only ask whether recipients exist. They take the way that mail would take: the same addresses,
//! the same TLS, so that a next hop that knows us by either answers as it would answer mail.

use std::{net::IpAddr, sync::Arc};

use config_schema::{Config, Domain, Route, name::DomainName};
use smtp::client::{Failure, Outcome, TlsPolicy, Transaction};

use super::{
    connect::{self, Connected},
    connection::{CONNECT, Connection, OpenFault, Protection},
    shared::Shared,
    ways::Place,
};
use crate::{
    appliance::Appliance,
    clock::Clock,
    dns::{Resolver, TempError},
    route::{Hop, Own, RouteFault},
    tls::client::TlsClient,
    transport::{Stream, Transport},
};

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
    Open {
        host: String,
        why: String,
        /// What it said, if it spoke at all.
        dialogue: Option<Failure>,
    },
}

impl ProbeFault {
    /// What the host said; otherwise the fault again.
    pub fn dialogue(self) -> Result<Failure, ProbeFault> {
        match self {
            ProbeFault::Open { dialogue: Some(failure), .. } => Ok(failure),
            fault => Err(fault),
        }
    }
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
    /// One without a queue beside it.
    pub fn new(appliance: Appliance, transport: Arc<dyn Transport>, resolver: Resolver) -> Prober {
        Prober { shared: Arc::new(Shared::new(appliance, transport, resolver)) }
    }

    /// Says which addresses are ours now; without any, nothing is asked.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>) {
        self.shared.ways.set_addresses(addresses);
    }

    /// The network that deliveries go over.
    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        self.shared.transport.clone()
    }

    /// Who finds the names' addresses.
    pub(crate) fn resolver(&self) -> Resolver {
        self.shared.ways.unbounded_resolver().clone()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.appliance.clock.clone()
    }

    /// TLS with the roots of this configuration.
    pub(crate) fn tls(&self, config: &Arc<Config>) -> TlsClient {
        self.shared.ways.tls(config)
    }

    /// What is ours, and never connected to.
    pub(crate) fn own(&self, hostname: &DomainName) -> Own {
        self.shared.ways.own(hostname)
    }

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
        let (place, clock) = (Place::Ours(domain), &shared.appliance.clock);
        let resolver = shared.ways.resolver(config);
        let mut left = shared.ways.hops_of(&resolver, config, server).await?;
        let mut last = ProbeFault::NotConnected;
        while !left.is_empty() {
            let Connected { won, lost } = connect::connect(&shared.transport, clock, &left).await;
            if let Some((index, fault)) = lost.last() {
                let host = left.get(*index).map(Hop::to_string).unwrap_or_default();
                last = refused(host, OpenFault::Connect(fault.clone()));
            }
            let Some((index, stream)) = won else { break };
            let Some(hop) = left.get(index).cloned() else { break };
            let mut tried: Vec<usize> = lost.iter().map(|(index, _)| *index).chain([index]).collect();
            tried.sort_unstable();
            tried.into_iter().rev().for_each(|index| drop(left.remove(index)));
            let protection = shared.ways.protection(&resolver, &place, &hop).await?;
            match self.greet(config, &place, stream, &hop, protection).await {
                Ok(connection) => return Ok(Probe { connection }),
                Err(fault) => last = refused(hop.to_string(), fault),
            }
        }
        Err(last)
    }
}

impl Prober {
    /// As deliveries do: where TLS is only welcome and fails, it is gone without.
    async fn greet(
        &self,
        config: &Arc<Config>,
        place: &Place<'_>,
        stream: Stream,
        hop: &Hop,
        mut protection: Protection,
    ) -> Result<Connection, OpenFault> {
        let shared = &self.shared;
        let clock = &shared.appliance.clock;
        let tls = shared.ways.tls_towards(config, place, clock.now());
        match Connection::open(stream, &tls, clock, config, hop, &protection).await {
            Err(OpenFault::Dialogue { failure: Failure::TlsFailed, .. })
                if protection.policy == TlsPolicy::Opportunistic =>
            {
                protection.policy = TlsPolicy::Off;
                let stream = shared.transport.connect(hop.address, CONNECT).await?;
                Connection::open(stream, &tls, clock, config, hop, &protection).await
            }
            opened => opened,
        }
    }
}

fn refused(host: String, fault: OpenFault) -> ProbeFault {
    let why = fault.to_string();
    let dialogue = match fault {
        OpenFault::Dialogue { failure, .. } => Some(failure),
        OpenFault::Connect(_) => None,
    };
    ProbeFault::Open { host, why, dialogue }
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

    /// MAIL, RCPT for each recipient, RSET; nothing is sent.
    pub async fn ask(&mut self, transaction: Transaction) -> Outcome {
        self.connection.probe(transaction).await
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
