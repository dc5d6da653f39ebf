//! The event log: what happened, in a ring of bounded size, newest first when it is searched.

pub(crate) mod ring;
pub(crate) mod search;

use std::{borrow::Cow, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, MessageId, SessionId, Timestamp};

/// Longest kind and longest field name, in bytes.
pub const NAME_MAX: usize = 48;
/// Fields of one event.
pub const FIELDS_MAX: usize = 32;
/// Longest value of a field, in bytes; what is longer is cut at a character and ends with `…`.
pub const VALUE_MAX: usize = 1024;
/// Events on one page of a search.
pub const PAGE_MAX: usize = 1000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: Timestamp,
    /// Dotted words, such as `smtp.accepted` or `delivery.deferred`.
    pub kind: Cow<'static, str>,
    pub session: Option<SessionId>,
    pub message: Option<MessageId>,
    pub delivery: Option<DeliveryId>,
    /// Whose fault it was, when something failed.
    pub fault: Option<FaultClass>,
    pub fields: Vec<(Cow<'static, str>, Box<str>)>,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultClass {
    Peer,
    Configuration,
    Resource,
    Bug,
}

/// Where an event stands in the log; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Events are kept in blocks, each written by one commit.
    pub(crate) block: u64,
    pub(crate) index: u16,
}

/// What is looked for. Everything given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    pub time: Option<Range<Timestamp>>,
    /// A kind, or a prefix of whole words: `delivery` finds `delivery.deferred`.
    pub kind: Option<String>,
    pub session: Option<SessionId>,
    pub message: Option<MessageId>,
    pub fault: Option<FaultClass>,
    /// Found in the kind, a field's name or a value, whatever the case.
    pub text: Option<String>,
    /// Where the page before ended.
    pub before: Option<Position>,
    /// Events wanted, at most [`PAGE_MAX`]; 0 means [`PAGE_MAX`].
    pub limit: usize,
}

/// One page of events, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    pub events: Vec<(Position, Event)>,
    /// Give it as [`Query::before`] for the next page; `None` when the log's beginning was reached.
    pub next: Option<Position>,
}

impl Event {
    /// An event without ids and fields. A longer `kind` than [`NAME_MAX`] is cut.
    pub fn new(at: Timestamp, kind: impl Into<Cow<'static, str>>) -> Self {
        let kind = bounded(kind.into(), NAME_MAX);
        Self { at, kind, session: None, message: None, delivery: None, fault: None, fields: Vec::new() }
    }

    #[must_use]
    pub fn session(mut self, id: SessionId) -> Self {
        self.session = Some(id);
        self
    }

    #[must_use]
    pub fn message(mut self, id: MessageId) -> Self {
        self.message = Some(id);
        self
    }

    /// Names the delivery and its message.
    #[must_use]
    pub fn delivery(mut self, id: DeliveryId) -> Self {
        self.message = Some(id.message);
        self.delivery = Some(id);
        self
    }

    #[must_use]
    pub fn fault(mut self, fault: FaultClass) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Adds a field; beyond [`FIELDS_MAX`] it is left out, a value beyond [`VALUE_MAX`] is cut.
    #[must_use]
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        if self.fields.len() < FIELDS_MAX {
            let value = bounded(Cow::Owned(value.to_string()), VALUE_MAX).into_owned();
            self.fields.push((bounded(name.into(), NAME_MAX), value.into_boxed_str()));
        }
        self
    }
}

impl Event {
    /// Bytes that it takes in memory and, about, on the disk.
    pub(crate) fn size(&self) -> usize {
        const FIXED: usize = 64;
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        FIXED + self.kind.len() + fields
    }

    /// Brings an event whose fields were filled in by hand within the limits.
    pub(crate) fn check(&mut self) {
        let within = |text: &mut Cow<'static, str>| *text = bounded(std::mem::take(text), NAME_MAX);
        within(&mut self.kind);
        self.fields.truncate(FIELDS_MAX);
        for (name, value) in &mut self.fields {
            within(name);
            crate::message::cut(value, VALUE_MAX);
        }
    }
}

/// `text` in at most `max` bytes.
pub(crate) fn bounded(text: Cow<'static, str>, max: usize) -> Cow<'static, str> {
    const MARK: &str = "…";
    if text.len() <= max {
        return text;
    }
    let mut end = max.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{MARK}", &text[..end]))
}
