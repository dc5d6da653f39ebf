//! The listener as a client meets it: over a stream in memory, with a real store on a disk in memory.

mod accepting;
mod faults;
mod limits;
mod slow;
mod smuggling;
mod tls;
mod world;
