//! Who signed in.

use config_schema::Guid;

/// Roles, and groups, of one person that are read.
pub const LISTED_MAX: usize = 256;

/// Somebody of the tenant. Whoever it is, is `tenant` and `object`, and nothing else: names and addresses can be
/// changed, by their owner or by an attacker in a tenant of his own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant, which is the configured one.
    pub tenant: Guid,
    /// The person in it: Microsoft Graph's `id`.
    pub object: Guid,
    /// Whether the person belongs to another organisation and was only invited; such a one has no stream.
    pub guest: bool,
    /// Roles of the application that the person was given.
    pub roles: Vec<String>,
    /// Groups, where the application asks for them.
    pub groups: Groups,
    /// What to call the person; for people only.
    pub shown_as: Option<String>,
}

/// A person's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// The token lists none.
    None,
    /// These.
    Listed(Vec<Guid>),
    /// More than fit into a token: it counts as none, until Microsoft Graph is asked.
    Overage,
}
