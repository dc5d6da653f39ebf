//! What a role is given: the whole of what it holds besides memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use sys::status::Channel;

/// The roles' programs, handed in by the executable, so that this crate knows neither of them.
///
/// `net` and `gateway` run in their own process, in their sandbox; what they return is the exit code.
#[derive(Debug, Clone, Copy)]
pub struct Roles {
    /// Opens the device, with PID 1's rights and in its process, each time that `net` is started.
    pub open_device: fn(&Nic) -> io::Result<OwnedFd>,
    pub net: fn(NetIo) -> i32,
    pub gateway: fn(GatewayIo) -> i32,
}

/// Which role; its name is the one in the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Net,
    Gateway,
}

/// The network device that `net` shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    pub kind: NicKind,
    /// The interface's name, such as `eth0`.
    pub name: String,
    /// The kernel's number of the interface; 0 for a TAP device that does not exist before it is opened.
    pub index: u32,
    /// Our own address on the link. On a TAP device it is not the interface's, which is the host's side.
    pub mac: [u8; 6],
    /// Longest IP packet, bytes.
    pub mtu: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicKind {
    /// Ethernet frames over an `AF_PACKET` socket.
    Packet,
    /// Ethernet frames over a TAP device.
    Tap,
}

/// What `net` holds.
#[derive(Debug)]
pub struct NetIo {
    pub nic: Nic,
    /// What [`Roles::open_device`] returned.
    pub device: OwnedFd,
    /// `SOCK_SEQPACKET` to `gateway`.
    pub control: OwnedFd,
    pub status: Channel,
}

/// What `gateway` holds.
#[derive(Debug)]
pub struct GatewayIo {
    pub disk: DataDisk,
    /// `SOCK_SEQPACKET` to `net`.
    pub control: OwnedFd,
    pub status: Channel,
    /// The configuration file that was found; given at every start: the gateway knows which it imported last.
    pub seed: Option<Seed>,
    /// Hosted only: where `postern ctl` connects.
    pub admin: Option<UnixListener>,
}

/// Where the store lies: a range of a block device, or a file.
#[derive(Debug)]
pub struct DataDisk {
    pub file: File,
    /// First byte of the store.
    pub offset: u64,
    /// How many bytes the store may use.
    pub len: u64,
}

/// A configuration file from outside. Not checked beyond its size, [`SEED_MAX`].
#[derive(Clone, PartialEq, Eq)]
pub struct Seed {
    /// For messages about it, such as `postern.toml on sdb1`.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Longest configuration file, bytes: far above any real one, small beside the smallest machine's memory.
pub const SEED_MAX: u64 = 1 << 20;

impl Role {
    pub const ALL: [Role; 2] = [Role::Net, Role::Gateway];

    pub fn name(self) -> &'static str {
        match self {
            Role::Net => "net",
            Role::Gateway => "gateway",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may hold keys and passwords.
        f.debug_struct("Seed").field("name", &self.name).field("len", &self.bytes.len()).finish()
    }
}
