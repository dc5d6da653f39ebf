//! What a directory or login service is reached by.

use std::{fmt, sync::Arc};

use config_schema::Config;

use crate::{
    clock::Clock, delivery::Prober, dns::Resolver, route::Own, tls::client::TlsClient, transport::Transport,
};

/// What a connector needs of the gateway.
#[derive(Clone)]
pub struct Outside {
    pub transport: Arc<dyn Transport>,
    pub resolver: Resolver,
    /// With the built-in roots and the administrator's.
    pub tls: TlsClient,
    pub clock: Clock,
    /// Which name and addresses are ours now: they are never connected to.
    pub own: Arc<dyn Fn() -> Own + Send + Sync>,
}

impl Outside {
    /// The network that deliveries go over, and the roots of this configuration.
    pub(crate) fn of(prober: &Prober, config: &Arc<Config>) -> Outside {
        let (own, hostname) = (prober.clone(), config.network.hostname.clone());
        Outside {
            transport: prober.transport(),
            resolver: prober.resolver(),
            tls: prober.tls(config),
            clock: prober.clock(),
            own: Arc::new(move || own.own(&hostname)),
        }
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
