//! A Microsoft 365 tenant through Microsoft Graph: a local copy of everyone who gets mail, kept by delta queries.
//!
//! [`Sync`] is the machine: [`Sync::next`] says what to do, and what came of it is handed back. It asks for a token
//! ([`Signer`] proves who we are), reads users, groups and contacts page by page, and answers [`Sync::lookup`]
//! from the copy. What is to be kept on a disk leaves as a [`Change`]; the copy in use is only ever replaced whole.

mod assertion;
mod collection;
mod fault;
mod link;
mod objects;
mod page;
mod record;
mod retry;
mod sync;
mod token;

pub use assertion::{KeyError, Signer};
pub use collection::Collection;
pub use fault::{Fault, Whose};
pub use link::{LINK_MAX, Link, LinkError};
pub use objects::OBJECTS_MAX;
pub use page::{
    Change as PropertyChange, End, ITEMS_MAX, Item, PAGE_MAX, PROXIES_BYTES_MAX, PROXIES_MAX, Page,
    Properties,
};
pub use retry::LONGEST as RETRY_LONGEST;
pub use sync::{
    BadState, Change, Held, Loss, News, PAGES_MAX, QUESTIONS_MAX, REMEMBERED_MAX, Retired, Status, Step, Sync,
};
pub use token::TOKEN_ANSWER_MAX;

use smtp::Time;

/// What a machine is told with every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// On the clock that only goes forward.
    pub at: Time,
    /// What time it is, in Unix seconds.
    pub unix: u64,
    /// Fresh random bytes.
    pub random: [u8; 16],
}
