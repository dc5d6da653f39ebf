//! What is done to a message on its way from the session into the spool: trust headers that only we may set come
//! out, loops and oversized headers are refused. The body passes untouched.

mod incoming;

pub use incoming::{HeaderFault, HeaderLimits, Incoming, Passed};
