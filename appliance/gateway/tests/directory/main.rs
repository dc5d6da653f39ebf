//! Directories by their own protocols, over the loopback interface.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod graph;
mod http;
mod loopback;
