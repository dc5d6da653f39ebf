//! Directories that are asked by LDAP (RFC 4511), such as Active Directory.
//!
//! [`client`] speaks the protocol on one connection. [`lookup`], [`sync`] and [`login`] say what is to be searched for
//! and what the found entries mean; [`recipient`] is what an entry means by itself. [`memory`] remembers answers, and
//! [`servers`] says which server is to be tried next. The gateway carries the octets.

pub mod client;
mod entry;
mod frame;
pub mod login;
pub mod lookup;
pub mod memory;
mod message;
pub mod recipient;
pub mod servers;
pub mod sync;

pub use entry::{ATTRIBUTES_MAX, Entry};
pub use frame::{DEPTH_MAX, ELEMENTS_MAX, FrameFault, MESSAGE_MAX};
pub use message::ServerResult;
