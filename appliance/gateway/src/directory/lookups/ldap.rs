//! A directory that is asked by LDAP, and of which a copy is kept for when it does not answer.

mod fault;
mod keeper;
mod news;
mod shelf;

use std::{
    sync::{Arc, Mutex, RwLock, atomic::AtomicBool},
    time::Duration,
};

use config_schema::{Config, UserLookup, name::DomainName, user_lookup::ldap::Ldap};
use control::operation::{LookupView, time};
use directory::{answer::LookupAnswer, copy::Copy};
use smtp::address::Address;
use store::{Timestamp, log::FaultClass};
use tokio::{task::spawn_blocking, time::timeout};

use super::{Lookup, blank};
use crate::{
    appliance::Appliance,
    delivery::Prober,
    directory::ldap::{LdapDirectory, Outside},
    event::Kind,
    transport::Boxed,
};
use keeper::{Keeper, Order, Shared};
use shelf::{Found, Shelf};

/// How long a read that was asked for is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The lookup.
#[derive(Debug)]
pub(crate) struct LdapLookup {
    given: UserLookup,
    pub(crate) directory: LdapDirectory,
    keeper: Keeper,
}

impl LdapLookup {
    /// Loads the copy, and begins to keep it for the `domains` that ask this lookup. Must be called inside the
    /// runtime.
    pub(super) async fn start(
        appliance: &Appliance,
        prober: &Prober,
        config: &Arc<Config>,
        (given, domains): (&UserLookup, &[DomainName]),
        ldap: &Ldap,
    ) -> LdapLookup {
        let directory = LdapDirectory::new(ldap.clone(), Outside::of(prober, config));
        LdapLookup::with(appliance, directory, given, domains).await
    }

    async fn with(
        appliance: &Appliance,
        directory: LdapDirectory,
        given: &UserLookup,
        domains: &[DomainName],
    ) -> LdapLookup {
        // Where it only checks logins nobody asks for addresses.
        let every = directory.config().pace.sync_every.duration();
        let every = (!every.is_zero() && !domains.is_empty()).then_some(every);
        let ended = Arc::new(AtomicBool::new(false));
        let found = found(appliance, given, directory.config(), every.is_some(), ended.clone()).await;
        let (shelf, copy) = found.map_or((None, Copy::new()), |found| (Some(found.shelf), found.copy));
        let shared = Shared {
            name: given.name.clone(),
            appliance: appliance.clone(),
            directory: directory.clone(),
            ours: domains.iter().cloned().collect(),
            every,
            copy: RwLock::new(Arc::new(copy)),
            standing: Mutex::default(),
            shelf: shelf.map(|shelf| Arc::new(Mutex::new(shelf))),
            ended,
        };
        LdapLookup { given: given.clone(), directory, keeper: Keeper::start(shared) }
    }
}

/// What lies on the disk. Where that cannot be read the directory is asked nevertheless, and a copy kept in memory.
async fn found(
    appliance: &Appliance,
    given: &UserLookup,
    ldap: &Ldap,
    keeps: bool,
    ended: Arc<AtomicBool>,
) -> Option<Found> {
    let (store, name, ldap) = (appliance.store.clone(), given.name.clone(), ldap.clone());
    let opening = spawn_blocking(move || match keeps {
        true => Shelf::open(&store, name.as_str(), &ldap, ended).map(Some),
        false => Shelf::clear(&store, name.as_str()).map(|()| None),
    });
    let opened = match opening.await {
        Ok(opened) => opened,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let event = |class| {
        let event = appliance.events.event(Kind::DirectoryFault).fault(class);
        event.field("lookup", &given.name)
    };
    match opened {
        Ok(found) => {
            if let Some(why) = found.as_ref().and_then(|found| found.unread) {
                appliance.events.record(event(FaultClass::Configuration).field("why", why));
            }
            found
        }
        Err(error) => {
            appliance.events.record(event(FaultClass::Resource).field("why", error));
            None
        }
    }
}

impl Lookup for LdapLookup {
    fn ask<'a>(&'a self, address: &'a Address) -> Boxed<'a, LookupAnswer> {
        Box::pin(async {
            let answer = self.directory.look_up(address).await;
            match answer {
                LookupAnswer::Unavailable { .. } => self.keeper.shared.vouch(address).unwrap_or(answer),
                answer => answer,
            }
        })
    }

    fn view(&self) -> LookupView {
        let shared = &self.keeper.shared;
        let copy = shared.copy();
        let asked = self.directory.standing();
        let state = match (&asked.trouble, &asked.server) {
            (Some(trouble), _) if copy.is_empty() => format!("{}: {}", trouble.server, trouble.shown),
            (Some(trouble), _) => {
                format!("{}: {}; the copy vouches for whom it knows", trouble.server, trouble.shown)
            }
            (None, Some(server)) => format!("asks {server}"),
            (None, None) => "has not been asked yet".to_owned(),
        };
        let standing = shared.standing();
        let mut alarms: Vec<String> = asked.trouble.map(|trouble| trouble.detail).into_iter().collect();
        alarms.extend(standing.fault.as_ref().map(ToString::to_string).filter(|text| !alarms.contains(text)));
        if standing.left_out > 0 {
            let (count, why) = (standing.left_out, &standing.left_out_why);
            alarms.push(format!("{count} entries are not in the copy, the first as {why}"));
        }
        let now = shared.appliance.clock.now().unix_seconds();
        let read_at = copy.age(now).map(|age| now.saturating_sub(age.as_secs()));
        let held =
            |losses: &str| format!("the last read would remove {losses}: confirm it, or mend the directory");
        LookupView {
            addresses: shared.every.map(|_| copy.addresses() as u64),
            synced_at: read_at.map(|at| time(Timestamp::from_unix_seconds(at))),
            held: standing.held.as_ref().map(|read| held(&read.losses)),
            alarms,
            ..blank(&self.given, &state)
        }
    }

    fn sync(&self) -> Boxed<'_, Result<(), String>> {
        Box::pin(async {
            let late = || Err(format!("it is not over after {} s, and goes on", PATIENCE.as_secs()));
            timeout(PATIENCE, self.keeper.order(Order::Read)).await.unwrap_or_else(|_| late())
        })
    }

    fn confirm(&self) -> Boxed<'_, Result<(), String>> {
        Box::pin(self.keeper.order(Order::Confirm))
    }

    fn end(&self) -> Boxed<'_, ()> {
        Box::pin(self.keeper.end())
    }

    fn ldap(&self) -> Option<&LdapLookup> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
