//! The appliance as a developer runs it: real processes, a TAP device, real clients.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod certificates;
mod configuration;
mod control;
mod cuts;
mod dialogue;
mod dovecot;
mod entra;
mod exim;
mod instructions;
mod lab;
mod ldap;
mod logins;
mod mail;
mod misbehaviour;
mod names;
mod next_hop;
mod next_hops;
mod outages;
mod postfix;
mod recipients;
mod relays;
mod requirements;
mod senders;
mod slapd;
mod streams;
mod swaks;
mod volume;
