//! OpenLDAP's server, with a few of Active Directory's attributes, as the directory that the gateway asks. It runs on
//! the loopback interface; `cargo postern test` installs it.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod asking;
mod certificates;
mod failing;
mod keeping;
mod logging_in;
mod reading;
mod slapd;
mod world;
