//! TLS over streams that somebody else opened: towards next hops, and towards clients of ours.

pub mod certificate;
pub mod client;
pub mod dane;
mod expiry;
mod follow;
pub mod identity;
pub mod roots;
pub mod server;

pub use follow::follow;
