//! Logins that a mail server checks: a connection for each, over TLS, closed when the server has answered.
//!
//! What is said, and what the answers mean, is `directory::login::mailbox`'s; here octets are carried and servers are
//! tried in turn.

use std::{sync::Arc, time::Duration};

use config_schema::{
    Route, RouteHost,
    user_lookup::mailbox::{Mailbox, Server},
};
use directory::login::{
    Credentials,
    mailbox::{Action, Input, Outcome, Session, Unavailable},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::outside::Outside;
use crate::{
    clock::Clock,
    route::{self, Hop, Target},
    tls::client::{Check, TlsClient},
    transport::ByteStream,
};

/// Logins that are checked at a time; further ones wait.
pub const LOGINS_MAX: usize = 16;
/// How long opening a connection to one address may take.
const OPEN: Duration = Duration::from_secs(10);
/// How long closing may take.
const LEAVE: Duration = Duration::from_secs(1);
/// Octets read at a time.
const READ: usize = 4 * 1024;

/// A handle on the servers of one user lookup; clones mean the same.
#[derive(Debug, Clone)]
pub struct MailboxLogins(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mailbox: Mailbox,
    outside: Outside,
    logins: Semaphore,
}

impl MailboxLogins {
    /// Servers that are connected to when somebody logs in.
    pub fn new(mailbox: Mailbox, outside: Outside) -> MailboxLogins {
        MailboxLogins(Arc::new(Inner { mailbox, outside, logins: Semaphore::new(LOGINS_MAX) }))
    }

    /// The configuration that it was made of.
    pub fn config(&self) -> &Mailbox {
        &self.0.mailbox
    }

    /// Whether a server takes these. What one server says of the password counts; the next is asked only where it
    /// says nothing.
    pub async fn log_in(&self, credentials: &Credentials) -> Outcome {
        let Ok(_permit) = self.0.logins.acquire().await else {
            return unreachable("the gateway is shutting down");
        };
        let mut last = unreachable("no server has an address");
        for server in &self.0.mailbox.servers {
            match self.at_server(server, credentials).await {
                outcome @ (Outcome::Unavailable(_) | Outcome::Misbehaved(_)) => last = outcome,
                outcome => return outcome,
            }
        }
        last
    }

    async fn at_server(&self, server: &Server, credentials: &Credentials) -> Outcome {
        let Inner { mailbox, outside, .. } = &*self.0;
        let port = server.port(mailbox.protocol, mailbox.security);
        // With a port, a name means its addresses, and never an exchange for its mail.
        let route = Route { host: server.host().clone(), port: Some(port), priority: 0 };
        let own = (outside.own)();
        let hops = route::find(&outside.resolver, &own, Target::Configured(&[route]), &mut || 0).await;
        let mut last = match &hops {
            Ok(_) => unreachable("it has no address"),
            Err(fault) => unreachable(&fault.to_string()),
        };
        for hop in hops.iter().flatten().take(route::ADDRESSES_MAX) {
            match outside.transport.connect(hop.address, OPEN).await {
                Ok(stream) => return self.converse(stream.io, server, hop, credentials).await,
                Err(fault) => last = unreachable(&fault.to_string()),
            }
        }
        last
    }

    /// One conversation over a stream that was just opened.
    async fn converse(
        &self,
        io: Box<dyn ByteStream>,
        server: &Server,
        hop: &Hop,
        credentials: &Credentials,
    ) -> Outcome {
        let Inner { mailbox, outside, .. } = &*self.0;
        let now = outside.clock.elapsed();
        let (session, actions) = Session::new(mailbox.protocol, mailbox.security, credentials.clone(), now);
        let wake = Instant::now() + OPEN;
        let mut wire = Wire { io, session, clock: outside.clock.clone(), wake };
        wire.run(actions, &outside.tls, &server_name(server, hop)).await
    }
}

/// Whom the certificate has to name: what was configured, not what DNS made of it.
fn server_name(server: &Server, hop: &Hop) -> ServerName<'static> {
    let by_name = match server.host() {
        RouteHost::Name(name) => ServerName::try_from(name.as_str().to_owned()).ok(),
        RouteHost::Address(_) => None,
    };
    by_name.unwrap_or_else(|| ServerName::from(hop.address.ip()))
}

fn unreachable(why: &str) -> Outcome {
    Outcome::Unavailable(Unavailable::Unreachable(why.into()))
}

/// A conversation and the stream that it is held over.
struct Wire {
    io: Box<dyn ByteStream>,
    session: Session,
    clock: Clock,
    wake: Instant,
}

impl Wire {
    async fn run(
        &mut self,
        mut actions: Vec<Action>,
        tls: &TlsClient,
        name: &ServerName<'static>,
    ) -> Outcome {
        loop {
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Write(octets) => next.extend(self.write(&octets).await),
                    Action::WakeAt(time) => self.wake = self.clock.instant(time),
                    Action::StartTls => {
                        let input = self.shake(tls, name).await;
                        next.extend(self.input(input));
                    }
                    Action::Done(outcome) => {
                        let _ = timeout(LEAVE, self.io.shutdown()).await;
                        return outcome;
                    }
                }
            }
            actions = if next.is_empty() { self.read().await } else { next };
        }
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Action> {
        self.session.handle(self.clock.elapsed(), input)
    }

    async fn write(&mut self, octets: &[u8]) -> Vec<Action> {
        let written = async {
            self.io.write_all(octets).await?;
            // rustls keeps what the socket does not take at once: it goes out by flushing.
            self.io.flush().await
        };
        match timeout_at(self.wake, written).await {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(_)) => self.input(Input::PeerClosed),
            Err(_) => self.input(Input::Timeout),
        }
    }

    async fn read(&mut self) -> Vec<Action> {
        let mut heard = [0; READ];
        match timeout_at(self.wake, self.io.read(&mut heard)).await {
            Err(_) => self.input(Input::Timeout),
            Ok(Ok(read)) if read > 0 => self.input(Input::Bytes(heard.get(..read).unwrap_or_default())),
            Ok(_) => self.input(Input::PeerClosed),
        }
    }

    async fn shake(&mut self, tls: &TlsClient, name: &ServerName<'static>) -> Input<'static> {
        let plain = std::mem::replace(&mut self.io, Box::new(tokio::io::empty()));
        let connector = TlsConnector::from(tls.handshake(&Check::Name).config);
        match timeout_at(self.wake, connector.connect(name.clone(), plain)).await {
            Ok(Ok(stream)) => {
                self.io = Box::new(stream);
                Input::TlsDone
            }
            Ok(Err(_)) => Input::TlsFailed,
            Err(_) => Input::Timeout,
        }
    }
}

#[cfg(test)]
mod tests;
