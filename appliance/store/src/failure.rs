//! Inside the store: whether an operation is refused, or the database under it failed.

use crate::{Resource, StoreError};

/// Why an operation inside a transaction stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Only this operation is refused; its neighbours in the group go on.
    Refused(StoreError),
    /// The database handle is done for; it must be opened again.
    Disk(String),
}

impl Failure {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Refused(StoreError::Damaged(what.into()))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Resource> for Failure {
    fn from(error: Resource) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Disk(text) => Resource::Disk(text).into(),
        }
    }
}

macro_rules! disk_failure {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Disk(error.to_string())
            }
        }
    )*};
}

disk_failure!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);
