//! One connection to a directory server: the client, driven over a stream.

use std::{collections::HashMap, time::Duration};

use bytes::BytesMut;
use config_schema::{
    Route, RouteHost,
    user_lookup::ldap::{Ldap, Security, Server},
};
use directory::ldap::client::{
    Action, Busy, Client, Credentials, Fault, Found, Input, Opening, Search, SearchFault, SearchId,
};
use rustls::pki_types::ServerName;
use smtp::Time;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, oneshot},
    time::{sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::Outside;
use crate::{
    clock::Clock,
    route::{self, Hop, HopHost, RouteFault, Target},
    tls::client::{Check, Handshake},
    transport::{ByteStream, ConnectFault},
};

/// How long one address of a server may take until a connection is ready. A question waits longer, so that the next
/// server can answer it.
pub(super) const OPEN: Duration = Duration::from_secs(5);
/// How long leave is taken.
const LEAVE: Duration = Duration::from_secs(1);
/// Octets read at a time.
const READ: usize = 16 * 1024;
/// The longest that nothing is to be done: a connection without questions.
const IDLE: Duration = Duration::from_secs(3_600);

/// Who waits for a search's result.
pub(super) type Waiting = oneshot::Sender<Result<Found, SearchFault>>;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum OpenFault {
    /// No address of the server's can be connected to.
    #[error(transparent)]
    Route(#[from] RouteFault),
    #[error(transparent)]
    Connect(#[from] ConnectFault),
    #[error("no answer within {} s", OPEN.as_secs())]
    Slow,
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The dialogue failed; with what was wrong with the certificate, if that was it.
    #[error("{fault}{}", certificate.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    Dialogue { fault: Fault, certificate: Option<String> },
    /// All failed lately.
    #[error("no server is tried again yet; the last failed with: {0}")]
    Waiting(String),
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

impl OpenFault {
    /// Whether the server said no to the name and password, as the directory's other servers would, too.
    pub(super) fn is_refused_bind(&self) -> bool {
        const TEMPORARY: [u32; 3] = [1, 51, 52];
        matches!(self, OpenFault::Dialogue { fault: Fault::Bind(result), .. } if !TEMPORARY.contains(&result.code))
    }
}

/// An open connection.
pub(super) struct Connection {
    io: Box<dyn ByteStream>,
    client: Client,
    clock: Clock,
    name: ServerName<'static>,
    handshake: Handshake,
    outgoing: BytesMut,
    unflushed: bool,
    wake: Option<Time>,
    heard_at: Time,
    waiting: HashMap<SearchId, Waiting>,
    state: State,
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct State {
    ready: bool,
    start_tls: bool,
    closed: Option<Fault>,
    tls_fault: Option<String>,
}

/// What came first.
enum Event {
    Written(bool),
    Flushed(bool),
    Read(std::io::Result<usize>),
    Woken,
}

/// Connects to the first address of `server` that answers, and binds.
pub(super) async fn open(
    outside: &Outside,
    ldap: &Ldap,
    server: &Server,
    who: Option<Credentials>,
) -> Result<Connection, OpenFault> {
    let port = server.port.unwrap_or(ldap.security.port());
    let route = Route { host: server.host.clone(), port: Some(port), priority: 0 };
    let own = (outside.own)();
    // The order of addresses is the resolver's: nothing is shuffled among them.
    let hops = route::find(&outside.resolver, &own, Target::Configured(&[route]), &mut || 0).await?;
    let mut last = OpenFault::Route(RouteFault::NoRoute);
    for hop in hops.iter().take(route::ADDRESSES_MAX) {
        match timeout(OPEN, open_at(outside, ldap, server, hop, who.clone())).await {
            Ok(Ok(connection)) => return Ok(connection),
            // What it said counts for all of its addresses.
            Ok(Err(fault)) if fault.is_refused_bind() => return Err(fault),
            Ok(Err(fault)) => last = fault,
            Err(_) => last = OpenFault::Slow,
        }
    }
    Err(last)
}

async fn open_at(
    outside: &Outside,
    ldap: &Ldap,
    server: &Server,
    hop: &Hop,
    who: Option<Credentials>,
) -> Result<Connection, OpenFault> {
    let check = if ldap.verify_certificate { Check::Name } else { Check::Nobody };
    let handshake = outside.tls.handshake(&check);
    let name = server_name(server, hop);
    let mut io = outside.transport.connect(hop.address, OPEN).await?.io;
    if ldap.security == Security::Ldaps {
        io = shake(io, &handshake, &name).await.map_err(OpenFault::Tls)?;
    }
    let start_tls = ldap.security == Security::StartTls;
    let now = outside.clock.elapsed();
    let client = Client::new(Opening { start_tls, credentials: who, within: OPEN }, now);
    let mut connection = Connection {
        io,
        client,
        clock: outside.clock.clone(),
        name,
        handshake,
        outgoing: BytesMut::new(),
        unflushed: false,
        wake: None,
        heard_at: now,
        waiting: HashMap::new(),
        state: State::default(),
        _permit: None,
    };
    connection.until_ready().await?;
    Ok(connection)
}

/// Whom the certificate has to name: what was configured, not what DNS made of it.
fn server_name(server: &Server, hop: &Hop) -> ServerName<'static> {
    let by_name = match (&server.host, &hop.host) {
        (RouteHost::Name(name), HopHost::Name(_)) => ServerName::try_from(name.as_str().to_owned()).ok(),
        _ => None,
    };
    by_name.unwrap_or_else(|| ServerName::from(hop.address.ip()))
}

/// The error says what was wrong with the certificate, if that was it.
async fn shake(
    io: Box<dyn ByteStream>,
    handshake: &Handshake,
    name: &ServerName<'static>,
) -> Result<Box<dyn ByteStream>, String> {
    let connector = TlsConnector::from(handshake.config.clone());
    match connector.connect(name.clone(), io).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(handshake.refusal().map_or_else(|| error.to_string(), str::to_owned)),
    }
}

impl Connection {
    /// Keeps the permit for as long as the connection lasts.
    pub(super) fn with_permit(self, permit: OwnedSemaphorePermit) -> Connection {
        Connection { _permit: Some(permit), ..self }
    }

    /// Whether another question may be handed in.
    pub(super) fn has_room(&self) -> bool {
        self.client.pending() < directory::ldap::client::PENDING_MAX
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.closed.is_some()
    }

    async fn until_ready(&mut self) -> Result<(), OpenFault> {
        loop {
            self.gather();
            if let Some(fault) = self.state.closed.take() {
                return Err(match self.state.tls_fault.take() {
                    Some(why) => OpenFault::Tls(why),
                    None => OpenFault::Dialogue { fault, certificate: None },
                });
            }
            if self.state.ready {
                return Ok(());
            }
            self.turn().await;
        }
    }

    /// Asks, and waits for the answer; for a connection that nobody else uses.
    pub(super) async fn ask(&mut self, search: &Search) -> Result<Found, SearchFault> {
        let (waiting, mut answered) = oneshot::channel();
        self.hand_in(search, waiting);
        loop {
            self.gather();
            if let Ok(result) = answered.try_recv() {
                return result;
            }
            if self.is_closed() {
                return Err(SearchFault::Connection(Fault::Closed));
            }
            self.turn().await;
        }
    }

    /// Sends a search on its way.
    pub(super) fn hand_in(&mut self, search: &Search, waiting: Waiting) {
        match self.client.search(self.clock.elapsed(), search) {
            Ok(id) => drop(self.waiting.insert(id, waiting)),
            // Whoever waits asks elsewhere.
            Err(Busy::Full | Busy::NotReady) => {
                let _ = waiting.send(Err(SearchFault::Connection(Fault::Closed)));
            }
        }
    }

    /// Takes what the client wants done.
    pub(super) fn gather(&mut self) {
        while let Some(action) = self.client.poll() {
            match action {
                Action::Write(octets) => self.outgoing.extend_from_slice(&octets),
                Action::StartTls => self.state.start_tls = true,
                Action::Ready => self.state.ready = true,
                Action::WakeAt(time) => self.wake = time,
                Action::Close(fault) => self.state.closed = Some(fault.unwrap_or(Fault::Closed)),
                Action::Done { search, result } => self.done(search, result),
            }
        }
    }

    fn done(&mut self, search: SearchId, result: Result<Found, SearchFault>) {
        // A server that said nothing at all for so long is gone, whatever TCP thinks.
        if let Err(SearchFault::Timeout(within)) = &result
            && self.clock.elapsed().since(self.heard_at) >= *within
        {
            self.client.unbind();
        }
        if let Some(waiting) = self.waiting.remove(&search) {
            // Whoever asked may have given up.
            let _ = waiting.send(result);
        }
    }

    /// Waits for the next thing to happen, and tells the client. May be cancelled at any time.
    pub(super) async fn turn(&mut self) {
        if std::mem::take(&mut self.state.start_tls) {
            return self.start_tls().await;
        }
        let wake =
            self.wake.map_or_else(|| tokio::time::Instant::now() + IDLE, |wake| self.clock.instant(wake));
        let mut heard = [0; READ];
        let (mut reader, mut writer) = tokio::io::split(&mut self.io);
        let outgoing = &mut self.outgoing;
        let writes = !outgoing.is_empty() || self.unflushed;
        let write = async {
            if outgoing.is_empty() {
                // rustls keeps what the socket does not take at once: it goes out by flushing.
                Event::Flushed(writer.flush().await.is_ok())
            } else {
                Event::Written(matches!(writer.write_buf(outgoing).await, Ok(written) if written > 0))
            }
        };
        let event = tokio::select! {
            event = write, if writes => event,
            read = reader.read(&mut heard) => Event::Read(read),
            () = sleep_until(wake) => Event::Woken,
        };
        let now = self.clock.elapsed();
        match event {
            Event::Written(true) => self.unflushed = true,
            Event::Flushed(true) => self.unflushed = false,
            Event::Written(false) | Event::Flushed(false) | Event::Read(Ok(0) | Err(_)) => {
                self.client.handle(now, Input::PeerClosed);
            }
            Event::Read(Ok(read)) => {
                self.heard_at = now;
                self.client.handle(now, Input::Bytes(heard.get(..read).unwrap_or_default()));
            }
            Event::Woken => self.client.handle(now, Input::Timeout),
        }
    }

    async fn start_tls(&mut self) {
        let plain = std::mem::replace(&mut self.io, Box::new(tokio::io::empty()));
        let shaken = shake(plain, &self.handshake, &self.name).await;
        let now = self.clock.elapsed();
        match shaken {
            Ok(stream) => {
                self.io = stream;
                self.client.handle(now, Input::TlsDone);
            }
            Err(why) => {
                self.state.tls_fault = Some(why);
                self.client.handle(now, Input::PeerClosed);
            }
        }
    }

    /// Takes leave, but not for long.
    pub(super) async fn leave(mut self) {
        self.client.unbind();
        self.gather();
        let _ = timeout(LEAVE, async {
            let _ = self.io.write_all_buf(&mut self.outgoing).await;
            let _ = self.io.flush().await;
            let _ = self.io.shutdown().await;
        })
        .await;
    }
}
