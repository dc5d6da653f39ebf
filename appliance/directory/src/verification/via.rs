//! Whom to ask, and by which way.

use std::fmt;

use config_schema::{RealmName, Route, RouteTls};

/// A verification server, and how the way to it is protected.
///
/// Domains that protect it otherwise share no connection: the question of one that requires TLS would go out on what
/// was opened for one that does not, or under another realm's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Via {
    /// Who is asked.
    pub server: Route,
    /// As mail of the asking domain is protected.
    pub tls: RouteTls,
    /// The realm whose certificate is shown to it.
    pub shown: Option<RealmName>,
}

/// The server alone.
impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}
