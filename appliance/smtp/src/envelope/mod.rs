//! Parameters of `MAIL FROM` and `RCPT TO`: what each extension lets a sender say about a message.

mod body;
mod dsn;
mod parameters;
mod xtext;

pub use body::BodyKind;
pub use dsn::{ENVID_MAX, EnvelopeId, Notify, ORCPT_MAX, OriginalRecipient, Return};
pub use parameters::{MailParameters, ParameterError, RcptParameters};
