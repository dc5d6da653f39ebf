//! Why nobody was signed in.

use config_schema::{Guid, user_lookup::entra_id::WebHost};

use super::{
    DISCOVERY_MAX, KEYS_ANSWER_MAX, KEYS_MAX, LEEWAY, LISTED_MAX, QUERY_MAX, TOKEN_ANSWER_MAX, TOKEN_MAX,
};
use crate::{graph::KeyError, http::Failure};

/// Whose matter a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The browser's, or of whoever sent it.
    Browser,
    /// Entra ID's, or of the network between; trying again may help.
    Peer,
    /// The administrator's, here or in the tenant.
    Configuration,
    /// Ours.
    Ours,
}

/// Why nobody was signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The browser came back with more than [`QUERY_MAX`], with a parameter twice, or without one.
    #[error("the browser came back with a query that is damaged or longer than {QUERY_MAX} bytes")]
    Query,
    /// Nobody was sent away with this state from this browser, or too long ago.
    #[error("the sign-in was not begun in this browser, or too long ago")]
    State,
    /// The person said no, or Entra ID did.
    #[error("Entra ID refused: {0}")]
    Denied(Box<str>),
    /// The browser was sent back by another issuer (RFC 9207 §2.4).
    #[error("the browser comes back from another issuer")]
    MixedUp,
    /// The question was not answered.
    #[error("Entra ID was not reached: {0}")]
    Carrier(#[from] Failure),
    /// A status that says nothing of the sign-in.
    #[error("Entra ID answered with status {0}")]
    Status(u16),
    /// The discovery document is none, or longer than [`DISCOVERY_MAX`].
    #[error("the discovery document is damaged or longer than {DISCOVERY_MAX} bytes: {0}")]
    Discovery(Box<str>),
    /// The authority is one for all tenants.
    #[error("the discovery document is one for all tenants, expected that of your own")]
    TemplateIssuer,
    /// The discovery document speaks for somebody else.
    #[error("the discovery document is of issuer {0}, expected that of the configured tenant")]
    DiscoveredIssuer(Box<str>),
    /// An address in the discovery document leads elsewhere.
    #[error("the discovery document's `{key}` is not on {host}")]
    Endpoint {
        /// The key.
        key: &'static str,
        /// Where it should be.
        host: WebHost,
    },
    /// Nothing is known of the authority yet.
    #[error("the discovery document was not read yet")]
    NotDiscovered,
    /// The token endpoint does not take us for the application.
    #[error("Entra ID does not take this appliance for the application: {0}")]
    Client(Box<str>),
    /// The key or certificate of the configuration.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The code was used, is too old, or was never given.
    #[error("Entra ID does not take the code: {0}")]
    Code(Box<str>),
    /// The token endpoint's answer is none, or longer than [`TOKEN_ANSWER_MAX`].
    #[error("the token endpoint's answer is damaged or longer than {TOKEN_ANSWER_MAX} bytes: {0}")]
    TokenAnswer(Box<str>),
    /// The token is none, or longer than [`TOKEN_MAX`].
    #[error("the token is damaged or longer than {TOKEN_MAX} bytes: {0}")]
    Token(&'static str),
    /// Unsigned, signed by what both sides know, or by what Entra ID does not use.
    #[error("the token is signed by `{0}`, expected RS256")]
    Algorithm(Box<str>),
    /// The keys are none, more than [`KEYS_MAX`], or longer than [`KEYS_ANSWER_MAX`].
    #[error("the keys are damaged, more than {KEYS_MAX}, or longer than {KEYS_ANSWER_MAX} bytes: {0}")]
    Keys(Box<str>),
    /// No key has this name; they were asked for just now, or less than [`super::REFETCH`] seconds ago.
    #[error("the token's key `{0}` is none of the tenant's")]
    UnknownKey(Box<str>),
    /// The key is for another issuer.
    #[error("the token's key is one for another issuer")]
    KeyIssuer,
    /// It was changed, or not signed by that key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is not there.
    #[error("the token has no `{0}`")]
    Missing(&'static str),
    /// From somebody else.
    #[error("the token is of issuer {0}, expected that of the configured tenant")]
    Issuer(Box<str>),
    /// For somebody else.
    #[error("the token is for another application")]
    Audience,
    /// Of another tenant.
    #[error("the token is of tenant {0}, expected the configured one")]
    Tenant(Guid),
    /// It was good until then.
    #[error("the token ended {0} s ago, more than the {LEEWAY} s that clocks may differ")]
    Expired(u64),
    /// It is good from then on.
    #[error("the token begins in {0} s, more than the {LEEWAY} s that clocks may differ")]
    NotYet(u64),
    /// It answers another sign-in.
    #[error("the token answers another sign-in")]
    Nonce,
    /// More roles or groups than [`LISTED_MAX`].
    #[error("the token lists more than {LISTED_MAX} {0}")]
    TooMany(&'static str),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// An answer without a question, or a second one.
    #[error("an answer that was not asked for")]
    Misuse,
}

impl Refusal {
    /// Whose matter it is.
    pub fn whose(&self) -> Whose {
        match self {
            Refusal::Query | Refusal::State | Refusal::Denied(_) | Refusal::MixedUp | Refusal::Code(_) => {
                Whose::Browser
            }
            Refusal::Carrier(Failure::Ours(_)) | Refusal::Random | Refusal::Misuse => Whose::Ours,
            Refusal::TemplateIssuer | Refusal::DiscoveredIssuer(_) | Refusal::Client(_) | Refusal::Key(_) => {
                Whose::Configuration
            }
            _ => Whose::Peer,
        }
    }
}

/// Longest text of Entra ID's that is shown, in characters.
const SHOWN_MAX: usize = 300;

/// What another said, for people: one line of printable text.
pub(super) fn shown(text: &str) -> Box<str> {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(SHOWN_MAX).map(one_line).collect::<String>().into()
}
