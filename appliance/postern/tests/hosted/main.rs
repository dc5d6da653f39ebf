//! The appliance as a developer runs it: real processes, a TAP device, real clients.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod configuration;
mod control;
mod cuts;
mod exim;
mod lab;
mod mail;
mod misbehaviour;
mod next_hop;
mod next_hops;
mod postfix;
mod recipients;
mod relays;
mod requirements;
mod senders;
mod swaks;
mod volume;
