//! PID 1: devices, partitions, seed volume, sandboxes, supervision, watchdog, console page.

pub mod appliance;
pub mod disk;
pub mod fat;
pub mod gpt;
pub mod hosted;
pub mod role;
pub mod sandbox;
pub mod supervise;

mod console;
mod devices;
mod erase;
mod household;
mod seed_volume;
mod text;
