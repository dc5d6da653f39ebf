//! Copies of directories whose user lookup is no longer in the configuration.

use std::{collections::BTreeSet, sync::Arc};

use config_schema::{Config, Method};
use store::{Store, StoreError, log::FaultClass};
use tokio::sync::watch;

use crate::{appliance::Appliance, event::Kind};

/// Drops what user lookups have left that are gone, in steps. Ends early when the configuration changes again, which
/// may bring one of them back.
pub(super) async fn drop_all(appliance: &Appliance, config: &Config, configs: &watch::Receiver<Arc<Config>>) {
    for lookup in left(&appliance.store, config).unwrap_or_default() {
        if let Err(error) = drop_copy(&appliance.store, &lookup, configs).await {
            let event = appliance.events.event(Kind::DirectoryFault).fault(FaultClass::Resource);
            appliance.events.record(event.field("lookup", &lookup).field("why", error));
        }
    }
}

/// The lookups of which something is kept, and that keep no copy any more.
fn left(store: &Store, config: &Config) -> Result<BTreeSet<Box<str>>, StoreError> {
    let keeps = |lookup: &str| {
        let of = |method: &Method| matches!(method, Method::Ldap(_) | Method::EntraId(_));
        config.user_lookups.iter().any(|given| given.name.as_str() == lookup && of(&given.method))
    };
    let generations = store.directory_generations()?.into_iter().map(|(lookup, _)| lookup);
    Ok(store.directories()?.into_iter().chain(generations).filter(|lookup| !keeps(lookup)).collect())
}

async fn drop_copy(
    store: &Store,
    lookup: &str,
    configs: &watch::Receiver<Arc<Config>>,
) -> Result<(), StoreError> {
    let is_over = || configs.has_changed().unwrap_or(true);
    if is_over() {
        return Ok(());
    }
    // Without it no generation means anything: whatever is left then is dropped by whoever finds it.
    store.forget_directory_state(lookup).await?;
    for (of, generation) in store.directory_generations()? {
        while &*of == lookup && !is_over() && store.directory_drop(lookup, generation).await? {}
    }
    Ok(())
}
