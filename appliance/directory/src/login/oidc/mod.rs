//! Signing in with Entra ID: OpenID Connect's authorization code with PKCE (RFC 7636), for one tenant.
//!
//! [`Provider`] knows one user lookup's tenant: what its discovery document says, and its keys. [`Waiting`] sends
//! browsers away and takes them back. [`Exchange`] makes an [`Identity`] of what a browser brings back, by asking
//! what the gateway carries. Tokens are checked here, by aws-lc-rs: `openidconnect` would bring 63 crates, among them
//! a second RSA and three more curves' arithmetic, and still leave the tenant, guests and groups to us.

mod claims;
mod discovery;
mod exchange;
mod identity;
mod jwt;
mod keys;
mod provider;
mod redirect;
mod refusal;
#[cfg(test)]
mod tests;
mod waiting;

pub use discovery::DISCOVERY_MAX;
pub use exchange::{Exchange, Step, TOKEN_ANSWER_MAX};
pub use identity::{Groups, Identity, LISTED_MAX};
pub use jwt::TOKEN_MAX;
pub use keys::{KEYS_ANSWER_MAX, KEYS_MAX, REFETCH};
pub use provider::{KEEP, Provider};
pub use redirect::QUERY_MAX;
pub use refusal::{Refusal, Whose};
pub use waiting::{Begun, COOKIE_MAX, Pending, Returned, WAITING_MAX, WAITING_TIME, Waiting};

/// How far another's clock may be from ours, in seconds.
pub const LEEWAY: u64 = 300;
