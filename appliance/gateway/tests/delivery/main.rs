//! Delivery over the loopback interface, with resolvers and next hops that are none of ours.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod client_certificate;
mod dane;
mod signed;
mod world;
