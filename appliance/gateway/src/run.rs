//! The role from start to end: what runs beside what, and in which order it stops.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    os::unix::net::UnixListener,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use config_schema::TimeServer;
use ipnet::IpNet;
use net::control::{Lease, ListenLimits, ToNet};
use store::Disk;
use sys::status::{Channel, FromRole};
use tokio::{sync::watch, time::timeout};

use crate::{
    admin,
    appliance::Appliance,
    clock::Clock,
    delivery::{self, Delivery},
    directory::Directory,
    dns::{Patience, Resolver, Settings},
    listener::{self, Bulk, Listener},
    network::{self, Network, configure::configure},
    notices, provisioning,
    startup::{self, StartError},
    status::{self, Status},
    time,
    tls::{identity::IdentityError, server::ServerTls},
};

/// Where mail is received.
const SMTP_PORT: u16 = 25;
/// Where the resolvers of a lease are asked.
const DNS_PORT: u16 = 53;
/// How long open sessions may take to end when the appliance stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// Everything that the role holds.
#[derive(Debug)]
pub struct Io {
    /// Where the store lies.
    pub disk: Arc<dyn Disk>,
    /// `SOCK_SEQPACKET` to `net`.
    pub control: OwnedFd,
    /// To PID 1.
    pub status: Channel,
    /// A configuration file from outside.
    pub seed: Option<Seed>,
    /// Hosted only: where `postern ctl` connects.
    pub admin: Option<UnixListener>,
}

/// A configuration file from outside.
#[derive(Clone)]
pub struct Seed {
    /// For messages about it.
    pub name: String,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold keys and passwords.
        f.debug_struct("Seed").field("name", &self.name).field("len", &self.bytes.len()).finish()
    }
}

/// Why the role ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("TLS: {0}")]
    Tls(#[from] IdentityError),
    #[error("the network role is gone")]
    NetworkGone,
    #[error("PID 1 is gone")]
    SupervisorGone,
    #[error("the runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

impl From<network::ConnectError> for RunError {
    fn from(_: network::ConnectError) -> RunError {
        RunError::NetworkGone
    }
}

/// To be called once before any role is started: the cryptographic library looks at the machine when it is first used,
/// by calls that no sandbox allows; what it found is inherited.
pub fn prepare() {
    let mut taste = [0; 1];
    // If there are no random numbers, whoever needs them says so.
    let _ = SystemRandom::new().fill(&mut taste);
}

/// Runs the role until PID 1 asks it to stop.
///
/// # Errors
/// What kept it from starting, or the loss of a neighbour; PID 1 starts it again.
pub fn run(io: Io) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(io))
}

async fn serve(io: Io) -> Result<(), RunError> {
    let clock = Clock::system();
    let store = startup::open(io.disk)?;
    let in_force = startup::configuration(&store, &clock, io.seed.as_ref())?;
    let tls = ServerTls::new(startup::identity(&store, &clock, &in_force.config)?.identity())?;
    let secret = startup::signing_key(&store)?;
    let (config, watched) = watch::channel(in_force.config);
    let appliance = Appliance::new(store.clone(), watched, clock);
    tokio::spawn(startup::follow_limits(appliance.clone()));

    let (network, notices) = Network::start(io.control)?;
    let (status, mut orders) = status::start(io.status, &appliance)?;
    status.console("notice", &in_force.notice);
    status.console("host", appliance.config().network.hostname.as_str());
    // Before there is an address: who hears that we are ready finds us listening.
    let incoming = network.listen(SMTP_PORT, ListenLimits::default()).await?;
    network.tell(ToNet::Configure(Box::new(configure(&appliance.config(), secret)))).await?;
    tokio::spawn(crate::tls::follow(appliance.clone(), tls.clone()));
    let addresses = notices::start(notices, &appliance, &network, &status);
    let resolver = Resolver::new(Arc::new(network.clone()), resolvers(&appliance, None));
    tokio::spawn(follow_resolvers(network.lease(), appliance.clone(), resolver.clone()));
    keep_time(&appliance, &network, &resolver, &status);
    let delivery = Arc::new(delivery::start(appliance.clone(), Arc::new(network.clone()), resolver));
    let directory = Directory::start(appliance.clone(), delivery.prober(), &secret);
    let listener = Listener::new(appliance.clone(), directory.clone(), tls);
    provisioning::expiry::start(appliance.clone());
    let accepting = tokio::spawn(accept(incoming, listener.clone()));
    if let Some(socket) = io.admin {
        let live = admin::Live::new(
            &appliance,
            &listener,
            &delivery,
            &directory,
            addresses.clone(),
            config,
            &status,
        );
        admin::start(socket, live)?;
    }
    let own = tokio::spawn(follow_addresses(addresses, delivery.clone(), status.clone()));
    tokio::select! {
        result = orders.stop() => result?,
        _ = accepting => return Err(RunError::NetworkGone),
    }
    own.abort();
    stop(&appliance, &listener, &delivery, &directory, &status).await
}

/// The role serves as soon as it has an address; mail is never sent to one of ours.
async fn follow_addresses(
    mut addresses: watch::Receiver<Vec<IpNet>>,
    delivery: Arc<Delivery>,
    status: Status,
) {
    let mut ready = false;
    loop {
        let own: Vec<IpAddr> = addresses.borrow_and_update().iter().map(IpNet::addr).collect();
        if !own.is_empty() && !ready {
            ready = true;
            status.tell(FromRole::Ready);
        }
        delivery.set_addresses(own);
        if addresses.changed().await.is_err() {
            return;
        }
    }
}

/// Asks the resolvers of the configuration in force, or of the lease where it names none.
async fn follow_resolvers(
    mut lease: watch::Receiver<Option<Lease>>,
    appliance: Appliance,
    resolver: Resolver,
) {
    let mut config = appliance.config.clone();
    let mut known = resolvers(&appliance, None);
    loop {
        tokio::select! {
            Ok(()) = lease.changed() => {}
            Ok(()) = config.changed() => {}
            else => return,
        }
        let settings = resolvers(&appliance, lease.borrow_and_update().as_ref());
        // What is remembered is forgotten for other resolvers only.
        if settings != known {
            resolver.configure(settings.clone());
            known = settings;
        }
    }
}

/// Asks the time servers of the configuration, or without any those of the lease; PID 1 sets the system's clock.
fn keep_time(appliance: &Appliance, network: &Network, resolver: &Resolver, status: &Status) {
    let (configured, lease, status) = (appliance.clone(), network.lease(), status.clone());
    let servers = move || {
        let servers = configured.config().time_servers.clone();
        if !servers.is_empty() {
            return servers;
        }
        let leased = lease.borrow().as_ref().map(|lease| lease.ntp.clone()).unwrap_or_default();
        leased.into_iter().map(|address| TimeServer::Address(address.into())).collect()
    };
    let set = move |now: store::Timestamp| {
        let unix_seconds = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
        let nanoseconds = u32::try_from(now.unix_micros() % 1_000_000 * 1_000).unwrap_or_default();
        status.tell(FromRole::SetClock { unix_seconds, nanoseconds });
    };
    time::start(appliance.clone(), Arc::new(network.clone()), resolver.clone(), servers, set);
}

fn resolvers(appliance: &Appliance, lease: Option<&Lease>) -> Settings {
    let config = appliance.config();
    let (network, limits) = (&config.network, &config.limits);
    let patience = Patience { tries: limits.dns_tries, time: limits.dns_time.duration() };
    let cache = usize::try_from(limits.dns_cache_entries).unwrap_or(usize::MAX);
    if !network.dns.is_empty() {
        return Settings { servers: network.dns.clone(), validating: network.dns_validates, patience, cache };
    }
    let leased = lease.map(|lease| lease.dns.as_slice()).unwrap_or_default();
    let servers = leased.iter().map(|server| (*server, DNS_PORT).into()).collect();
    // Anybody on the network can answer a DHCP question: such resolvers prove nothing.
    Settings { servers, validating: false, patience, cache }
}

/// Hands each connection to a session of its own.
async fn accept(mut incoming: network::Listener, listener: Listener) {
    while let Some(accepted) = incoming.accept().await {
        let flow = accepted.flow;
        let bulk = Bulk::new(move |bulk| {
            flow.class(if bulk { net::control::Class::Bulk } else { net::control::Class::Interactive })
        });
        let session = listener::Accepted {
            stream: accepted.stream,
            peer: canonical(accepted.peer),
            local: accepted.local,
            bulk,
        };
        tokio::spawn(listener.clone().serve(session));
    }
}

fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Ends the sessions, brings everything to the disk, and says so.
async fn stop(
    appliance: &Appliance,
    listener: &Listener,
    delivery: &Delivery,
    directory: &Directory,
    status: &Status,
) -> Result<(), RunError> {
    listener.stop();
    delivery.stop(FAREWELL).await;
    // Whoever is still there has had its answer or will try again.
    let _ = timeout(FAREWELL, listener.ended()).await;
    directory.stop().await;
    let store = appliance.store.clone();
    tokio::task::spawn_blocking(move || store.close()).await.map_err(std::io::Error::other)?;
    status.finish(FromRole::Stopped).await;
    Ok(())
}

#[cfg(test)]
mod tests;
