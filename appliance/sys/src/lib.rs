//! The only unsafe code: frames, descriptor passing, memory, sandboxes, mounts, reboot.

// Denied everywhere else; what needs it belongs here, behind a safe function.
#![allow(unsafe_code)]

pub mod allow_list;
pub mod arena;
pub mod block;
pub mod channel;
pub mod clock;
mod frame_filter;
pub mod frames;
pub mod landlock;
pub mod link;
pub mod memory;
pub mod packet;
pub mod privilege;
pub mod process;
pub mod signal;
pub mod status;
mod syscall_names;
pub mod tap;
pub mod testing;
pub mod watchdog;
