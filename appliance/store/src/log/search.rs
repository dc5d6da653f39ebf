//! Searching the logs, newest first, a page at a time.

use redb::TableDefinition;

use super::{Event, PAGE_MAX, Page, Position, Query};
use crate::{StoreError, engine::Engine, failure::Failure, tables::decode};

/// Blocks read for one page; a rare word is then looked for page by page, each with a [`Page::next`].
const SCAN_BLOCKS: usize = 4096;

pub(crate) fn search(
    engine: &Engine,
    table: TableDefinition<'static, u64, &'static [u8]>,
    query: &Query,
) -> Result<Page, StoreError> {
    let limit = if query.limit == 0 { PAGE_MAX } else { query.limit.min(PAGE_MAX) };
    let text = query.text.as_ref().map(|text| text.to_lowercase());
    let matches = |event: &Event| query.matches(event, text.as_deref());
    engine.read(|snapshot| {
        let to = query.before.map_or(u64::MAX, |before| before.block);
        let mut page = Page::default();
        for (scanned, row) in snapshot.open_table(table)?.range(..=to)?.rev().enumerate() {
            let (key, value) = row?;
            let block = key.value();
            let events: Vec<Event> = decode(value.value(), "a block of events")?;
            if scanned == SCAN_BLOCKS {
                page.next = Some(Position { block, index: u16::MAX });
                return Ok(page);
            }
            // A block is numbered at its first event's time or later, so all that is older lies before.
            if past(query, block, &events) {
                return Ok(page);
            }
            for (index, event) in events.into_iter().enumerate().rev() {
                let position = Position { block, index: index.try_into().unwrap_or(u16::MAX) };
                if query.before.is_some_and(|before| position >= before) || !matches(&event) {
                    continue;
                }
                page.events.push((position, event));
                if page.events.len() == limit {
                    page.next = Some(position);
                    return Ok(page);
                }
            }
        }
        Ok::<_, Failure>(page)
    })
}

/// Whether neither this block nor any before it can hold what is looked for.
fn past(query: &Query, block: u64, events: &[Event]) -> bool {
    let Some(time) = &query.time else { return false };
    // Events of a block may be some seconds apart, in any order, since many threads made them.
    const SPREAD_MICROS: u64 = 60_000_000;
    block.saturating_add(SPREAD_MICROS) < time.start.unix_micros()
        && events.iter().all(|event| event.at < time.start)
}

impl Query {
    fn matches(&self, event: &Event, text: Option<&str>) -> bool {
        let is = |wanted: Option<_>, found: Option<_>| wanted.is_none() || wanted == found;
        self.time.as_ref().is_none_or(|time| time.contains(&event.at))
            && self.kind.as_ref().is_none_or(|kind| is_kind(&event.kind, kind))
            && (self.session.is_none() || self.session == event.session)
            && (self.message.is_none() || self.message == event.message)
            && is(self.fault, event.fault)
            && text.is_none_or(|text| holds(event, text))
    }
}

fn is_kind(kind: &str, wanted: &str) -> bool {
    kind.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn holds(event: &Event, text: &str) -> bool {
    let found = |part: &str| part.to_lowercase().contains(text);
    found(&event.kind) || event.fields.iter().any(|(name, value)| found(name) || found(value))
}
