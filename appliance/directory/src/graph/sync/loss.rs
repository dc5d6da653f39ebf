//! What would be lost.

use std::collections::{BTreeMap, HashSet};

use config_schema::{Guid, name::DomainName};

use super::progress::{Progress, Staging};
use crate::{graph::record::Record, hold};

/// Addresses of a domain that would be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The domain.
    pub domain: DomainName,
    /// So many would be lost.
    pub lost: usize,
    /// So many there are.
    pub of: usize,
}

/// The domains that would lose too many addresses, if everything that was read to its end were applied.
pub(super) fn too_large(all: &[Progress], ours: &HashSet<DomainName>) -> Vec<Loss> {
    let after: Vec<After<'_>> = all.iter().map(After::new).collect();
    let is_lost = |address: &&str| !after.iter().any(|after| after.has(address));
    let mut lost: HashSet<&str> = HashSet::new();
    for progress in all {
        let (Some(live), Some(staged)) = (&progress.live, progress.complete()) else { continue };
        let ours = |address: &&str| domain(address, ours).is_some();
        match &staged.staging {
            Staging::Full(_) => {
                let before =
                    live.objects.iter().flat_map(|(_, record)| record.addresses(progress.collection));
                lost.extend(before.filter(ours).filter(is_lost));
            }
            Staging::Changes(changes) => {
                let before = changes.keys().filter_map(|id| live.objects.get(*id));
                let before = before.flat_map(|record| record.addresses(progress.collection));
                lost.extend(before.filter(ours).filter(is_lost));
            }
        }
    }
    if lost.is_empty() {
        return Vec::new();
    }
    count(all, &lost, ours)
}

fn count(all: &[Progress], lost: &HashSet<&str>, ours: &HashSet<DomainName>) -> Vec<Loss> {
    let mut domains: BTreeMap<&DomainName, Loss> = BTreeMap::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for progress in all {
        let Some(live) = &progress.live else { continue };
        for address in live.objects.iter().flat_map(|(_, record)| record.addresses(progress.collection)) {
            let Some(domain) = domain(address, ours) else { continue };
            if !seen.insert(address) {
                continue;
            }
            let loss =
                domains.entry(domain).or_insert_with(|| Loss { domain: domain.clone(), lost: 0, of: 0 });
            loss.of += 1;
            loss.lost += usize::from(lost.contains(address));
        }
    }
    domains.into_values().filter(|loss| hold::is_held(loss.lost, loss.of)).collect()
}

/// The domain of an address, if it is one of ours.
pub(super) fn domain<'d>(address: &str, ours: &'d HashSet<DomainName>) -> Option<&'d DomainName> {
    let (_, name) = address.rsplit_once('@')?;
    ours.get(&DomainName::parse(name).ok()?)
}

/// A collection as it would be.
struct After<'p> {
    progress: &'p Progress,
    /// The addresses of what has changed.
    changed: HashSet<&'p str>,
}

impl<'p> After<'p> {
    fn new(progress: &'p Progress) -> After<'p> {
        let mut changed = HashSet::new();
        if let Some(Staging::Changes(changes)) = progress.complete().map(|staged| &staged.staging) {
            let records = changes.values().flatten();
            changed.extend(records.flat_map(|record| record.addresses(progress.collection)));
        }
        After { progress, changed }
    }

    fn has(&self, address: &str) -> bool {
        let live = || self.progress.live.iter().flat_map(|live| live.objects.owners(address));
        match self.progress.complete().map(|staged| &staged.staging) {
            None => live().next().is_some(),
            Some(Staging::Full(objects)) => objects.owners(address).next().is_some(),
            Some(Staging::Changes(changes)) => {
                let untouched = |(id, _): &(Guid, &Record)| !changes.contains_key(id);
                self.changed.contains(address) || live().any(|owner| untouched(&owner))
            }
        }
    }
}
