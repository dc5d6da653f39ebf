//! A read of the whole directory, page by page, on a connection of its own.

use directory::ldap::{
    client::SearchFault,
    recipient::Recipient,
    sync::{Counts, Sync, SyncFault},
};

use super::{LdapDirectory, connection::Connection, credentials};

/// A read under way. Dropped before its end it leaves nothing behind.
pub struct WholeRead {
    directory: LdapDirectory,
    sync: Sync,
    connection: Option<Connection>,
}

/// Why a read did not come to its end; what it gave until then is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    /// No server can be connected to.
    #[error("{0}")]
    Open(String),
    #[error(transparent)]
    Search(#[from] SearchFault),
    #[error(transparent)]
    Sync(#[from] SyncFault),
}

impl std::fmt::Debug for WholeRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WholeRead").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl WholeRead {
    pub(super) fn new(directory: LdapDirectory) -> WholeRead {
        WholeRead { directory, sync: Sync::new(), connection: None }
    }

    /// The recipients of the next page, which may be none of them; `None`: everything was read.
    pub async fn next(&mut self) -> Result<Option<Vec<Recipient>>, ReadFault> {
        let inner = &self.directory.0;
        let Some(search) = self.sync.next(&inner.ldap) else {
            if let Some(connection) = self.connection.take() {
                connection.leave().await;
            }
            return Ok(None);
        };
        // RFC 2696 §3: a cookie counts on the connection that it came by.
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let who = inner.ldap.bind.as_ref().and_then(credentials);
                let opened = inner.open_any(who).await.map_err(|fault| ReadFault::Open(fault.to_string()))?;
                none.insert(opened)
            }
        };
        let found = connection.ask(&search).await?;
        Ok(Some(self.sync.page(&inner.ldap, found)?))
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.sync.counts()
    }
}
