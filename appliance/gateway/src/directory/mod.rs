//! Directories and login services, as they are asked over the network.

pub mod graph;
pub mod http;
pub mod ldap;
