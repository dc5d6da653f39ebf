//! The role that decides: it accepts mail, makes it durable, and delivers it.
//!
//! [`run`] is the whole role. It opens no socket of the kernel's: connections come from `net`, as Unix streams.

pub mod alarms;
pub mod appliance;
pub mod clock;
pub mod event;

pub mod network;
pub mod transport;

pub mod listener;
pub mod message;
pub mod provisioning;
pub mod recipient;
pub mod tls;

pub mod delivery;
pub mod directory;
pub mod dns;
pub mod dsn;
pub mod route;
pub mod time;

mod admin;
mod console;
mod notices;
mod run;
mod startup;
mod status;

pub use run::{Io, RunError, Seed, prepare, run};
pub use startup::StartError;
