//! Asking the configured resolvers: a stub resolver over our own transport.
//!
//! Written on `hickory-proto`'s reader and writer rather than on a ready resolver, so that the part that meets
//! hostile answers ([`query`]) knows no clock and no socket, and every lie has a test in virtual time.
//! The resolvers are trusted to recurse; no answer is trusted to be about what was asked.

mod answer;
mod budget;
mod cache;
mod query;
mod question;
mod resolver;

pub use answer::{Mx, Tlsa};
pub use budget::Budget;
pub use query::{Action, Entropy, Event, Patience, Query};
pub use question::{Kind, Question};
pub use resolver::{Found, Lookup, Resolver, Settings, TempError};
