//! User counts: which streams received mail in a billing cycle.

pub mod cycle;
pub mod expiry;

use std::collections::{BTreeMap, BTreeSet};

use config_schema::Config;
use control::operation::{CountView, CountedStreamView, ProvisioningView, ROWS_MAX, time};
use store::{Store, StoreError};

/// The counts of a billing cycle. No number is given for a domain that is not `validated`; one that is no longer
/// configured counts as it did.
///
/// # Errors
/// The store cannot be read.
pub fn view(
    store: &Store,
    config: &Config,
    wanted: u32,
    validated: impl Fn(&str) -> bool,
) -> Result<ProvisioningView, StoreError> {
    let mut domains: BTreeMap<String, BTreeSet<Box<str>>> =
        config.domains.iter().map(|domain| (domain.name.to_string(), BTreeSet::new())).collect();
    let mut realms: BTreeMap<String, BTreeSet<Box<str>>> = BTreeMap::new();
    let mut streams = Vec::new();
    for count in store.counts(wanted) {
        let count = count?;
        if !validated(&count.domain) {
            continue;
        }
        domains.entry(count.domain.to_string()).or_default().insert(count.stream.clone());
        let realm = count.stream.split_once(':').map_or("", |(realm, _)| realm);
        realms.entry(realm.to_owned()).or_default().insert(count.stream.clone());
        if streams.len() < ROWS_MAX {
            streams.push(CountedStreamView {
                first_at: time(count.first_at),
                last_at: time(count.last_at),
                messages: count.messages,
                because: format!("{}: {}", count.address, count.because),
                stream: count.stream.into(),
                domain: count.domain.into(),
            });
        }
    }
    let counted = |(name, streams): (String, BTreeSet<Box<str>>)| {
        let streams = validated(&name).then_some(streams.len() as u64);
        CountView { name, streams }
    };
    Ok(ProvisioningView {
        cycle: cycle::text(wanted),
        domains: domains.into_iter().map(counted).collect(),
        realms: realms
            .into_iter()
            .map(|(name, streams)| CountView { name, streams: Some(streams.len() as u64) })
            .collect(),
        streams,
        cycles: store.cycles()?.into_iter().rev().map(cycle::text).collect(),
    })
}
