//! The listener as a client meets it: over a stream in memory, with a real store on a disk in memory.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod accepting;
mod faults;
mod limits;
mod slow;
mod smuggling;
mod tls;
mod world;
