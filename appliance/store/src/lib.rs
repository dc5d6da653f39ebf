//! The durable store: spool, queue, event log, audit log and configuration in one database on a raw
//! partition or in a file.
//!
//! Writes return a [`Pending`]: a future that is also waited for by [`Pending::wait`]; once it says `Ok`,
//! the write survives a power cut. What waits together is committed together. Reads run on snapshots, on
//! any thread. The crate reads no clock: every time is a [`Timestamp`] handed in.

mod area;
mod configuration;
mod directory;
mod disk;
mod engine;
mod error;
mod failure;
mod format;
mod header;
mod id;
mod limits;
mod pending;
mod record;
mod scan;
mod space;
mod store;
mod tables;
mod tally;
mod valid_recipient;
mod writer;

pub mod log;
pub mod message;
pub mod queue;
pub mod spool;
pub mod stream;
pub mod testing;

pub use configuration::{Configuration, NewConfiguration, Value};
pub use directory::{DROP_STEP, DirectoryChange};
pub use disk::{Disk, FileDisk, PartitionDisk};
pub use engine::Health;
pub use error::{Resource, StoreError};
pub use id::{DeliveryId, IdError, MessageId, SessionId, Timestamp};
pub use limits::Limits;
pub use pending::Pending;
pub use record::RecordKind;
pub use scan::Scan;
pub use space::Usage;
pub use store::Store;
pub use valid_recipient::{
    VALID_RECIPIENT_MAX, ValidRecipient, ValidRecipientChange, ValidRecipientsChanged,
};
