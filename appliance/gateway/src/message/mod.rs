//! What is done to a message on its way from the session into the spool: trust headers that only we may set come
//! out, loops and oversized headers are refused. The body passes untouched.

mod incoming;

pub use incoming::{FIELDS_MAX, HEADER_MAX, HeaderFault, Incoming, OWN_RECEIVED_MAX, Passed, RECEIVED_MAX};
