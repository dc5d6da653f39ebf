//! Builds the boot file and the disk images, and boots them: everything behind `cargo postern …`.
//!
//! The parts, in the order in which a build passes them: [`executable`] (the static program), [`kernel`]
//! (Linux with the program inside: `postern.efi`), [`disk`] (`postern.img` and seed volumes), [`machine`]
//! (QEMU), [`exchange`], a next hop that answers as Exchange Online does, for the demonstration and the tests,
//! and [`entra`], a directory that answers as Microsoft Graph does. [`commands`] has one file for each command.

pub mod cache;
pub mod commands;
pub mod cpio;
pub mod debian;
pub mod disk;
pub mod entra;
mod error;
pub mod exchange;
pub mod executable;
pub mod kernel;
pub mod machine;
pub mod names;
pub mod program;
pub mod slapd;
pub mod tools;
pub mod workspace;

pub use error::{Doing, Error};

/// What every fallible function here returns.
pub type Result<T> = std::result::Result<T, Error>;
