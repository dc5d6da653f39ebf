//! Why a domain has no way out, by whose fault.

use config_schema::name::DomainName;

use super::Unfit;
use crate::dns::TempError;

/// Why nothing can be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteFault {
    /// Passes by itself.
    #[error(transparent)]
    Dns(#[from] TempError),
    #[error("{0} does not exist")]
    NoSuchName(DomainName),
    #[error("{0} has no address")]
    NoAddress(DomainName),
    /// RFC 7505.
    #[error("{0} takes no mail (null MX)")]
    NullMx(DomainName),
    #[error("the route leads back to this appliance by {0}")]
    LoopsBack(DomainName),
    #[error("{host} cannot be a next hop: {why}")]
    Unfit { host: String, why: Unfit },
    #[error("no route is configured")]
    NoRoute,
}

impl RouteFault {
    /// Whether asking again later may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, RouteFault::Dns(_))
    }

    /// Whether this says more than `other` when nothing was found: a passing fault forbids the last word, and a
    /// named reason says more than "no address".
    pub(super) fn outweighs(&self, other: &RouteFault) -> bool {
        self.weight() > other.weight()
    }

    fn weight(&self) -> u8 {
        match self {
            RouteFault::Dns(_) => 3,
            RouteFault::LoopsBack(_) | RouteFault::Unfit { .. } => 2,
            RouteFault::NullMx(_) | RouteFault::NoSuchName(_) => 1,
            RouteFault::NoAddress(_) | RouteFault::NoRoute => 0,
        }
    }
}
