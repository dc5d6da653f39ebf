//! Directories by their own protocols, over the loopback interface.

mod graph;
mod http;
mod loopback;
