//! The durable store: spool, queue, event log and configuration in one redb database.
