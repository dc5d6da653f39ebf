//! Is a recipient real, and whose is it? Carries what `directory` decides to the lookups, tables and servers that it
//! asks, and keeps what they say.

mod checks;
mod decider;
pub mod graph;
pub mod http;
mod keeper;
pub mod ldap;
mod logins;
mod lookups;
pub mod mailbox;
pub mod outside;
mod task;
mod verification;
mod view;

use std::{net::IpAddr, sync::Arc};

use config_schema::{Config, LookupName, name::DomainName};
use control::{
    Refusal,
    operation::{DomainView, EnrolmentView, Login, LoginView, LookupView},
};
use directory::decision::{NotOurs, Verdict};
use smtp::address::Address;

use crate::{
    appliance::Appliance,
    delivery::Prober,
    dns::{Resolver, Settings},
    transport::Nowhere,
};
use checks::Checks;
use decider::Decider;
use logins::Logins;
use lookups::Lookups;
use verification::Verifier;

/// The directory of the running gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    decider: Decider,
    checks: Checks,
    logins: Logins,
}

impl Directory {
    /// Loads what is remembered, and begins. Must be called inside the runtime.
    ///
    /// `secret` is the appliance's own; passwords that servers took are remembered under a key made of it.
    pub fn start(appliance: Appliance, prober: Prober, secret: &[u8; 32]) -> Directory {
        let lookups = Arc::new(Lookups::start(&appliance, &prober));
        let logins = Logins::new(appliance.clone(), prober.clone(), lookups.clone(), secret);
        let verifier = Verifier::start(appliance.clone(), prober);
        let decider = Decider { appliance, verifier, lookups };
        let checks = Checks::start(decider.clone());
        Directory(Arc::new(Shared { decider, checks, logins }))
    }

    /// One that can ask nobody: for programs that only receive. Must be called inside the runtime.
    pub fn unconnected(appliance: Appliance) -> Directory {
        let transport = Arc::new(Nowhere);
        let resolver = Resolver::new(transport.clone(), Settings::default());
        // Nobody logs in there, and nothing is remembered under it.
        let secret = [0; 32];
        Directory::start(appliance.clone(), Prober::new(appliance, transport, resolver), &secret)
    }

    /// Decides on a recipient in a domain of ours; `client` is the address that the mail comes from.
    ///
    /// # Errors
    /// The domain is none of the configuration's.
    pub async fn decide(
        &self,
        config: &Config,
        client: Option<IpAddr>,
        address: &Address,
    ) -> Result<Verdict, NotOurs> {
        self.0.decider.decide(config, client, address).await
    }

    /// Whether unknown recipients of this domain are refused, by the last check.
    pub fn is_validated(&self, domain: &str) -> bool {
        let state = DomainName::parse(domain).ok().and_then(|name| self.0.checks.state(&name));
        state.is_some_and(|state| state.validated)
    }

    /// Checks one domain or all now, and waits for what is found.
    ///
    /// # Errors
    /// There is no such domain.
    pub async fn check(&self, name: Option<&str>) -> Result<(), Refusal> {
        self.0.checks.run(self.named(name)?).await;
        Ok(())
    }

    /// One domain or all, as My Domains shows them.
    ///
    /// # Errors
    /// There is no such domain.
    pub fn domains(&self, name: Option<&str>) -> Result<Vec<DomainView>, Refusal> {
        let config = self.0.decider.appliance.config();
        let names = self.named(name)?;
        let view = |name: &DomainName| {
            config.domain(name).map(|domain| view::domain(&config, domain, self.0.checks.state(name)))
        };
        Ok(names.iter().filter_map(view).collect())
    }

    fn named(&self, name: Option<&str>) -> Result<Vec<DomainName>, Refusal> {
        let config = self.0.decider.appliance.config();
        let Some(text) = name else {
            return Ok(config.domains.iter().map(|domain| domain.name.clone()).collect());
        };
        let parsed = DomainName::parse(text).map_err(|why| Refusal::Malformed(format!("`{text}`: {why}")))?;
        match config.domain(&parsed) {
            Some(_) => Ok(vec![parsed]),
            None => Err(Refusal::NotFound { what: "domain".to_owned(), id: text.to_owned() }),
        }
    }

    /// Forgets what verification servers said of an address, of a domain (`@domain`), or of all; returns of how
    /// many addresses.
    pub fn forget(&self, about: Option<&str>) -> usize {
        self.0.decider.verifier.forget(about)
    }

    /// The user lookups and how each is.
    pub fn lookup_views(&self) -> Vec<LookupView> {
        self.0.decider.lookups.views(&self.0.decider.appliance.config())
    }

    /// Reads a directory again.
    ///
    /// # Errors
    /// There is no such user lookup, or it cannot.
    pub async fn sync_lookup(&self, name: &LookupName) -> Result<LookupView, Refusal> {
        let lookup = self.0.decider.lookups.get(name).ok_or_else(|| no_lookup(name))?;
        lookup.sync().await.map_err(Refusal::Unavailable)?;
        Ok(lookup.view())
    }

    /// Applies a read that was held because it would remove too much.
    ///
    /// # Errors
    /// There is no such user lookup, or nothing is held.
    pub async fn confirm_lookup(&self, name: &LookupName) -> Result<LookupView, Refusal> {
        let lookup = self.0.decider.lookups.get(name).ok_or_else(|| no_lookup(name))?;
        lookup.confirm().await.map_err(Refusal::Unavailable)?;
        Ok(lookup.view())
    }

    /// Checks a login.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn login(&self, login: &Login) -> Result<LoginView, Refusal> {
        self.0.logins.check(login).await
    }

    /// Offers a user a key for one-time codes.
    ///
    /// # Errors
    /// There is no such user, or the store does not take it.
    pub async fn enrol(&self, user: &str) -> Result<EnrolmentView, Refusal> {
        self.0.logins.enrol(user).await
    }

    /// Takes the key that was offered into use.
    ///
    /// # Errors
    /// The code does not fit it.
    pub async fn confirm_enrolment(&self, user: &str, code: &str) -> Result<EnrolmentView, Refusal> {
        self.0.logins.confirm(user, code).await
    }

    /// Forgets a user's second factor.
    ///
    /// # Errors
    /// There is no such user, or the store does not take it.
    pub async fn reset_second_factor(&self, user: &str) -> Result<(), Refusal> {
        self.0.logins.reset(user).await
    }

    /// Writes down what was learnt last, and ends.
    pub async fn stop(&self) {
        self.0.decider.verifier.stop().await;
    }
}

fn no_lookup(name: &LookupName) -> Refusal {
    Refusal::NotFound { what: "user lookup that knows addresses".to_owned(), id: name.to_string() }
}
