//! The appliance as a developer runs it: real processes, a TAP device, real clients.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod lab;
mod mail;
mod next_hop;
