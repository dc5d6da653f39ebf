//! Reading a table from one end to the other, a few rows at a time.

use std::{collections::VecDeque, fmt, sync::Arc};

use redb::ReadTransaction;

use crate::{StoreError, engine::Engine, failure::Failure};

/// Rows read by one snapshot.
pub(crate) const BATCH: usize = 64;

/// Reads up to [`BATCH`] rows behind those that it read before; fewer at the end.
type More<T> = Box<dyn FnMut(&ReadTransaction) -> Result<Vec<T>, Failure> + Send>;

/// Rows in the order of their keys. It holds a few at a time, and keeps no snapshot between them: a row that is
/// put or removed meanwhile may be seen or not.
pub struct Scan<T> {
    engine: Arc<Engine>,
    read: VecDeque<T>,
    /// `None` at the end.
    more: Option<More<T>>,
}

impl<T> Scan<T> {
    pub(crate) fn new(
        engine: Arc<Engine>,
        more: impl FnMut(&ReadTransaction) -> Result<Vec<T>, Failure> + Send + 'static,
    ) -> Self {
        Self { engine, read: VecDeque::new(), more: Some(Box::new(more)) }
    }
}

impl<T> Iterator for Scan<T> {
    type Item = Result<T, StoreError>;

    /// Reads the next row; after an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() {
            let mut more = self.more.take()?;
            match self.engine.read(|snapshot| more(snapshot)) {
                Ok(rows) => self.read = rows.into(),
                Err(error) => return Some(Err(error)),
            }
            if self.read.len() >= BATCH {
                self.more = Some(more);
            }
        }
        self.read.pop_front().map(Ok)
    }
}

impl<T> fmt::Debug for Scan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan({} rows read)", self.read.len())
    }
}
