//! PID 1: devices, partitions, seed volume, sandboxes, supervision, watchdog, console page.

pub mod hosted;
pub mod role;
