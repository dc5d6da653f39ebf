//! One connection to a next hop: the client session, driven over a stream.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use config_schema::Config;
use rustls::pki_types::ServerName;
use smtp::{
    Time,
    client::{
        Action, Actions, ClientConfig, Failure, Input, Outcome, Session, Stage, TlsPolicy, Transaction,
    },
};
use store::spool::Body;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout_at,
};
use tokio_rustls::TlsConnector;

use crate::{
    clock::Clock,
    route::{Hop, HopHost},
    tls::client::{Check, Handshake, TlsClient},
    transport::{ByteStream, ConnectFault, Stream},
};

/// How long a TCP connection may take to open; then the next address is tried.
pub(super) const CONNECT: Duration = Duration::from_secs(30);
/// Octets read at a time.
const READ: usize = 4096;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenFault {
    #[error(transparent)]
    Connect(#[from] ConnectFault),
    /// The dialogue failed; with what was wrong with the certificate, if that was it.
    #[error("{failure}{}", certificate.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    Dialogue { failure: Failure, certificate: Option<String> },
}

/// How a connection is to be protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Protection {
    pub(super) policy: TlsPolicy,
    pub(super) check: Check,
}

/// How a connection was protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protected {
    Plain,
    /// By TLS, with whoever it was.
    Unverified,
    /// By TLS, with a host whose name a root vouches for.
    ByName,
    /// By TLS, with the host that TLSA records name.
    ByDane,
}

impl Protected {
    pub(super) fn name(self) -> &'static str {
        match self {
            Protected::Plain => "none",
            Protected::Unverified => "unverified",
            Protected::ByName => "name",
            Protected::ByDane => "dane",
        }
    }
}

/// An open connection.
pub(super) struct Connection {
    io: Box<dyn ByteStream>,
    session: Session,
    actions: Actions,
    clock: Clock,
    hop: Hop,
    check: Check,
    handshake: Handshake,
    pub(super) opened: Time,
    pub(super) transactions: u32,
    state: State,
}

/// A body on its way.
struct Reading {
    body: Body,
    left: u64,
}

/// What the session wants, as gathered from its actions.
struct State {
    outgoing: BytesMut,
    wake: Time,
    ready: bool,
    start_tls: bool,
    wants_body: bool,
    outcome: Option<Outcome>,
    closed: Option<Result<(), Failure>>,
}

impl Connection {
    /// Shakes hands over a stream to `hop` until a transaction may begin.
    pub(super) async fn open(
        stream: Stream,
        tls: &TlsClient,
        clock: &Clock,
        config: &Config,
        hop: &Hop,
        protection: &Protection,
    ) -> Result<Connection, OpenFault> {
        let now = clock.elapsed();
        let reply_line = usize::try_from(config.limits.reply_line.bytes()).unwrap_or(usize::MAX);
        let mut config = ClientConfig::new(config.network.hostname.clone());
        (config.tls, config.reply_line) = (protection.policy, reply_line);
        let mut actions = Actions::default();
        let session = Session::new(Arc::new(config), now, &mut actions);
        let state = State {
            outgoing: BytesMut::new(),
            wake: now,
            ready: false,
            start_tls: false,
            wants_body: false,
            outcome: None,
            closed: None,
        };
        let mut connection = Connection {
            io: stream.io,
            session,
            actions,
            clock: clock.clone(),
            hop: hop.clone(),
            check: protection.check.clone(),
            handshake: tls.handshake(&protection.check),
            opened: now,
            transactions: 0,
            state,
        };
        connection.until(|state| state.ready, &mut None).await;
        match connection.state.closed.take() {
            None => Ok(connection),
            Some(result) => {
                let failure = result.err().unwrap_or(Failure::Closed(Stage::Greeting));
                let certificate = connection.handshake.refusal().map(str::to_owned);
                Err(OpenFault::Dialogue { failure, certificate })
            }
        }
    }

    pub(super) fn hop(&self) -> &Hop {
        &self.hop
    }

    /// How it is protected, for the log.
    pub(super) fn protected(&self) -> Protected {
        match (self.session.is_tls(), &self.check) {
            (false, _) => Protected::Plain,
            (true, Check::Nobody) => Protected::Unverified,
            (true, Check::Name) => Protected::ByName,
            (true, Check::Dane(_)) => Protected::ByDane,
        }
    }

    /// Whether another transaction may be handed in.
    pub(super) fn is_ready(&self) -> bool {
        self.state.closed.is_none() && self.session.is_ready()
    }

    /// Sends a message.
    pub(super) async fn deliver(&mut self, transaction: Transaction, body: Body) -> Outcome {
        let recipients = transaction.recipients.len();
        let body = Some(Reading { left: body.size(), body });
        self.transact(recipients, Input::Deliver(transaction), body).await
    }

    /// Asks about recipients and sends nothing.
    pub(super) async fn probe(&mut self, transaction: Transaction) -> Outcome {
        self.transact(transaction.recipients.len(), Input::Probe(transaction), None).await
    }

    async fn transact(&mut self, recipients: usize, input: Input<'_>, mut body: Option<Reading>) -> Outcome {
        self.transactions = self.transactions.saturating_add(1);
        self.state.ready = false;
        self.state.outcome = None;
        self.input(input);
        self.until(|state| state.outcome.is_some(), &mut body).await;
        // The session's next word after an outcome, Ready or Close, stands among the same actions.
        self.gather();
        let lost = || Outcome {
            recipients: vec![None; recipients],
            result: Err(Failure::Closed(Stage::Mail)),
            dsn: false,
        };
        self.state.outcome.take().unwrap_or_else(lost)
    }

    /// Returns when the connection is of no more use: the server closed it or said something unasked.
    pub(super) async fn idle(&mut self) {
        self.until(|_| false, &mut None).await;
    }

    /// Says QUIT and waits for the answer, but not for long.
    pub(super) async fn quit(mut self) {
        if self.state.closed.is_none() {
            self.input(Input::Quit);
            self.until(|_| false, &mut None).await;
        }
        let _ =
            timeout_at(self.clock.instant(self.clock.elapsed() + Duration::from_secs(1)), self.io.shutdown())
                .await;
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle(self.clock.elapsed(), input, &mut self.actions);
    }

    /// Does what the session wants until `done`, or until it is closed.
    async fn until(&mut self, done: impl Fn(&State) -> bool, body: &mut Option<Reading>) {
        loop {
            self.gather();
            if !self.state.outgoing.is_empty() {
                self.write().await;
            } else if self.state.closed.is_some() || done(&self.state) {
                return;
            } else if std::mem::take(&mut self.state.start_tls) {
                self.start_tls().await;
            } else if std::mem::take(&mut self.state.wants_body) {
                self.feed(body).await;
            } else {
                self.read().await;
            }
        }
    }

    fn gather(&mut self) {
        while let Some(action) = self.actions.pop() {
            let state = &mut self.state;
            match action {
                Action::Write(octets) => state.outgoing.extend_from_slice(&octets),
                Action::StartTls => state.start_tls = true,
                Action::Ready => state.ready = true,
                Action::WantBody => state.wants_body = true,
                Action::Done(outcome) => state.outcome = Some(outcome),
                Action::WakeAt(time) => state.wake = time,
                Action::Close(result) => state.closed = Some(result),
            }
        }
    }

    /// Writes what is to be written; meanwhile hears what the server says, which may be that it wants no more.
    async fn write(&mut self) {
        let mut outgoing = std::mem::take(&mut self.state.outgoing);
        while !outgoing.is_empty() {
            let wake = self.clock.instant(self.state.wake);
            let closed = self.state.closed.is_some();
            let mut heard = [0; READ];
            let (mut reader, mut writer) = tokio::io::split(&mut self.io);
            tokio::select! {
                biased;
                written = writer.write_buf(&mut outgoing) => {
                    if !matches!(written, Ok(n) if n > 0) {
                        self.input(Input::PeerClosed);
                        break;
                    }
                }
                read = reader.read(&mut heard), if self.session.wants_read() && !closed => self.heard(read, &heard),
                () = tokio::time::sleep_until(wake) => self.input(Input::Timeout),
            }
            self.gather();
            // What stands behind the end of a failed session (QUIT) is said if it can be said at once.
            if self.state.closed.is_some() && !closed {
                outgoing.clear();
            }
        }
        if !outgoing.is_empty() {
            return;
        }
        // rustls keeps what the socket does not take at once: it goes out by flushing.
        let wake = self.clock.instant(self.state.wake);
        if !matches!(timeout_at(wake, self.io.flush()).await, Ok(Ok(()))) && self.state.closed.is_none() {
            self.input(Input::PeerClosed);
        }
    }

    async fn read(&mut self) {
        let wake = self.clock.instant(self.state.wake);
        let mut heard = [0; READ];
        match timeout_at(wake, self.io.read(&mut heard)).await {
            Err(_) => self.input(Input::Timeout),
            Ok(read) => self.heard(read, &heard),
        }
    }

    fn heard(&mut self, read: std::io::Result<usize>, octets: &[u8]) {
        match read {
            Ok(0) | Err(_) => self.input(Input::PeerClosed),
            Ok(n) => self.input(Input::Bytes(octets.get(..n).unwrap_or_default())),
        }
    }

    async fn start_tls(&mut self) {
        let asked = match &self.check {
            Check::Dane(dane) => dane.names.first(),
            Check::Nobody | Check::Name => None,
        };
        let name = match (asked, &self.hop.host) {
            (Some(name), _) | (None, HopHost::Name(name)) => {
                ServerName::try_from(name.as_str().to_owned()).ok()
            }
            (None, HopHost::Address(address)) => Some(ServerName::from(*address)),
        };
        let Some(name) = name else { return self.input(Input::TlsFailed) };
        let wake = self.clock.instant(self.state.wake);
        let plain = std::mem::replace(&mut self.io, Box::new(tokio::io::empty()));
        let connector = TlsConnector::from(self.handshake.config.clone());
        match timeout_at(wake, connector.connect(name, plain)).await {
            Ok(Ok(stream)) => {
                self.io = Box::new(stream);
                self.input(Input::TlsDone);
            }
            _ => self.input(Input::TlsFailed),
        }
    }

    /// Hands in the next piece of the body. Reading it blocks on the disk, so it is done beside the runtime.
    async fn feed(&mut self, body: &mut Option<Reading>) {
        let Some(mut reading) = body.take() else { return self.input(Input::BodyFailed) };
        let read = tokio::task::spawn_blocking(move || {
            let piece = reading.body.next();
            (reading, piece)
        });
        match read.await {
            Ok((mut rest, piece)) => match piece.unwrap_or(Ok(Bytes::new())) {
                Ok(chunk) => {
                    rest.left = rest.left.saturating_sub(chunk.len() as u64);
                    // A body that ends before its size is damaged, and must not end in the server's eyes.
                    let short = chunk.is_empty() && rest.left > 0;
                    let last = rest.left == 0;
                    *body = Some(rest);
                    self.input(if short { Input::BodyFailed } else { Input::Body { chunk, last } });
                }
                Err(_) => self.input(Input::BodyFailed),
            },
            Err(_) => self.input(Input::BodyFailed),
        }
    }
}
