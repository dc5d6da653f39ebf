//! Decides on one recipient: takes each step of the decision to whom it asks.

use std::{net::IpAddr, sync::Arc};

use config_schema::{Config, LookupName, Route, RouteTls, StreamName};
use directory::{
    answer::LookupAnswer,
    decision::{Listing, NotOurs, Rules, Step, Verdict},
    verification::Via,
};
use smtp::address::{Address, Host};

use super::{
    lookups::Lookups,
    verification::{self, Verifier},
};
use crate::appliance::Appliance;

/// What a decision may ask. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Decider {
    pub(super) appliance: Appliance,
    pub(super) verifier: Verifier,
    pub(super) lookups: Arc<Lookups>,
}

/// The way to a server, protected as mail for the recipient is.
fn via(config: &Config, server: Route, address: &Address) -> Via {
    let domain = match address.host() {
        Host::Name(name) => config.domain(name),
        Host::Literal(_) => None,
    };
    match domain {
        Some(domain) => verification::way(config, domain, server),
        None => Via { server, tls: RouteTls::default(), shown: None },
    }
}

impl Decider {
    pub(super) async fn decide(
        &self,
        config: &Config,
        client: Option<IpAddr>,
        address: &Address,
    ) -> Result<Verdict, NotOurs> {
        let known = client.and_then(|client| config.known_network(client.to_canonical()));
        let mut step = Step::first(Rules::of(config, known, address)?, address);
        loop {
            step = match step {
                Step::AskLookup { name, address, then } => then.answer(self.look_up(&name, &address).await),
                Step::AskValidRecipients { stream, address, then } => {
                    then.answer(self.listing(config, &stream, &address))
                }
                Step::AskVerification { server, address, then } => {
                    then.answer(self.verifier.ask(&via(config, server, &address), &address).await)
                }
                Step::Done(verdict) => return Ok(verdict),
            };
        }
    }

    async fn look_up(&self, name: &LookupName, address: &Address) -> LookupAnswer {
        match self.lookups.get(name) {
            Some(lookup) => lookup.ask(address).await,
            None => LookupAnswer::Unavailable { why: "it has not begun yet".into() },
        }
    }

    /// Whether the stream's own table has the address: the configuration's part, or what was imported.
    fn listing(&self, config: &Config, stream: &StreamName, address: &Address) -> Listing {
        let key = address.key();
        if config.lists_recipient(stream, &key) {
            return Listing::Listed;
        }
        match self.appliance.store.valid_recipient(&stream.to_string(), &key) {
            Ok(Some(_)) => Listing::Listed,
            Ok(None) => Listing::NotListed,
            Err(error) => Listing::Unavailable { why: error.to_string().into() },
        }
    }
}
