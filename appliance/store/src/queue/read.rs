//! Reading the queue.

use std::{collections::VecDeque, fmt, sync::Arc};

use super::Delivery;
use crate::{
    DeliveryId, MessageId, StoreError, Timestamp,
    engine::Engine,
    failure::Failure,
    tables::{QUEUE, SCHEDULE, decode},
};

/// A delivery and when it is to be tried. Ordered by that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due {
    pub at: Timestamp,
    pub id: DeliveryId,
}

/// Entries read by one snapshot of [`Deliveries`].
const BATCH: usize = 64;
/// Entries that [`due`] returns at once.
const DUE_MAX: usize = 4096;

/// All entries of the queue, oldest message first. It holds a few at a time, and keeps no snapshot between
/// them: an entry that is added or done meanwhile may be seen or not.
pub struct Deliveries {
    engine: Arc<Engine>,
    read: VecDeque<Delivery>,
    /// The first key that is not read yet; `None` at the end.
    next: Option<(u64, u16)>,
}

impl Deliveries {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, read: VecDeque::new(), next: Some((0, 0)) }
    }

    fn fill(&mut self, from: (u64, u16)) -> Result<(), StoreError> {
        let read = self.engine.read(|snapshot| {
            let rows = snapshot.open_table(QUEUE)?.range(from..)?;
            rows.take(BATCH).map(|row| decode(row?.1.value(), "a delivery")).collect::<Result<_, Failure>>()
        });
        self.next = None;
        self.read = read?;
        if self.read.len() == BATCH {
            self.next = self.read.back().map(|last| match last.id.number.checked_add(1) {
                Some(number) => (last.id.message.raw(), number),
                None => (last.id.message.raw() + 1, 0),
            });
        }
        Ok(())
    }
}

impl Iterator for Deliveries {
    type Item = Result<Delivery, StoreError>;

    /// Reads the next entry; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() {
            let from = self.next?;
            if let Err(error) = self.fill(from) {
                return Some(Err(error));
            }
        }
        self.read.pop_front().map(Ok)
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deliveries(next {:?})", self.next)
    }
}

pub(crate) fn delivery(engine: &Engine, id: DeliveryId) -> Result<Delivery, StoreError> {
    engine.read(|snapshot| {
        let row = snapshot.open_table(QUEUE)?.get((id.message.raw(), id.number))?;
        decode(row.ok_or_else(|| StoreError::not_found("delivery", id))?.value(), "a delivery")
    })
}

pub(crate) fn deliveries_of(engine: &Engine, message: MessageId) -> Result<Vec<Delivery>, StoreError> {
    let raw = message.raw();
    engine.read(|snapshot| {
        let rows = snapshot.open_table(QUEUE)?.range((raw, 0)..=(raw, u16::MAX))?;
        rows.map(|row| decode(row?.1.value(), "a delivery")).collect()
    })
}

/// What is due at `now`, after `after`, at most `limit` and [`DUE_MAX`].
pub(crate) fn due(
    engine: &Engine,
    now: Timestamp,
    after: Option<Due>,
    limit: usize,
) -> Result<Vec<Due>, StoreError> {
    use std::ops::Bound::{Excluded, Included};
    let from = match after {
        Some(due) => Excluded((due.at.unix_micros(), due.id.message.raw(), due.id.number)),
        None => Included((0, 0, 0)),
    };
    let to = Included((now.unix_micros(), u64::MAX, u16::MAX));
    if after.is_some_and(|due| due.at > now) {
        return Ok(Vec::new());
    }
    engine.read(|snapshot| {
        let rows = snapshot.open_table(SCHEDULE)?.range::<(u64, u64, u16)>((from, to))?;
        rows.take(limit.min(DUE_MAX)).map(|row| Ok(due_at(row?.0.value()))).collect()
    })
}

pub(crate) fn next_due(engine: &Engine) -> Result<Option<Due>, StoreError> {
    use redb::ReadableTable;
    engine.read(|snapshot| {
        let first = snapshot.open_table(SCHEDULE)?.first()?.map(|(key, _)| due_at(key.value()));
        Ok(first)
    })
}

fn due_at((at, message, number): (u64, u64, u16)) -> Due {
    let id = DeliveryId { message: MessageId::from_raw(message), number };
    Due { at: Timestamp::from_unix_micros(at), id }
}
