//! A network in memory, for tests: what answers at an address is a function or a task.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::DuplexStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{Boxed, ConnectFault, Datagrams, Stream, Transport};

/// Bytes in flight in each direction of a connection.
const PIPE: usize = 64 * 1024;

type Responder = Arc<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync>;

/// Where connections to an address come out.
type Door = UnboundedSender<DuplexStream>;

/// The network; clones are the same network. An address where nothing is refuses.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    responders: Arc<Mutex<HashMap<SocketAddr, Responder>>>,
    doors: Arc<Mutex<HashMap<SocketAddr, Door>>>,
    silent: Arc<Mutex<HashSet<SocketAddr>>>,
    /// Every connection that was tried.
    pub(crate) tried: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Memory {
    /// Answers each datagram to `at` with those that `respond` returns.
    pub(crate) fn respond(
        &self,
        at: SocketAddr,
        respond: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) {
        self.responders.lock().unwrap().insert(at, Arc::new(respond));
    }

    /// Connections to `at` come out of the returned end.
    pub(crate) fn listen(&self, at: SocketAddr) -> UnboundedReceiver<DuplexStream> {
        let (door, connections) = unbounded_channel();
        self.doors.lock().unwrap().insert(at, door);
        connections
    }

    /// Connections to `at` are never answered.
    pub(crate) fn hush(&self, at: SocketAddr) {
        self.silent.lock().unwrap().insert(at);
    }

    async fn open(&self, to: SocketAddr, deadline: Duration) -> Result<Stream, ConnectFault> {
        self.tried.lock().unwrap().push(to);
        if self.silent.lock().unwrap().contains(&to) {
            tokio::time::sleep(deadline).await;
            return Err(ConnectFault::Timeout(deadline));
        }
        let door = self.doors.lock().unwrap().get(&to).cloned();
        match door {
            Some(door) => {
                let (ours, theirs) = tokio::io::duplex(PIPE);
                door.send(theirs).map_err(|_| ConnectFault::Refused)?;
                Ok(Stream { io: Box::new(ours), local: "192.0.2.1:40000".parse().unwrap(), peer: to })
            }
            None => Err(ConnectFault::Refused),
        }
    }
}

impl Transport for Memory {
    fn connect(&self, to: SocketAddr, deadline: Duration) -> Boxed<'_, Result<Stream, ConnectFault>> {
        Box::pin(self.open(to, deadline))
    }

    fn udp(&self, to: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Datagrams>>> {
        let responder = self.responders.lock().unwrap().get(&to).cloned();
        Box::pin(async move {
            let (answers, received) = unbounded_channel();
            let received = tokio::sync::Mutex::new(received);
            Ok(Box::new(Flow { responder, answers, received }) as Box<dyn Datagrams>)
        })
    }
}

struct Flow {
    responder: Option<Responder>,
    answers: UnboundedSender<Vec<u8>>,
    received: tokio::sync::Mutex<UnboundedReceiver<Vec<u8>>>,
}

impl Datagrams for Flow {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> Boxed<'a, io::Result<()>> {
        Box::pin(async move {
            let answers = self.responder.as_ref().map(|respond| respond(datagram)).unwrap_or_default();
            for answer in answers {
                self.answers.send(answer).unwrap();
            }
            Ok(())
        })
    }

    fn recv<'a>(&'a self, into: &'a mut [u8]) -> Boxed<'a, io::Result<usize>> {
        Box::pin(async move {
            let datagram = self.received.lock().await.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
            let len = datagram.len().min(into.len());
            into[..len].copy_from_slice(&datagram[..len]);
            Ok(len)
        })
    }
}
