//! The appliance as a developer runs it: real processes, a TAP device, real clients.

mod lab;
mod mail;
mod next_hop;
