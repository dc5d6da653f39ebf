//! A next hop that answers as Exchange Online does: a developers' tool for the demonstration and the tests.
//!
//! [`session`] is the dialogue, without sockets or clock; this file gives it threads, sockets and TLS. How it behaves
//! beyond taking mail is an [`Organisation`]'s [`Script`], which may change while it runs.
//! What it receives comes out of [`Exchange::received`]; what it sends out goes to the host that was named for it.

mod organisation;
mod outbound;
mod received;
mod refusal;
pub mod session;
mod tls;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Doing, Error, Result};
pub use organisation::{Break, Connector, Organisation, Recipients, Script, Tenant};
pub use outbound::Outgoing;
pub use received::Received;
pub use refusal::Refusal;
use session::{Action, Session};
pub use tls::Shown;

/// How many connections are served at a time; one more gets 421 4.3.2.
pub const CONNECTIONS_MAX: usize = 64;

/// How long a silent client is waited for (RFC 5321 §4.5.3.2.7).
const SILENCE_MAX: Duration = Duration::from_secs(5 * 60);

/// A running next hop. Dropping it stops accepting; connections that are open go on to their end.
#[derive(Debug)]
pub struct Exchange {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    organisation: Arc<Organisation>,
    received: Mutex<Receiver<Received>>,
    stopping: Arc<AtomicBool>,
}

impl Exchange {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken, or no certificate can be made.
    pub fn listen(address: SocketAddr, tenant: Tenant) -> Result<Self> {
        Self::listen_as(address, Organisation::new(tenant, Script::default()), None)
    }

    /// The same for any organisation; its own mail goes to the host at `outbound`, or nowhere.
    ///
    /// # Errors
    /// When the address is taken, or no certificate can be made.
    pub fn listen_as(
        address: SocketAddr,
        organisation: Organisation,
        outbound: Option<SocketAddr>,
    ) -> Result<Self> {
        let organisation = Arc::new(organisation);
        let (tls, certificate) = tls::config().map_err(|error| Error::Certificate(error.to_string()))?;
        let listener = TcpListener::bind(address).doing(|| format!("the next hop: listen on {address}"))?;
        let address = listener.local_addr().doing(|| "the next hop: read the address")?;
        let (sender, received) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let server = Server { organisation: Arc::clone(&organisation), tls, sender, outbound };
        let accepting = Accepting { server, stopping: Arc::clone(&stopping) };
        thread::spawn(move || accepting.run(&listener));
        Ok(Exchange { address, certificate, organisation, received: Mutex::new(received), stopping })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shows in the handshake.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Who is behind it, to change how it behaves.
    pub fn organisation(&self) -> &Organisation {
        &self.organisation
    }

    /// The next message that was answered with 250; `None` when none came within `wait`.
    pub fn received(&self, wait: Duration) -> Option<Received> {
        // A thread that panicked while waiting has left the channel whole.
        let received = self.received.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        received.recv_timeout(wait).ok()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes the thread that accepts; when this fails, it is not waiting any more.
        let _ = TcpStream::connect(self.address);
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Server {
    organisation: Arc<Organisation>,
    tls: Arc<ServerConfig>,
    sender: Sender<Received>,
    outbound: Option<SocketAddr>,
}

struct Accepting {
    server: Server,
    stopping: Arc<AtomicBool>,
}

impl Accepting {
    fn run(self, listener: &TcpListener) {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming() {
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            if open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::AcqRel);
                // The client may be gone already: nothing to do for it then.
                let _ = stream.write_all(session::TOO_MANY_CONNECTIONS.as_bytes());
                continue;
            }
            let (open, server) = (Arc::clone(&open), self.server.clone());
            thread::spawn(move || {
                // What ends a connection is the client's affair, and shows in what it logs.
                let _ = server.serve(stream);
                open.fetch_sub(1, Ordering::AcqRel);
            });
        }
    }
}

/// Plain until STARTTLS.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn start_tls(self, config: &Arc<ServerConfig>) -> io::Result<Self> {
        match self {
            Wire::Plain(stream) => {
                let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(connection, stream);
                stream.conn.complete_io(&mut stream.sock)?;
                Ok(Wire::Tls(Box::new(stream)))
            }
            tls @ Wire::Tls(_) => Ok(tls),
        }
    }

    /// The certificate that the client showed.
    fn shown(&self) -> Shown {
        match self {
            Wire::Plain(_) => Shown::default(),
            Wire::Tls(stream) => {
                let shown = stream.conn.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
                shown.map(Shown::of).unwrap_or_default()
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

impl Server {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        let mut wire = Wire::Plain(stream);
        let (mut session, greeting) = Session::new(Arc::clone(&self.organisation), peer, SystemTime::now());
        wire.write(&greeting)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = wire.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let mut actions: VecDeque<Action> = session.receive(&buffer[..count], SystemTime::now()).into();
            while let Some(action) = actions.pop_front() {
                match action {
                    Action::Write(bytes) => wire.write(&bytes)?,
                    Action::StartTls => {
                        wire = wire.start_tls(&self.tls)?;
                        actions.extend(session.tls_done(wire.shown(), SystemTime::now()));
                    }
                    // Nobody waits for messages any more: the client's 250 stays true, as nothing is promised here.
                    Action::Deliver(received) => drop(self.sender.send(*received)),
                    Action::SendOut(outgoing) => self.send_out(outgoing),
                    Action::Close => return Ok(()),
                }
            }
        }
    }

    /// In a thread of its own: the host that it goes to may be the one that waits for our reply.
    fn send_out(&self, outgoing: Box<Outgoing>) {
        let Some(to) = self.outbound else { return };
        thread::spawn(move || {
            if let Err(error) = outgoing.send(to) {
                eprintln!("the next hop: mail for {} was not taken: {error}", outgoing.recipient);
            }
        });
    }
}

#[cfg(test)]
mod tests;
