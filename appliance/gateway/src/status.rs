//! The channel to PID 1: its pings are answered from the runtime that does the work.

use std::io;

use store::log::Event;
use sys::status::{Channel, ChannelError, FromRole, ToRole};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, watch},
};

use crate::{appliance::Appliance, console, network::watched, run::RunError};

/// Messages to PID 1 that wait for room; console lines beyond it are dropped.
const WAITING_MAX: usize = 64;

/// Says things to PID 1; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Status(mpsc::Sender<FromRole>);

/// What PID 1 wants.
#[derive(Debug)]
pub(crate) struct Orders(watch::Receiver<bool>);

pub(crate) fn start(channel: Channel, appliance: &Appliance) -> io::Result<(Status, Orders)> {
    let channel = watched(channel)?;
    let (sender, waiting) = mpsc::channel(WAITING_MAX);
    let (stop, orders) = watch::channel(false);
    let status = Status(sender);
    tokio::spawn(drive(channel, appliance.clone(), status.clone(), waiting, stop));
    Ok((status, Orders(orders)))
}

impl Status {
    /// Says something that may be lost when PID 1 does not keep up.
    pub(crate) fn tell(&self, message: FromRole) {
        let _ = self.0.try_send(message);
    }

    /// Sets a line of the console page; an empty text removes it.
    pub(crate) fn console(&self, label: &str, text: &str) {
        // The page has room for a few lines; the log has the whole.
        let text: String = text.chars().take(400).collect();
        self.tell(FromRole::Console { label: label.to_owned(), text });
    }

    /// Says a last thing, and returns when it was sent.
    pub(crate) async fn finish(&self, message: FromRole) {
        if self.0.send(message).await.is_ok() {
            while self.0.capacity() < WAITING_MAX {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Orders {
    /// Returns when the role is to stop.
    pub(crate) async fn stop(&mut self) -> Result<(), RunError> {
        self.0.wait_for(|stop| *stop).await.map(|_| ()).map_err(|_| RunError::SupervisorGone)
    }
}

/// Ends, and with it [`Orders`], when PID 1 is gone.
async fn drive(
    channel: AsyncFd<Channel>,
    appliance: Appliance,
    status: Status,
    mut waiting: mpsc::Receiver<FromRole>,
    stop: watch::Sender<bool>,
) {
    loop {
        tokio::select! {
            order = receive(&channel) => match order {
                Some(ToRole::Ping(number)) => status.tell(FromRole::Pong(number)),
                Some(ToRole::Shutdown) => {
                    stop.send_replace(true);
                }
                Some(ToRole::Note(text)) => {
                    let event = Event::new(appliance.clock.now(), "init.note").field("text", text);
                    appliance.store.event(event);
                }
                Some(ToRole::Change(change)) => {
                    tokio::spawn(console::obey(appliance.clone(), status.clone(), change));
                }
                None => return,
            },
            Some(message) = waiting.recv() => if send(&channel, &message).await.is_none() {
                return;
            },
        }
    }
}

async fn receive(channel: &AsyncFd<Channel>) -> Option<ToRole> {
    loop {
        let mut ready = channel.readable().await.ok()?;
        match channel.get_ref().receive() {
            Ok(order) => return Some(order),
            Err(ChannelError::WouldBlock) => ready.clear_ready(),
            Err(ChannelError::Malformed) => {}
            Err(ChannelError::Closed | ChannelError::Io(_)) => return None,
        }
    }
}

async fn send(channel: &AsyncFd<Channel>, message: &FromRole) -> Option<()> {
    loop {
        let mut ready = channel.writable().await.ok()?;
        match channel.get_ref().send(message) {
            // A message that cannot be sent at all is one line of a page less.
            Ok(()) | Err(ChannelError::Malformed) => return Some(()),
            Err(ChannelError::WouldBlock) => ready.clear_ready(),
            Err(ChannelError::Closed | ChannelError::Io(_)) => return None,
        }
    }
}
