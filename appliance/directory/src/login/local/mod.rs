//! Passwords and second factors that are kept here.
//!
//! Hashing takes memory and time, so it is done only with a [`HashPermit`]. Everything else is a function of a small
//! [`SecondFactor`] that the caller keeps.

mod hashing;
mod recovery;
mod second_factor;
#[cfg(test)]
mod tests;
mod totp;

pub use hashing::{HASHES_MAX, HashPermit, Hashing, check_password};
pub use recovery::RECOVERY_CODES;
pub use second_factor::{Enrolment, SecondCheck, SecondFactor};
pub use totp::enrolment_url;
