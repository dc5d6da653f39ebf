//! The tables, and one write transaction over all of them.

use std::{borrow::Borrow, cell::Cell, ops::RangeBounds, rc::Rc};

use redb::{Key, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{failure::Failure, log::Event, record::RECORD_KINDS_MAX, space::Space, tally::Tally};

/// Every value is bytes: postcard, or the body itself.
type Bytes = &'static [u8];

/// The format's version and the [`State`].
pub(crate) const META: TableDefinition<'_, &'static str, Bytes> = TableDefinition::new("meta");
/// Message → its envelope and how its body is cut.
pub(crate) const MESSAGES: TableDefinition<'_, u64, Bytes> = TableDefinition::new("messages");
/// Message and piece → bytes of the body.
pub(crate) const BODIES: TableDefinition<'_, (u64, u32), Bytes> = TableDefinition::new("bodies");
/// Message that is being received → pieces written so far. Whatever stands here at the start is an orphan.
pub(crate) const SPILLED: TableDefinition<'_, u64, Bytes> = TableDefinition::new("spilled");
/// Message and number → delivery.
pub(crate) const QUEUE: TableDefinition<'_, (u64, u16), Bytes> = TableDefinition::new("queue");
/// Time of the next attempt, message, number → nothing. What is held does not stand here.
pub(crate) const SCHEDULE: TableDefinition<'_, (u64, u64, u16), Bytes> = TableDefinition::new("schedule");
/// Position → a block of events.
pub(crate) const LOG: TableDefinition<'_, u64, Bytes> = TableDefinition::new("log");
/// The same for the audit log.
pub(crate) const AUDIT: TableDefinition<'_, u64, Bytes> = TableDefinition::new("audit");
/// Number → configuration.
pub(crate) const CONFIGURATIONS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("configurations");
/// Name → a value of the appliance's own.
pub(crate) const VALUES: TableDefinition<'_, &'static str, Bytes> = TableDefinition::new("values");
/// Kind and key → a record.
pub(crate) const RECORDS: TableDefinition<'_, (u8, &'static str), Bytes> = TableDefinition::new("records");
/// User lookup → where its directory's copy stands.
pub(crate) const DIRECTORIES: TableDefinition<'_, &'static str, Bytes> = TableDefinition::new("directories");
/// User lookup, generation and key → an object of its directory.
pub(crate) const OBJECTS: TableDefinition<'_, (&'static str, u32, Bytes), Bytes> =
    TableDefinition::new("objects");
/// Stream → since when, and its last mail.
pub(crate) const STREAMS: TableDefinition<'_, &'static str, Bytes> = TableDefinition::new("streams");
/// Billing cycle, stream and domain → a count.
pub(crate) const COUNTS: TableDefinition<'_, (u32, &'static str, &'static str), Bytes> =
    TableDefinition::new("counts");
/// Stream and address → who let it in.
pub(crate) const VALID_RECIPIENTS: TableDefinition<'_, (&'static str, &'static str), Bytes> =
    TableDefinition::new("valid recipients");

/// The row of [`META`] that holds the [`State`].
pub(crate) const STATE_ROW: &str = "state";

/// Sums and last numbers, kept with each commit so that nothing is counted at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The last queue id given, so that none is given twice although its message is gone.
    pub(crate) last_message: u64,
    pub(crate) messages: u64,
    pub(crate) deliveries: u64,
    /// Bytes of disk that each takes, by [`crate::space::footprint`].
    pub(crate) spool_bytes: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) value_bytes: u64,
    pub(crate) log: RingState,
    pub(crate) audit: RingState,
    /// Since version 2.
    pub(crate) tallies: Tallies,
}

/// The tallies of the tables whose rows are bounded by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tallies {
    /// By the number of the kind.
    pub(crate) records: [Tally; RECORD_KINDS_MAX],
    /// User lookups that have a copy.
    pub(crate) directories: Tally,
    /// Objects of all copies.
    pub(crate) objects: Tally,
    pub(crate) streams: Tally,
    pub(crate) counts: Tally,
    pub(crate) valid_recipients: Tally,
    /// Counts of earlier cycles are being removed.
    pub(crate) counts_from: u32,
}

impl Tallies {
    pub(crate) fn bytes(&self) -> u64 {
        let others = [self.directories, self.objects, self.streams, self.counts, self.valid_recipients];
        self.records.iter().chain(&others).map(|tally| tally.bytes).sum()
    }
}

/// Where a ring ends and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct RingState {
    pub(crate) last: u64,
    pub(crate) bytes: u64,
}

/// All tables, open for one group of writes.
pub(crate) struct Transaction<'t> {
    pub(crate) meta: Rows<'t, &'static str>,
    pub(crate) messages: Rows<'t, u64>,
    pub(crate) bodies: Rows<'t, (u64, u32)>,
    pub(crate) spilled: Rows<'t, u64>,
    pub(crate) queue: Rows<'t, (u64, u16)>,
    pub(crate) schedule: Rows<'t, (u64, u64, u16)>,
    pub(crate) log: Rows<'t, u64>,
    pub(crate) audit: Rows<'t, u64>,
    pub(crate) configurations: Rows<'t, u64>,
    pub(crate) values: Rows<'t, &'static str>,
    pub(crate) records: Rows<'t, (u8, &'static str)>,
    pub(crate) directories: Rows<'t, &'static str>,
    pub(crate) objects: Rows<'t, (&'static str, u32, Bytes)>,
    pub(crate) streams: Rows<'t, &'static str>,
    pub(crate) counts: Rows<'t, (u32, &'static str, &'static str)>,
    pub(crate) valid_recipients: Rows<'t, (&'static str, &'static str)>,
    pub(crate) state: State,
    pub(crate) space: Space,
    /// Events of the writes in this group, logged at its end.
    pub(crate) events: Vec<Event>,
    written: Rc<Cell<bool>>,
}

/// One table, which notes that something was written.
pub(crate) struct Rows<'t, K: Key + 'static> {
    table: Table<'t, K, Bytes>,
    written: Rc<Cell<bool>>,
}

impl<'t> Transaction<'t> {
    pub(crate) fn open(write: &'t WriteTransaction, space: Space) -> Result<Self, Failure> {
        let written = Rc::new(Cell::new(false));
        let meta = Rows::open(write, META, &written)?;
        let state = match meta.get(STATE_ROW)? {
            Some(bytes) => decode(&bytes, "the state")?,
            None => State::default(),
        };
        Ok(Self {
            meta,
            messages: Rows::open(write, MESSAGES, &written)?,
            bodies: Rows::open(write, BODIES, &written)?,
            spilled: Rows::open(write, SPILLED, &written)?,
            queue: Rows::open(write, QUEUE, &written)?,
            schedule: Rows::open(write, SCHEDULE, &written)?,
            log: Rows::open(write, LOG, &written)?,
            audit: Rows::open(write, AUDIT, &written)?,
            configurations: Rows::open(write, CONFIGURATIONS, &written)?,
            values: Rows::open(write, VALUES, &written)?,
            records: Rows::open(write, RECORDS, &written)?,
            directories: Rows::open(write, DIRECTORIES, &written)?,
            objects: Rows::open(write, OBJECTS, &written)?,
            streams: Rows::open(write, STREAMS, &written)?,
            counts: Rows::open(write, COUNTS, &written)?,
            valid_recipients: Rows::open(write, VALID_RECIPIENTS, &written)?,
            state,
            space,
            events: Vec::new(),
            written,
        })
    }

    /// Whether anything was written since this was last asked.
    pub(crate) fn take_written(&self) -> bool {
        self.written.replace(false)
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written.get()
    }

    /// The last write before a commit.
    pub(crate) fn save_state(&mut self) -> Result<(), Failure> {
        let bytes = encode(&self.state);
        self.meta.put(STATE_ROW, &bytes)?;
        Ok(())
    }
}

impl<'t, K: Key + 'static> Rows<'t, K> {
    fn open(
        write: &'t WriteTransaction,
        definition: TableDefinition<'static, K, Bytes>,
        written: &Rc<Cell<bool>>,
    ) -> Result<Self, Failure> {
        Ok(Self { table: write.open_table(definition)?, written: written.clone() })
    }

    pub(crate) fn get<'k>(&self, key: impl Borrow<K::SelfType<'k>>) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.table.get(key)?.map(|value| value.value().to_vec()))
    }

    /// How long the value is that stands there.
    pub(crate) fn len_of<'k>(&self, key: impl Borrow<K::SelfType<'k>>) -> Result<Option<usize>, Failure> {
        Ok(self.table.get(key)?.map(|value| value.value().len()))
    }

    /// Returns how long the value was that stood there.
    pub(crate) fn put<'k>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: &[u8],
    ) -> Result<Option<usize>, Failure> {
        self.written.set(true);
        Ok(self.table.insert(key, value)?.map(|old| old.value().len()))
    }

    /// Returns how long the value was that stood there.
    pub(crate) fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Result<Option<usize>, Failure> {
        self.written.set(true);
        Ok(self.table.remove(key)?.map(|old| old.value().len()))
    }

    /// Takes the first row away and returns its length.
    pub(crate) fn remove_first(&mut self) -> Result<Option<usize>, Failure> {
        self.written.set(true);
        Ok(self.table.pop_first()?.map(|(_, value)| value.value().len()))
    }

    pub(crate) fn is_empty_in<'k, R: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<R> + 'k,
    ) -> Result<bool, Failure> {
        match self.table.range(range)?.next() {
            Some(row) => row.map(|_| false).map_err(Failure::from),
            None => Ok(true),
        }
    }

    /// The keys from `from` on, at most `limit`, up to the first that `take` wants nothing of.
    pub(crate) fn keys_from<'k, T>(
        &self,
        from: impl Borrow<K::SelfType<'k>> + 'k,
        limit: usize,
        take: impl Fn(K::SelfType<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut keys = Vec::new();
        for row in self.table.range(from..)?.take(limit) {
            let (key, _) = row?;
            let Some(key) = take(key.value()) else { break };
            keys.push(key);
        }
        Ok(keys)
    }

    pub(crate) fn first(&self) -> Result<Option<redb::AccessGuard<'_, K>>, Failure> {
        Ok(self.table.first()?.map(|(key, _)| key))
    }

    /// The value of the last row.
    pub(crate) fn last(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.table.last()?.map(|(_, value)| value.value().to_vec()))
    }

    pub(crate) fn count(&self) -> Result<u64, Failure> {
        use redb::ReadableTableMetadata;
        Ok(self.table.len()?)
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("postcard writes every type of ours to memory")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Failure> {
    postcard::from_bytes(bytes).map_err(|error| Failure::damaged(format!("{what}: {error}")))
}
