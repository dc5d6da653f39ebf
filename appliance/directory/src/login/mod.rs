//! Who may log in: a password that is kept here, one that a mail server takes, or a sign-in at Entra ID.
//!
//! [`Way`] says which of them it is for a name:
//!
//! - [`local`]: hashes, one-time codes, recovery codes;
//! - [`mailbox`]: conversations by IMAP or POP3 that end in whether the server took the password;
//! - [`cache`]: passwords that a server took, for when it cannot be asked;
//! - [`oidc`]: the way to Entra ID and back;
//! - [`lockout`]: who has to wait before the next try.

pub mod cache;
mod credentials;

mod imap;
pub mod local;
pub mod lockout;
pub mod mailbox;

pub mod oidc;
mod pop3;
mod unix_time;
mod way;

pub use credentials::{Credentials, CredentialsError};
pub use unix_time::UnixTime;
pub use way::Way;
