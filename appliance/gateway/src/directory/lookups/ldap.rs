//! A directory that is asked by LDAP.

use std::sync::Arc;

use config_schema::{Config, UserLookup, user_lookup::ldap::Ldap};
use control::operation::LookupView;
use directory::answer::LookupAnswer;
use smtp::address::Address;

use super::{Lookup, blank};
use crate::{
    delivery::Prober,
    directory::ldap::{LdapDirectory, Outside},
    transport::Boxed,
};

/// The lookup. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LdapLookup {
    given: Arc<UserLookup>,
    pub(crate) directory: LdapDirectory,
}

impl LdapLookup {
    pub(super) fn start(
        prober: &Prober,
        config: &Arc<Config>,
        given: &UserLookup,
        ldap: &Ldap,
    ) -> LdapLookup {
        let outside = Outside::of(prober, config);
        LdapLookup { given: Arc::new(given.clone()), directory: LdapDirectory::new(ldap.clone(), outside) }
    }
}

impl Lookup for LdapLookup {
    fn ask<'a>(&'a self, address: &'a Address) -> Boxed<'a, LookupAnswer> {
        Box::pin(self.directory.look_up(address))
    }

    fn view(&self) -> LookupView {
        let standing = self.directory.standing();
        let (known, _) = self.directory.remembered();
        let state = match (&standing.trouble, &standing.server) {
            (Some(trouble), _) => format!("{}: {}", trouble.server, trouble.shown),
            (None, Some(server)) => format!("asks {server}"),
            (None, None) => "has not been asked yet".to_owned(),
        };
        let alarms = standing.trouble.map(|trouble| trouble.detail).into_iter().collect();
        LookupView { addresses: Some(known as u64), alarms, ..blank(&self.given, &state) }
    }

    fn sync(&self) -> Boxed<'_, Result<(), String>> {
        Box::pin(async {
            let mut read = self.directory.read_all();
            while read.next().await.map_err(|fault| fault.to_string())?.is_some() {}
            Ok(())
        })
    }

    fn confirm(&self) -> Boxed<'_, Result<(), String>> {
        Box::pin(async {
            Err("nothing is held: an address is asked of the directory when mail comes".to_owned())
        })
    }

    fn ldap(&self) -> Option<&LdapLookup> {
        Some(self)
    }
}
