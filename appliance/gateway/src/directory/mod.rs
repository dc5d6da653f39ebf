//! Directories and login services, as they are asked over the network.

pub mod mailbox;
