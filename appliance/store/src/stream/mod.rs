//! Streams: which there are, since when, and when each had mail last.

pub(crate) mod count;

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Limits, Resource, StoreError, Timestamp,
    engine::Engine,
    failure::Failure,
    message::cut,
    scan::{BATCH, Scan},
    space::footprint,
    tables::{STREAMS, Transaction, decode, encode},
};

pub use count::Count;

/// A stream expires when it had no mail for so long, unless something else keeps it.
pub const STREAM_LIFE: Duration = Duration::from_secs(21 * 86_400);
/// Streams that [`crate::Store::expire_streams`] removes at once.
pub const EXPIRE_STEP: usize = 1000;
/// Longest name of a stream with its realm, in bytes.
pub const STREAM_MAX: usize = 400;
/// Longest domain, in bytes.
const DOMAIN_MAX: usize = 255;
/// Longest address that is kept, in bytes.
const ADDRESS_MAX: usize = 320;
/// Longest reason that is kept, in bytes.
const BECAUSE_MAX: usize = 160;

/// That a message is for a stream: the stream is made or had mail, and the message counts in its cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMail {
    /// `realm:stream`.
    pub stream: Box<str>,
    /// The recipient's domain.
    pub domain: Box<str>,
    /// The recipient, kept with the first message of a cycle.
    pub address: Box<str>,
    /// For people: why the address is this stream's; kept with the address.
    pub because: Box<str>,
    /// The billing cycle as a number of six digits, such as 202611.
    pub cycle: u32,
}

/// A stream that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// `realm:stream`.
    pub name: Box<str>,
    pub created_at: Timestamp,
    /// `None`: it was prepared and had no mail yet.
    pub last_mail_at: Option<Timestamp>,
}

/// A stream's row.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Row {
    created_at: Timestamp,
    last_mail_at: Option<Timestamp>,
}

impl Row {
    fn is_expired(self, now: Timestamp) -> bool {
        let last = self.last_mail_at.unwrap_or(self.created_at).max(self.created_at);
        now.since(last) >= STREAM_LIFE
    }

    fn named(self, name: &str) -> Stream {
        Stream { name: name.into(), created_at: self.created_at, last_mail_at: self.last_mail_at }
    }
}

impl StreamMail {
    /// Refuses what no name of a stream, domain or cycle is; cuts what is only for people.
    pub(crate) fn check(&mut self) -> Result<(), StoreError> {
        check_name(&self.stream)?;
        if self.domain.is_empty() || self.domain.len() > DOMAIN_MAX {
            let text = format!("a domain of {} bytes; it may have 1 to {DOMAIN_MAX}", self.domain.len());
            return Err(StoreError::Refused(text));
        }
        if !(1..=12).contains(&(self.cycle % 100)) || self.cycle > 999_912 {
            return Err(StoreError::Refused(format!("{} is no cycle, such as 202611", self.cycle)));
        }
        cut(&mut self.address, ADDRESS_MAX);
        cut(&mut self.because, BECAUSE_MAX);
        Ok(())
    }

    /// What its rows take at most.
    pub(crate) fn disk_bytes(&self) -> u64 {
        const NUMBERS: usize = 40;
        let texts = self.domain.len() + self.address.len() + self.because.len();
        footprint(self.stream.len() + NUMBERS) + footprint(self.stream.len() + texts + NUMBERS)
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > STREAM_MAX {
        let text = format!("a stream's name of {} bytes; it may have 1 to {STREAM_MAX}", name.len());
        return Err(StoreError::Refused(text));
    }
    Ok(())
}

pub(crate) fn check_mails(mails: &mut [StreamMail], limits: &Limits) -> Result<(), StoreError> {
    if mails.len() > limits.recipients {
        let text = format!("{} streams; a message may have {}", mails.len(), limits.recipients);
        return Err(StoreError::Refused(text));
    }
    mails.iter_mut().try_for_each(StreamMail::check)
}

/// Notes the mail of a message that arrived at `at`, in the message's own commit.
pub(crate) fn note_mail(
    transaction: &mut Transaction<'_>,
    mails: &[StreamMail],
    at: Timestamp,
) -> Result<(), Failure> {
    let mut counted = BTreeSet::new();
    for mail in mails {
        // Two recipients may share a stream; it is still one message.
        if counted.insert((mail.cycle, &mail.stream, &mail.domain)) {
            touch(transaction, &mail.stream, at, Some(at))?;
            count::note(transaction, mail, at)?;
        }
    }
    Ok(())
}

/// Makes a stream, or notes its mail. Whether it is new.
fn touch(
    transaction: &mut Transaction<'_>,
    name: &str,
    at: Timestamp,
    mail_at: Option<Timestamp>,
) -> Result<bool, Failure> {
    let old = transaction.streams.get(name)?;
    let before: Option<Row> = old.as_deref().map(|row| decode(row, "a stream")).transpose()?;
    if before.is_none() {
        room_for("streams", transaction.state.tallies.streams.rows, transaction.space.streams)?;
    }
    if before.is_some() && mail_at.is_none() {
        return Ok(false);
    }
    let mut row = before.unwrap_or(Row { created_at: at, last_mail_at: None });
    row.last_mail_at = row.last_mail_at.max(mail_at);
    let bytes = encode(&row);
    transaction.streams.put(name, &bytes)?;
    transaction.state.tallies.streams.note(name.len(), old.map(|old| old.len()), Some(bytes.len()));
    Ok(before.is_none())
}

/// Makes a stream without mail, if it is not there. Whether it is new.
pub(crate) fn prepare(
    transaction: &mut Transaction<'_>,
    name: &str,
    now: Timestamp,
) -> Result<bool, Failure> {
    transaction.space.admit(&transaction.state, footprint(name.len()))?;
    touch(transaction, name, now, None)
}

pub(crate) fn remove(transaction: &mut Transaction<'_>, name: &str) -> Result<(), Failure> {
    if transaction.streams.len_of(name)?.is_none() {
        return Err(StoreError::not_found("stream", name).into());
    }
    let old = transaction.streams.remove(name)?;
    transaction.state.tallies.streams.note(name.len(), old, None);
    Ok(())
}

/// Removes those of `names` that still have had no mail; returns them.
pub(crate) fn expire(
    transaction: &mut Transaction<'_>,
    names: &[Box<str>],
    now: Timestamp,
) -> Result<Vec<Box<str>>, Failure> {
    let mut expired = Vec::new();
    for name in names {
        let Some(row) = transaction.streams.get(&**name)? else { continue };
        if decode::<Row>(&row, "a stream")?.is_expired(now) {
            remove(transaction, name)?;
            expired.push(name.clone());
        }
    }
    Ok(expired)
}

/// The first [`EXPIRE_STEP`] streams that had no mail for [`STREAM_LIFE`] and that nothing else keeps.
pub(crate) fn find_expired(
    streams: Scan<Stream>,
    now: Timestamp,
    keep: impl Fn(&str) -> bool,
) -> Result<Vec<Box<str>>, StoreError> {
    let mut found = Vec::new();
    for stream in streams {
        let Stream { name, created_at, last_mail_at } = stream?;
        let row = Row { created_at, last_mail_at };
        if row.is_expired(now) && !keep(&name) {
            found.push(name);
            if found.len() == EXPIRE_STEP {
                break;
            }
        }
    }
    Ok(found)
}

pub(crate) fn get(engine: &Engine, name: &str) -> Result<Option<Stream>, StoreError> {
    engine.read(|snapshot| {
        let Some(row) = snapshot.open_table(STREAMS)?.get(name)? else { return Ok(None) };
        Ok(Some(decode::<Row>(row.value(), "a stream")?.named(name)))
    })
}

pub(crate) fn all(engine: Arc<Engine>) -> Scan<Stream> {
    let mut after = Box::<str>::default();
    Scan::new(engine, move |snapshot| {
        // No name is empty.
        let rows = snapshot.open_table(STREAMS)?.range::<&str>((Excluded(&*after), Unbounded))?;
        let mut read: Vec<Stream> = Vec::new();
        for row in rows.take(BATCH) {
            let (name, row) = row?;
            read.push(decode::<Row>(row.value(), "a stream")?.named(name.value()));
        }
        if let Some(last) = read.last() {
            after = last.name.clone();
        }
        Ok(read)
    })
}

/// Turns mail away that would need a row too many.
fn room_for(what: &'static str, rows: u64, limit: u64) -> Result<(), Resource> {
    if rows < limit { Ok(()) } else { Err(Resource::TooMany { what, limit }) }
}
