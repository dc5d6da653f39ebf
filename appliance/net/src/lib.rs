//! A TCP/IP server in user space: frames to byte streams.
//!
//! [`control`] is what the other side (the gateway) needs: the messages that ask for listeners and
//! connections, and that bring their streams. [`stack`] is the whole core without a device: a pure function of
//! frames, messages and time. [`run`] is the role: the core between a device and the gateway.

pub mod address;
pub mod bucket;
pub mod control;
pub mod counters;
mod driver;
pub mod icmp;
pub mod ip;
pub mod link;
pub mod secret;
pub mod stack;
pub mod tcp;
pub mod udp;

pub use driver::{Device, RunError, run};
