//! The client half of `net`: connections as Unix streams, over the control socket.
//!
//! One task ([`link`]) owns the control socket. If it ends, every request fails with
//! [`ConnectError::NetworkGone`] and [`Notices`] ends: the role then ends too, and is started anew with `net`.

pub(crate) mod configure;
mod datagrams;
mod link;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use net::control::{
    Class, EndReason, FailReason, FlowId, FromNet, Lease, ListenLimits, ListenerId, RequestId, ToNet,
};
use tokio::{
    io::unix::AsyncFd,
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
};

pub use datagrams::Datagrams;

/// Connections of one listener that wait to be taken; one more is closed at once.
const BACKLOG_MAX: usize = 1_024;

/// Messages to `net` that wait for room on the control socket; the asker waits beyond it.
const OUTGOING_MAX: usize = 1_024;

/// `Connect` and `Udp` requests without an answer.
const REQUESTS_MAX: usize = 4_096;

/// Notices that wait for the gateway's main task; the link waits beyond it.
const NOTICES_MAX: usize = 256;

/// A handle to the network; cheap to clone.
#[derive(Debug, Clone)]
pub struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    outgoing: mpsc::Sender<ToNet>,
    next_request: AtomicU32,
    next_listener: AtomicU32,
    requests: Mutex<HashMap<RequestId, oneshot::Sender<Answer>>>,
    listeners: Mutex<HashMap<ListenerId, mpsc::Sender<Accepted>>>,
    /// One entry for each flow that has not ended; `net` bounds how many there are.
    flows: Mutex<HashMap<FlowId, Arc<OnceLock<End>>>>,
    lease: watch::Sender<Option<Lease>>,
}

type Answer = Result<Opened, FailReason>;

#[derive(Debug)]
struct Opened {
    flow: FlowId,
    local: SocketAddr,
    fd: OwnedFd,
    end: Arc<OnceLock<End>>,
}

/// How a flow ended, and what it carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub reason: EndReason,
    /// Bytes of the peer's that reached us.
    pub received: u64,
    /// Bytes of ours that the peer acknowledged.
    pub sent: u64,
    /// Microseconds; 0 when none was measured.
    pub rtt_us: u32,
    pub retransmits: u32,
}

/// A connection from outside.
#[derive(Debug)]
pub struct Accepted {
    pub stream: UnixStream,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub flow: Flow,
}

/// A connection that we opened.
#[derive(Debug)]
pub struct Connection {
    pub stream: UnixStream,
    pub local: SocketAddr,
    pub flow: Flow,
}

/// What may be asked of a flow beside its bytes.
#[derive(Debug, Clone)]
pub struct Flow {
    id: FlowId,
    end: Arc<OnceLock<End>>,
    network: Network,
}

/// Why no connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Failed(#[from] FailReason),
    #[error("more than {REQUESTS_MAX} connections are being opened")]
    TooManyRequests,
    #[error("the network role is gone")]
    NetworkGone,
}

/// What `net` says without having been asked.
#[derive(Debug)]
pub struct Notices(mpsc::Receiver<FromNet>);

/// The connections to one port.
#[derive(Debug)]
pub struct Listener {
    id: ListenerId,
    accepted: mpsc::Receiver<Accepted>,
    network: Network,
}

impl Network {
    /// Takes over the control socket. Must be called inside the runtime.
    pub fn start(control: OwnedFd) -> io::Result<(Network, Notices)> {
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        let (notices, receiver) = mpsc::channel(NOTICES_MAX);
        let network = Network(Arc::new(Shared {
            outgoing,
            next_request: AtomicU32::new(1),
            next_listener: AtomicU32::new(1),
            requests: Mutex::default(),
            listeners: Mutex::default(),
            flows: Mutex::default(),
            lease: watch::Sender::new(None),
        }));
        link::spawn(control, network.clone(), queue, notices)?;
        Ok((network, Notices(receiver)))
    }

    /// Sends a message that has no answer of its own.
    pub async fn tell(&self, message: ToNet) -> Result<(), ConnectError> {
        self.0.outgoing.send(message).await.map_err(|_| ConnectError::NetworkGone)
    }

    /// Takes connections to `port` on every address of ours.
    pub async fn listen(&self, port: u16, limits: ListenLimits) -> Result<Listener, ConnectError> {
        let id = ListenerId(self.0.next_listener.fetch_add(1, Ordering::Relaxed));
        let (sender, accepted) = mpsc::channel(BACKLOG_MAX);
        lock(&self.0.listeners).insert(id, sender);
        self.tell(ToNet::Listen { id, address: None, port, limits }).await?;
        Ok(Listener { id, accepted, network: self.clone() })
    }

    /// Opens a TCP connection, within `deadline`.
    pub async fn connect(&self, to: SocketAddr, deadline: Duration) -> Result<Connection, ConnectError> {
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let opened = self.request(|id| ToNet::Connect { id, to, from: None, deadline_ms }).await?;
        let stream = stream(opened.fd).map_err(|_| ConnectError::NetworkGone)?;
        let flow = Flow { id: opened.flow, end: opened.end, network: self.clone() };
        Ok(Connection { stream, local: opened.local, flow })
    }

    /// Opens a UDP flow to one peer, from a random port.
    pub async fn udp(&self, to: SocketAddr) -> Result<Datagrams, ConnectError> {
        let opened = self.request(|id| ToNet::Udp { id, to }).await?;
        Datagrams::new(opened.fd, opened.local).map_err(|_| ConnectError::NetworkGone)
    }

    /// Keeps what DHCP gave, for whoever needs its servers.
    pub(crate) fn learn(&self, lease: Option<Lease>) {
        self.0.lease.send_replace(lease);
    }

    /// What DHCP gave last; changes with each lease.
    pub fn lease(&self) -> watch::Receiver<Option<Lease>> {
        self.0.lease.subscribe()
    }

    async fn request(&self, message: impl FnOnce(RequestId) -> ToNet) -> Result<Opened, ConnectError> {
        let id = RequestId(self.0.next_request.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        {
            let mut requests = lock(&self.0.requests);
            if requests.len() >= REQUESTS_MAX {
                return Err(ConnectError::TooManyRequests);
            }
            requests.insert(id, sender);
        }
        // A caller that gives up leaves no entry behind.
        let _forget = Forget { network: self, id };
        self.tell(message(id)).await?;
        Ok(answer.await.map_err(|_| ConnectError::NetworkGone)??)
    }
}

struct Forget<'a> {
    network: &'a Network,
    id: RequestId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.network.0.requests).remove(&self.id);
    }
}

impl Flow {
    /// How the flow ended, once it has; looked at after end of file, to tell a clean end from a broken one.
    pub fn end(&self) -> Option<End> {
        self.end.get().copied()
    }

    /// Asks for large buffers (DATA), or gives them back.
    pub fn class(&self, class: Class) {
        // Only a hint: with the control socket full, the flow stays as it is.
        let _ = self.network.0.outgoing.try_send(ToNet::Class { flow: self.id, class });
    }
}

impl Listener {
    /// The next connection; `None` once the network is gone.
    pub async fn accept(&mut self) -> Option<Accepted> {
        self.accepted.recv().await
    }

    /// Stops new connections; those accepted live on.
    pub async fn close(self) {
        lock(&self.network.0.listeners).remove(&self.id);
        let _ = self.network.tell(ToNet::Unlisten { id: self.id }).await;
    }
}

impl Notices {
    /// The next notice; `None` once the network is gone.
    pub async fn next(&mut self) -> Option<FromNet> {
        self.0.recv().await
    }
}

/// Has the runtime watch a descriptor that its type owns.
#[expect(deprecated, reason = "sound for types that own their descriptor, which the bound asks for")]
pub(crate) fn watched<T: AsFd + AsRawFd>(fd: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(fd)
}

fn stream(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// A panic elsewhere while the lock was held cannot leave these maps half changed: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
