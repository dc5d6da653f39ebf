//! What can go wrong, by whose fault it is.

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Ours for the moment: a peer gets a 4xx reply, and nothing that was acknowledged is lost.
    #[error(transparent)]
    Resource(#[from] Resource),
    /// There is no such message, delivery or value (any more).
    #[error("{what} {name} is not in the store")]
    NotFound { what: &'static str, name: String },
    /// The caller went over a named limit; the text says which and its value.
    #[error("{0}")]
    Refused(String),
    /// The message is larger than [`crate::Limits::message_bytes`] (552 5.3.4).
    #[error("the message is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The disk holds what this program does not know; it is never formatted over.
    #[error("the disk is not ours: {0}")]
    ForeignDisk(String),
    /// The disk holds the store of a newer program.
    #[error("the store has format version {found}; this program knows up to {known}")]
    NewerFormat { found: u32, known: u32 },
    /// Something stored cannot be read back as what it should be.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A defect in this program ended this one operation; nothing of it was written.
    #[error("a defect: {0}")]
    Bug(String),
}

/// A lack that passes: of space, memory, time or a working disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Resource {
    /// The reserve is reached: 452 4.3.1.
    #[error("the store is full: {free} bytes free, of which {reserve} are kept in reserve")]
    Full { free: u64, reserve: u64 },
    /// [`crate::Limits::writer_memory_bytes`] is in use by messages being received: 451 4.3.0.
    #[error("messages being received use all of {limit} bytes")]
    Memory { limit: u64 },
    /// Mail would need a row too many, such as for a new stream: 452 4.3.1.
    #[error("there are {limit} {what} already, which is the limit")]
    TooMany { what: &'static str, limit: u64 },
    /// The queue of writes is full: 451 4.3.0.
    #[error("{limit} writes wait already")]
    Busy { limit: usize },
    /// The disk failed; the store opens it again by itself. What was being written may or may not be
    /// there: repeating it is safe.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether this is the fault of nobody but the moment, and the operation may be tried again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Resource(_))
    }

    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }
}
