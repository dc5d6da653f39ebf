//! The only unsafe code: packet rings, descriptor passing, memory, sandboxes, mounts, reboot.

pub mod channel;
pub mod status;
