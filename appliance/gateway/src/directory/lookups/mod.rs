//! The user lookups that run: one for each of the configuration that knows addresses.

mod graph;
mod ldap;
mod leftovers;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use config_schema::{Config, LookupName, Mapping, Method, Tls, UserLookup, name::DomainName};
use control::operation::LookupView;
use directory::answer::LookupAnswer;
use smtp::address::Address;
use store::log::FaultClass;

use crate::{appliance::Appliance, delivery::Prober, event::Kind, transport::Boxed};

pub(crate) use ldap::LdapLookup;

/// A user lookup that runs. Dropping the last handle ends it.
pub(crate) trait Lookup: Send + Sync + fmt::Debug {
    /// What it says of an address. Ends within the lookup's own time limit.
    fn ask<'a>(&'a self, address: &'a Address) -> Boxed<'a, LookupAnswer>;
    /// How it is.
    fn view(&self) -> LookupView;
    /// Reads the directory again; the error says why it cannot.
    fn sync(&self) -> Boxed<'_, Result<(), String>>;
    /// Applies a read that was held because it would remove too much.
    fn confirm(&self) -> Boxed<'_, Result<(), String>>;
    /// Ends what it does by itself: when this returns, nothing of it is written any more.
    fn end(&self) -> Boxed<'_, ()>;
    /// The directory itself, if it checks logins too.
    fn ldap(&self) -> Option<&LdapLookup> {
        None
    }
}

/// Those of the configuration in force.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    running: Arc<RwLock<HashMap<LookupName, Running>>>,
}

/// What a user lookup was made of; another begins when that has changed.
#[derive(Debug, Clone, PartialEq)]
struct Given {
    lookup: UserLookup,
    domains: Vec<DomainName>,
    tls: Tls,
}

#[derive(Debug, Clone)]
struct Running {
    given: Given,
    lookup: Arc<dyn Lookup>,
}

impl Given {
    fn of(config: &Config, lookup: &UserLookup) -> Given {
        let mapped =
            config.domains.iter().filter(|domain| domain.mapping == Mapping::Lookup(lookup.name.clone()));
        let domains = mapped.map(|domain| domain.name.clone()).collect();
        Given { lookup: lookup.clone(), domains, tls: config.tls.clone() }
    }
}

impl Lookups {
    /// Begins with those of the configuration, and follows its changes. Must be called inside the runtime.
    pub(crate) fn start(appliance: &Appliance, prober: &Prober) -> Lookups {
        let lookups = Lookups::default();
        let running = Arc::downgrade(&lookups.running);
        let (appliance, prober) = (appliance.clone(), prober.clone());
        let mut configs = appliance.config.clone();
        tokio::spawn(async move {
            loop {
                let config = configs.borrow_and_update().clone();
                let Some(strong) = running.upgrade() else { return };
                follow(&strong, &appliance, &prober, &config).await;
                drop(strong);
                leftovers::drop_all(&appliance, &config, &configs).await;
                if configs.changed().await.is_err() {
                    return;
                }
            }
        });
        lookups
    }

    /// The one of this name, if it knows addresses.
    pub(crate) fn get(&self, name: &LookupName) -> Option<Arc<dyn Lookup>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.get(name).map(|running| running.lookup.clone())
    }

    /// All of the configuration, also those that only check logins.
    pub(crate) fn views(&self, config: &Config) -> Vec<LookupView> {
        let view = |given: &UserLookup| match self.get(&given.name) {
            Some(lookup) => lookup.view(),
            None => blank(given, "checks logins"),
        };
        config.user_lookups.iter().map(view).collect()
    }
}

/// A view that says no more than the configuration does.
fn blank(given: &UserLookup, state: &str) -> LookupView {
    LookupView {
        name: given.name.to_string(),
        realm: given.realm.to_string(),
        method: given.method.word().to_owned(),
        addresses: None,
        synced_at: None,
        state: state.to_owned(),
        held: None,
        alarms: Vec::new(),
    }
}

/// Ends what is gone or has changed, and begins what is new.
async fn follow(
    running: &RwLock<HashMap<LookupName, Running>>,
    appliance: &Appliance,
    prober: &Prober,
    config: &Arc<Config>,
) {
    let is_same = |running: &Running| {
        let lookup = config.user_lookup(&running.given.lookup.name);
        lookup.is_some_and(|lookup| Given::of(config, lookup) == running.given)
    };
    let gone: Vec<Running> = {
        let mut running = running.write().unwrap_or_else(PoisonError::into_inner);
        running.extract_if(|_, running| !is_same(running)).map(|(_, running)| running).collect()
    };
    for ended in gone {
        ended.lookup.end().await;
    }
    for lookup in &config.user_lookups {
        if running.read().unwrap_or_else(PoisonError::into_inner).contains_key(&lookup.name) {
            continue;
        }
        let given = Given::of(config, lookup);
        if let Some(begun) = begin(appliance, prober, config, &given).await {
            let mut running = running.write().unwrap_or_else(PoisonError::into_inner);
            running.insert(lookup.name.clone(), Running { given, lookup: begun });
        }
    }
}

/// Begins a user lookup; `None` for one that only checks logins, or whose copy cannot be read.
async fn begin(
    appliance: &Appliance,
    prober: &Prober,
    config: &Arc<Config>,
    Given { lookup: given, domains, .. }: &Given,
) -> Option<Arc<dyn Lookup>> {
    match &given.method {
        Method::Ldap(ldap) => {
            Some(Arc::new(LdapLookup::start(appliance, prober, config, (given, domains), ldap).await))
        }
        Method::EntraId(entra) => match graph::GraphLookup::start(appliance, prober, given, entra).await {
            Ok(lookup) => Some(Arc::new(lookup)),
            Err(error) => {
                let event = appliance.events.event(Kind::LookupChanged).fault(FaultClass::Resource);
                appliance.events.record(event.field("lookup", &given.name).field("error", error));
                None
            }
        },
        _ => None,
    }
}
