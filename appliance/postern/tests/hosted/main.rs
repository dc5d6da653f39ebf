//! The appliance as a developer runs it: real processes, a TAP device, real clients.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod configuration;
mod exim;
mod lab;
mod mail;
mod misbehaviour;
mod next_hop;
mod next_hops;
mod postfix;
mod relays;
mod senders;
mod volume;
