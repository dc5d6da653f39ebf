//! From an address to a stream; is it real; who may log in. Deterministic: it opens nothing, sleeps never and reads
//! no clock.
//!
//! What is asked of a directory or a server leaves as an action, and its answer comes back as an input; the gateway
//! carries both. Times are handed in.
#![warn(missing_docs)]

pub mod answer;
pub mod check;
pub mod copy;
pub mod decision;
pub mod graph;
pub mod hold;
pub mod http;
pub mod ldap;
pub mod login;
pub mod mapping;
pub mod reply;
pub mod valid_recipients;
pub mod verification;
