//! A next hop that answers as Exchange Online does: a developers' tool for the demonstration and the tests.
//!
//! [`session`] is the dialogue, without sockets or clock; this file gives it threads, sockets and TLS.
//! What it receives comes out of [`Exchange::received`]; nothing is stored or sent on.

pub mod session;
mod tls;

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
use session::{Action, Session};
pub use session::{Received, Recipients, Tenant};

/// How many connections are served at a time; one more gets 421 4.3.2.
pub const CONNECTIONS_MAX: usize = 64;

/// How long a silent client is waited for (RFC 5321 §4.5.3.2.7).
const SILENCE_MAX: Duration = Duration::from_secs(5 * 60);

/// A running next hop. Dropping it stops accepting; connections that are open go on to their end.
#[derive(Debug)]
pub struct Exchange {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    received: Mutex<Receiver<Received>>,
    stopping: Arc<AtomicBool>,
}

impl Exchange {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken, or no certificate can be made.
    pub fn listen(address: SocketAddr, tenant: Tenant) -> Result<Self> {
        let (tls, certificate) = tls::config().map_err(|error| Error::Certificate(error.to_string()))?;
        let listener = TcpListener::bind(address).doing(|| format!("the next hop: listen on {address}"))?;
        let address = listener.local_addr().doing(|| "the next hop: read the address")?;
        let (sender, received) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let accepting = Accepting { tenant: Arc::new(tenant), tls, sender, stopping: Arc::clone(&stopping) };
        thread::spawn(move || accepting.run(&listener));
        Ok(Exchange { address, certificate, received: Mutex::new(received), stopping })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shows in the handshake.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
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

struct Accepting {
    tenant: Arc<Tenant>,
    tls: Arc<ServerConfig>,
    sender: Sender<Received>,
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
            let (open, tenant) = (Arc::clone(&open), Arc::clone(&self.tenant));
            let (tls, sender) = (Arc::clone(&self.tls), self.sender.clone());
            thread::spawn(move || {
                // What ends a connection is the client's affair, and shows in what it logs.
                let _ = serve(stream, tenant, &tls, &sender);
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
                Ok(Wire::Tls(Box::new(StreamOwned::new(connection, stream))))
            }
            tls @ Wire::Tls(_) => Ok(tls),
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

fn serve(
    stream: TcpStream,
    tenant: Arc<Tenant>,
    tls: &Arc<ServerConfig>,
    sender: &Sender<Received>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    let mut wire = Wire::Plain(stream);
    let (mut session, greeting) = Session::new(tenant, peer, SystemTime::now());
    wire.write(&greeting)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = wire.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        for action in session.receive(&buffer[..count], SystemTime::now()) {
            match action {
                Action::Write(bytes) => wire.write(&bytes)?,
                Action::StartTls => wire = wire.start_tls(tls)?,
                // Nobody waits for messages any more: the client's 250 stays true, as nothing is promised here.
                Action::Deliver(received) => drop(sender.send(*received)),
                Action::Close => return Ok(()),
            }
        }
    }
}
