//! The task that owns the control socket.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
};

use net::control::{self, FlowId, FromNet, MESSAGE_MAX, RequestId, ToNet, VERSION};
use sys::channel::{ChannelError, recv_with_fds, send_with_fds};
use tokio::{io::unix::AsyncFd, sync::mpsc};

use super::{Accepted, Answer, End, Flow, Network, Opened, lock, stream, watched};

/// Why the link ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Codec(#[from] control::CodecError),
    #[error("net speaks version {0}")]
    Version(u16),
    #[error("net did not say hello first")]
    NoHello,
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub(super) fn spawn(
    control: OwnedFd,
    network: Network,
    outgoing: mpsc::Receiver<ToNet>,
    notices: mpsc::Sender<FromNet>,
) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&control, true)?;
    let socket = Arc::new(watched(control)?);
    let link = Link { network, notices, greeted: false, packet: vec![0; MESSAGE_MAX] };
    tokio::spawn(async move {
        let network = link.network.clone();
        let result = tokio::select! {
            result = write(socket.clone(), outgoing) => result,
            result = link.read(socket.clone()) => result,
        };
        if let Err(error) = result {
            eprintln!("gateway: the control socket of net: {error}");
        }
        // Whoever waits learns of it by the dropped senders.
        lock(&network.0.requests).clear();
        lock(&network.0.listeners).clear();
    });
    Ok(())
}

async fn write(socket: Arc<AsyncFd<OwnedFd>>, mut outgoing: mpsc::Receiver<ToNet>) -> Result<(), LinkError> {
    write_one(&socket, &ToNet::Hello { version: VERSION }).await?;
    while let Some(message) = outgoing.recv().await {
        write_one(&socket, &message).await?;
    }
    Ok(())
}

async fn write_one(socket: &AsyncFd<OwnedFd>, message: &ToNet) -> Result<(), LinkError> {
    let packet = control::encode(message)?;
    loop {
        let mut ready = socket.writable().await?;
        match send_with_fds(socket.get_ref(), &packet, &[]) {
            Err(ChannelError::WouldBlock) => ready.clear_ready(),
            result => return Ok(result?),
        }
    }
}

struct Link {
    network: Network,
    notices: mpsc::Sender<FromNet>,
    greeted: bool,
    packet: Vec<u8>,
}

impl Link {
    async fn read(mut self, socket: Arc<AsyncFd<OwnedFd>>) -> Result<(), LinkError> {
        loop {
            let mut ready = socket.readable().await?;
            let taken = match recv_with_fds(socket.get_ref(), &mut self.packet) {
                Err(ChannelError::WouldBlock) => {
                    ready.clear_ready();
                    continue;
                }
                Err(ChannelError::Closed) => return Ok(()),
                taken => taken?,
            };
            let message = control::decode(self.packet.get(..taken.len).unwrap_or_default())?;
            self.handle(message, taken.fds.into_iter().next()).await?;
        }
    }

    async fn handle(&mut self, message: FromNet, fd: Option<OwnedFd>) -> Result<(), LinkError> {
        match message {
            FromNet::Hello { version: VERSION } => self.greeted = true,
            FromNet::Hello { version } => return Err(LinkError::Version(version)),
            _ if !self.greeted => return Err(LinkError::NoHello),
            FromNet::Accepted { listener, flow, peer, local } => {
                let Some(fd) = fd else { return Ok(()) };
                let flow = self.flow(flow);
                let accepted = Accepted { stream: stream(fd)?, peer, local, flow };
                if let Some(queue) = lock(&self.network.0.listeners).get(&listener) {
                    // A full backlog closes the connection, which the peer sees as a reset.
                    let _ = queue.try_send(accepted);
                }
            }
            FromNet::Connected { id, flow, local } | FromNet::UdpOpen { id, flow, local } => {
                let Some(fd) = fd else { return Ok(()) };
                let Flow { end, .. } = self.flow(flow);
                self.answer(id, Ok(Opened { flow, local, fd, end }));
            }
            FromNet::Failed { id, reason } => self.answer(id, Err(reason)),
            FromNet::Ended { flow, reason, received, sent, rtt_us, retransmits } => {
                if let Some(end) = lock(&self.network.0.flows).remove(&flow) {
                    let _ = end.set(End { reason, received, sent, rtt_us, retransmits });
                }
            }
            notice => {
                // Without a listener for notices the role is ending.
                let _ = self.notices.send(notice).await;
            }
        }
        Ok(())
    }

    fn flow(&self, id: FlowId) -> Flow {
        let end = Arc::new(OnceLock::new());
        lock(&self.network.0.flows).insert(id, Arc::clone(&end));
        Flow { id, end, network: self.network.clone() }
    }

    fn answer(&self, id: RequestId, answer: Answer) {
        // An unknown id is a request that was given up: dropping the descriptor ends its flow.
        if let Some(waiting) = lock(&self.network.0.requests).remove(&id) {
            let _ = waiting.send(answer);
        }
    }
}
