//! Every bound of the store, with its default.

use std::time::Duration;

/// The bounds of a store. `Limits::default()` suits an appliance; each is a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in bytes. Default 150 MB.
    pub message_bytes: u64,
    /// A message up to this size is held in memory until its one commit; a larger one is spilled as it
    /// comes. Default 256 KiB.
    pub held_bytes: usize,
    /// Memory for all messages being received together, in bytes. Default 64 MiB.
    pub writer_memory_bytes: u64,
    /// Writes that may wait for the writer thread. Default 4,096.
    pub waiting_writes: usize,
    /// Writes in one commit. Default 256.
    pub group_writes: usize,
    /// Bytes of body in one commit, so that a commit stays short. Default 8 MiB.
    pub group_bytes: usize,
    /// Recipients of one message. RFC 5321 §4.5.3.1.8 demands 100 at least. Default 1,000.
    pub recipients: usize,
    /// Longest text of a reply kept with a delivery, in bytes. Default 1,024.
    pub reply_text_bytes: usize,
    /// Accepting stops when less than this share of the disk is free, in percent. Default 10.
    pub reserve_percent: u8,
    /// Accepting stops when less than this is free, in bytes. Default 1 GB.
    pub reserve_bytes: u64,
    /// On a small disk [`Limits::reserve_bytes`] counts for no more than this share, in percent. Default 25.
    pub reserve_percent_max: u8,
    /// Bytes of the event log; `None`: 10 % of the disk.
    pub log_bytes: Option<u64>,
    /// Bytes of the audit log; `None`: 2 % of the disk.
    pub audit_bytes: Option<u64>,
    /// Events that may wait to be written; the oldest of them are dropped and counted. Default 8,192.
    pub waiting_events: usize,
    /// Bytes of events that may wait. Default 4 MiB.
    pub waiting_event_bytes: usize,
    /// How long an event may wait for a commit of something else before one is made for it. Default 1 s.
    pub event_delay: Duration,
    /// Earlier configurations that are kept. Default 100.
    pub configurations: usize,
    /// Largest configuration text or other value of the appliance's own, in bytes. Default 4 MiB.
    pub value_bytes: usize,
    /// Longest key of a record or of a directory's object, in bytes. Default 512.
    pub record_key_bytes: usize,
    /// Largest record, object of a directory, or state of one, in bytes. Default 64 kB.
    pub record_bytes: usize,
    /// Rows that one change of records or of a directory puts and removes. Default 10,000.
    pub change_rows: usize,
    /// Records of what was found about domains. Default 20,000.
    pub domain_checks: usize,
    /// Records of what was answered about recipients. Default 1,000,000.
    pub verifications: usize,
    /// Records of logins. Default 500,000.
    pub logins: usize,
    /// Records of how user lookups fare. Default 1,000.
    pub lookup_states: usize,
    /// User lookups with a copy of their directory. Default 1,000.
    pub directories: usize,
    /// Objects of all copies, of which a lookup may have two while one replaces the other. Default 2,000,000.
    pub directory_objects: usize,
    /// Streams; mail that would need one more waits at its sender's. Default 1,000,000.
    pub streams: usize,
    /// Counts of all cycles, each of one stream and domain; the same holds. Default 20,000,000.
    pub counts: usize,
    /// Billing cycles whose counts are kept: three years and the present one. Default 37.
    pub cycles: usize,
    /// Valid recipients of all streams, and in one change. Default 500,000.
    pub valid_recipients: usize,
    /// The database's page cache, in bytes. Default 32 MiB.
    pub cache_bytes: usize,
    /// First wait before a failed disk is opened again; doubled up to [`Limits::reopen_wait_max`].
    pub reopen_wait: Duration,
    /// Default 30 s.
    pub reopen_wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 150_000_000,
            held_bytes: 256 << 10,
            writer_memory_bytes: 64 << 20,
            waiting_writes: 4096,
            group_writes: 256,
            group_bytes: 8 << 20,
            recipients: 1000,
            reply_text_bytes: 1024,
            reserve_percent: 10,
            reserve_bytes: 1_000_000_000,
            reserve_percent_max: 25,
            log_bytes: None,
            audit_bytes: None,
            waiting_events: 8192,
            waiting_event_bytes: 4 << 20,
            event_delay: Duration::from_secs(1),
            configurations: 100,
            value_bytes: 4 << 20,
            record_key_bytes: 512,
            record_bytes: 64_000,
            change_rows: 10_000,
            domain_checks: 20_000,
            verifications: 1_000_000,
            logins: 500_000,
            lookup_states: 1_000,
            directories: 1_000,
            directory_objects: 2_000_000,
            streams: 1_000_000,
            counts: 20_000_000,
            cycles: 37,
            valid_recipients: 500_000,
            cache_bytes: 32 << 20,
            reopen_wait: Duration::from_millis(100),
            reopen_wait_max: Duration::from_secs(30),
        }
    }
}
