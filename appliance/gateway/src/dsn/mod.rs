//! Delivery status notifications: what became of a message, for its sender (RFC 3461, RFC 3464, RFC 6533).
//!
//! Pure: facts in, a message out. Every line passes through [`lines::Lines`], which holds no way to write a line end
//! of a peer's making. Of the original the header section is returned,
//! or all of a small one to whoever asked for it.

mod lines;
mod report;
mod returned;

use config_schema::name::DomainName;
use smtp::{
    address::{Address, ForwardPath},
    envelope::Notify,
};
use store::{
    Timestamp,
    message::{Message, Recipient},
    queue::Reply,
};

pub use report::compose;

/// Octets of the original's header section that are returned.
pub const HEADERS_MAX: usize = 32 * 1024;
/// Octets of an original that is returned whole (RFC 3461 §6.2 leaves it to us), so that nobody sends much to a forged
/// sender through us. In base64 it fits a notice of the store's along with the rest.
pub const ORIGINAL_MAX: usize = 64 * 1024;
/// Recipients described in one notice, so that it stays small; further ones get another notice.
pub const RECIPIENTS_MAX: usize = 50;

/// What is reported of a recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It was given up.
    Failed,
    /// It is tried further, until then.
    Delayed { until: Timestamp },
    /// It was passed to a next hop that sends no notices of its own.
    Relayed,
}

/// One recipient of a notice.
#[derive(Debug, Clone)]
pub struct Reported<'a> {
    pub recipient: &'a Recipient,
    /// What decided.
    pub reply: &'a Reply,
}

/// Everything a notice is made of.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub hostname: &'a DomainName,
    /// A name for the notice itself, unique at this host; letters, digits and hyphens.
    pub name: &'a str,
    pub now: Timestamp,
    pub message: &'a Message,
    /// The original if it has [`ORIGINAL_MAX`] octets or fewer; else its beginning, at least [`HEADERS_MAX`] octets.
    pub original: &'a [u8],
    pub action: Action,
    pub recipients: &'a [Reported<'a>],
}

/// A notice, ready to be enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub to: Address,
    pub body: Vec<u8>,
    /// Whether the notice itself needs SMTPUTF8, since the sender's address does.
    pub smtputf8: bool,
}

/// Whether the sender wants to hear of `action` about this recipient (RFC 3461 §5.2, §6.2).
///
/// Without NOTIFY that is failure and delay. Never anything to a null sender: ask for the address first.
pub fn is_wanted(action: Action, recipient: &Recipient) -> bool {
    let notify = recipient.parameters.notify;
    match action {
        Action::Failed => notify.is_none_or(Notify::on_failure),
        Action::Delayed { .. } => notify.is_none_or(Notify::on_delay),
        Action::Relayed => notify.is_some_and(Notify::on_success),
    }
}

fn address_of(recipient: &Recipient) -> Option<&Address> {
    match &recipient.to {
        ForwardPath::Address(address) => Some(address),
        ForwardPath::Postmaster => None,
    }
}

#[cfg(test)]
mod tests;
