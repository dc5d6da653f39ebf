//! The whole directory, page by page (RFC 2696), for a local copy of it.

use config_schema::user_lookup::ldap::{AttributeName, Filter, Ldap, Test};

use super::{
    client::{Found, Page, Scope, Search},
    message::ServerResult,
    recipient::{self, Recipient},
};

/// Entries that are read.
pub const ENTRIES_MAX: usize = 500_000;
/// Pages without an entry, in a row.
pub const EMPTY_PAGES_MAX: u32 = 100;

/// A read of the whole directory.
#[derive(Debug)]
pub struct Sync {
    cookie: Vec<u8>,
    done: bool,
    empty_pages: u32,
    counts: Counts,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pages.
    pub pages: usize,
    /// Entries of the server's.
    pub entries: usize,
    /// Those of them that are recipients; the others have no address that mail can be sent to.
    pub recipients: usize,
}

/// A read that must not become a copy: by it, people who exist would be refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncFault {
    /// A limit of the server's.
    #[error("the server does not let the whole directory be read: {0}")]
    Cut(ServerResult),
    /// More than [`ENTRIES_MAX`].
    #[error("more than {ENTRIES_MAX} entries; a `filter` or a `base` farther down would narrow them")]
    TooMany,
    /// No end in sight.
    #[error("the server sends the same page, or empty ones, again and again")]
    Endless,
}

impl Sync {
    /// A read from the beginning.
    pub fn new() -> Sync {
        Sync { cookie: Vec::new(), done: false, empty_pages: 0, counts: Counts::default() }
    }

    /// The search for the next page; `None`: everything was read. All pages have to be asked for on one connection.
    pub fn next(&self, ldap: &Ldap) -> Option<Search> {
        let size = ldap.pace.page_size;
        (!self.done).then(|| Search {
            base: ldap.base.as_str().to_owned(),
            scope: Scope::Subtree,
            filter: Filter::And(vec![ldap.entries(), any_address(&ldap.address_attributes)]),
            attributes: recipient::attributes(ldap),
            size_limit: None,
            time_limit: ldap.pace.time_limit.duration(),
            page: Some(Page { size, cookie: self.cookie.clone() }),
            entries_max: usize::try_from(size).unwrap_or(usize::MAX),
        })
    }

    /// Takes a page: its recipients. Whether a directory without any is to be believed is for the copy to judge.
    ///
    /// # Errors
    /// Then the read is worth nothing.
    pub fn page(&mut self, ldap: &Ldap, found: Found) -> Result<Vec<Recipient>, SyncFault> {
        if let Some(limit) = found.cut {
            return Err(SyncFault::Cut(limit));
        }
        self.empty_pages = if found.entries.is_empty() { self.empty_pages + 1 } else { 0 };
        let again = !found.cookie.is_empty() && found.cookie == self.cookie && found.entries.is_empty();
        if again || self.empty_pages > EMPTY_PAGES_MAX {
            return Err(SyncFault::Endless);
        }
        let recipients: Vec<Recipient> =
            found.entries.iter().filter_map(|entry| Recipient::of(ldap, entry)).collect();
        self.counts.pages += 1;
        self.counts.entries += found.entries.len();
        self.counts.recipients += recipients.len();
        if self.counts.entries > ENTRIES_MAX {
            return Err(SyncFault::TooMany);
        }
        self.done = found.cookie.is_empty();
        self.cookie = found.cookie;
        Ok(recipients)
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

impl Default for Sync {
    fn default() -> Sync {
        Sync::new()
    }
}

fn any_address(names: &[AttributeName]) -> Filter {
    let present =
        |name: &AttributeName| Filter::Item { attribute: name.as_str().to_owned(), test: Test::Present };
    Filter::Or(names.iter().map(present).collect())
}

#[cfg(test)]
mod tests;
