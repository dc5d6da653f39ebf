//! What PID 1 and a role say to each other, over a `SOCK_SEQPACKET` pair: one message a packet.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The longest packet; a longer one is an error of the sender.
pub const PACKET_MAX: usize = 4096;

/// From PID 1 to a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRole {
    /// Answer with [`FromRole::Pong`] and the same number, from the loop that does the work.
    Ping(u64),
    /// Stop accepting, finish or requeue, commit, flush, say [`FromRole::Stopped`], exit 0.
    Shutdown,
    /// For the event log, to `gateway` only: a role that died, a limit of PID 1's, as one line.
    Note(String),
    /// To `gateway` only: put in force what somebody at the console wants, then ask for [`FromRole::Reboot`]; if it
    /// cannot be done, say why by [`FromRole::Event`].
    Change(Change),
}

/// What somebody at the console wants changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Addresses(Addresses),
    /// There shall be no configuration; mail and log stay.
    ForgetSettings,
}

/// The appliance's own addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addresses {
    Dhcp,
    Static {
        /// At least one, each with the length of its network's prefix.
        addresses: Vec<(IpAddr, u8)>,
        gateways: Vec<IpAddr>,
        /// None: those of the configuration stay.
        resolvers: Vec<IpAddr>,
    },
}

/// From a role to PID 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRole {
    /// The role serves.
    Ready,
    Pong(u64),
    /// The clock was found by SNTP; PID 1 sets the system's and the RTC.
    SetClock {
        unix_seconds: i64,
        nanoseconds: u32,
    },
    /// One labelled line of the console page, such as `("address", "192.0.2.10/24")`; an empty text removes it.
    Console {
        label: String,
        text: String,
    },
    /// What happened, as one line of the console page.
    Event(String),
    /// Bytes for the kernel's entropy pool, from the seed that the last run stored.
    Entropy([u8; 32]),
    /// An administrator asked for it.
    Reboot,
    PowerOff,
    /// Everything is committed and flushed.
    Stopped,
}

/// One end of the pair. Non-blocking: a `WouldBlock` means that there is nothing to read, or no room.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What can go wrong on a channel.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("the other side is gone")]
    Closed,
    #[error("not ready")]
    WouldBlock,
    #[error("not a message of this protocol")]
    Malformed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Channel {
    /// Two connected ends, closed on exec.
    pub fn pair() -> std::io::Result<(Channel, Channel)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (a, b) = net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Channel(a), Channel(b)))
    }

    /// Takes over an end that was inherited.
    pub fn from_fd(fd: OwnedFd) -> Channel {
        Channel(fd)
    }

    pub fn send<T: Serialize>(&self, message: &T) -> Result<(), ChannelError> {
        let packet = postcard::to_allocvec(message).map_err(|_| ChannelError::Malformed)?;
        if packet.len() > PACKET_MAX {
            return Err(ChannelError::Malformed);
        }
        match net::send(&self.0, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN) => Err(ChannelError::WouldBlock),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ChannelError::Closed),
            Err(error) => Err(ChannelError::Io(error.into())),
        }
    }

    pub fn receive<T: DeserializeOwned>(&self) -> Result<T, ChannelError> {
        let mut packet = [0; PACKET_MAX];
        match net::recv(&self.0, &mut packet, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Err(ChannelError::Closed),
            Ok((_, n)) => {
                postcard::from_bytes(packet.get(..n).unwrap_or_default()).map_err(|_| ChannelError::Malformed)
            }
            Err(Errno::AGAIN) => Err(ChannelError::WouldBlock),
            Err(Errno::CONNRESET) => Err(ChannelError::Closed),
            Err(error) => Err(ChannelError::Io(error.into())),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_pass_whole_and_in_order() {
        let (init, role) = Channel::pair().unwrap();
        init.send(&ToRole::Ping(1)).unwrap();
        init.send(&ToRole::Shutdown).unwrap();
        assert_eq!(role.receive::<ToRole>().unwrap(), ToRole::Ping(1));
        assert_eq!(role.receive::<ToRole>().unwrap(), ToRole::Shutdown);
        assert!(matches!(role.receive::<ToRole>(), Err(ChannelError::WouldBlock)));
        drop(init);
        assert!(matches!(role.receive::<ToRole>(), Err(ChannelError::Closed)));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_is_sent() {
        let (_init, role) = Channel::pair().unwrap();
        let text = "x".repeat(PACKET_MAX);
        let long = FromRole::Console { label: "address".into(), text };
        assert!(matches!(role.send(&long), Err(ChannelError::Malformed)));
    }
}
