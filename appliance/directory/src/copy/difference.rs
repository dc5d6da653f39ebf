//! What a sync would do to the addresses of each domain, before it does it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Claim, Copy, NONE, Object};
use crate::hold;

/// Removed addresses of a domain that are named.
pub const SHOWN_MAX: usize = 20;

/// A change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is so now.
    Put(Object),
    /// The object of this id is gone.
    Remove(Box<str>),
}

/// What changes, by domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// The domains that have or get addresses.
    pub domains: BTreeMap<Box<str>, DomainChange>,
}

/// What changes in one domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainChange {
    /// Addresses before.
    pub before: usize,
    /// How many of them are gone after.
    pub removed: usize,
    /// How many are new.
    pub added: usize,
    /// Some of the removed, at most [`SHOWN_MAX`].
    pub shown: Vec<Box<str>>,
}

impl Difference {
    /// From one copy to another that takes its place.
    pub fn between(old: &Copy, new: &Copy) -> Difference {
        let mut difference = Difference::default();
        for address in old.keys() {
            difference.had(address, new.claim_to(address) == NONE);
        }
        for address in new.keys().filter(|address| old.claim_to(address) == NONE) {
            difference.domain(address).added += 1;
        }
        difference
    }

    /// From a copy to what these changes, in their order, make of it.
    pub fn after(old: &Copy, changes: &[Change]) -> Difference {
        let mut last: HashMap<&str, Option<&Object>> = HashMap::new();
        for change in changes {
            match change {
                Change::Put(object) => last.insert(object.id(), Some(object)),
                Change::Remove(id) => last.insert(id, None),
            };
        }
        let put: HashSet<&str> = last.values().flatten().flat_map(|object| object.addresses()).collect();
        let mut difference = Difference::default();
        for address in old.keys() {
            let stays = |claim: u32| !last.contains_key(old.owner_of(claim).id);
            let removed = !put.contains(address) && !old.claims_to(old.claim_to(address)).any(stays);
            difference.had(address, removed);
        }
        for address in put.into_iter().filter(|address| old.claim_to(address) == NONE) {
            difference.domain(address).added += 1;
        }
        difference
    }

    /// The domains for whose sake the sync is held.
    pub fn held(&self) -> impl Iterator<Item = (&str, &DomainChange)> {
        let is_held = |change: &DomainChange| hold::is_held(change.removed, change.before);
        self.domains
            .iter()
            .filter(move |(_, change)| is_held(change))
            .map(|(domain, change)| (&**domain, change))
    }

    fn had(&mut self, address: &str, removed: bool) {
        let domain = self.domain(address);
        domain.before += 1;
        domain.removed += usize::from(removed);
        if removed && domain.shown.len() < SHOWN_MAX {
            domain.shown.push(address.into());
        }
    }

    fn domain(&mut self, address: &str) -> &mut DomainChange {
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
        if !self.domains.contains_key(domain) {
            self.domains.insert(domain.into(), DomainChange::default());
        }
        self.domains.get_mut(domain).expect("put there just now")
    }
}

impl Copy {
    /// Every address once.
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_address.iter().map(|root| {
            let Claim { address, .. } = self.claims[*root as usize];
            self.arena.get(address)
        })
    }
}
