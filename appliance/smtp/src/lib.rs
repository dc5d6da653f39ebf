//! The SMTP protocol, both sides. Deterministic: it opens nothing, sleeps never and reads no clock.
//!
//! Give a session bytes and the time; it gives back what to write, ask, keep or close, and when to be woken.
//! [`server::Session`] receives mail, [`client::Session`] sends it. Both speak of [`address`]es, [`envelope`]
//! parameters and [`reply`]s, which are parsed once into types and printed only by their own `Display`.
#![warn(missing_docs)]

mod actions;
pub mod address;
pub mod body_scanner;
pub mod client;
pub mod envelope;
pub mod message;
pub mod reply;
pub mod server;
mod time;

pub use actions::Actions;
pub use time::Time;
