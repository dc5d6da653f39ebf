//! What each role runs, as PID 1 is told.

use std::{io, os::fd::OwnedFd, sync::Arc};

use boot::role::{GatewayIo, NetIo, Nic, NicKind, Roles};
use store::PartitionDisk;

/// The roles of this executable.
pub(crate) const ROLES: Roles = Roles { open_device, net, gateway };

/// Exit codes of a role: done, and ended by an error that PID 1 logs.
const DONE: i32 = 0;
const FAILED: i32 = 1;

fn open_device(nic: &Nic) -> io::Result<OwnedFd> {
    match nic.kind {
        NicKind::Packet => sys::packet::open(nic.index),
        NicKind::Tap => sys::tap::open(&nic.name),
    }
}

fn net(io: NetIo) -> i32 {
    let (mac, mtu) = (io.nic.mac, io.nic.mtu);
    let device = match io.nic.kind {
        NicKind::Packet => net::Device::packet(io.device, &io.nic.name, mac, mtu),
        NicKind::Tap => Ok(net::Device::tap(io.device, mac, mtu)),
    };
    match device {
        Ok(device) => ended("net", net::run(device, io.control, io.status)),
        Err(error) => ended("net", Err(format!("{}: {error}", io.nic.name))),
    }
}

fn gateway(io: GatewayIo) -> i32 {
    let disk = match PartitionDisk::new(io.disk.file, io.disk.offset, io.disk.len) {
        Ok(disk) => Arc::new(disk),
        Err(error) => return ended("gateway", Err(error)),
    };
    let seed = io.seed.map(|seed| gateway::Seed { name: seed.name, bytes: seed.bytes });
    let io = gateway::Io { disk, control: io.control, status: io.status, seed, admin: io.admin };
    ended("gateway", gateway::run(io))
}

fn ended(role: &str, result: Result<(), impl std::fmt::Display>) -> i32 {
    match result {
        Ok(()) => DONE,
        Err(error) => {
            eprintln!("{role}: {error}");
            FAILED
        }
    }
}
