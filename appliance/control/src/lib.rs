//! Everything that an administrator may do, as typed operations with their permission.
//!
//! An [`Operation`] comes in as JSON from the control socket, is checked against the [`Role`] of who asks, and is
//! answered by an [`Outcome`] or a [`Refusal`]. Pages and the command line render these; they hold no logic.

pub mod operation;
pub mod permission;
pub mod print;
pub mod wire;

pub use operation::{Appliance, Operation, Outcome, Refusal, execute};
pub use permission::{Permission, Role};
