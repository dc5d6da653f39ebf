//! The handle on the store: everything that can be asked of it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crate::{
    DeliveryId, Disk, Health, Limits, MessageId, Pending, StoreError, Timestamp, Usage,
    configuration::{self, Configuration, NewConfiguration, Value},
    directory::{self, DirectoryChange},
    engine::Engine,
    failure::Failure,
    log::{Event, Page, Query, ring, search::search},
    message::{Message, Notice},
    queue::{
        AttemptResult, Deliveries, Delivery, Due, Enqueued, Hold, Recorded, attempt,
        enqueue::{Parcel, enqueue},
        read,
    },
    record::{self, RecordKind},
    scan::Scan,
    spool::{self, Body, SpoolWriter, Stored},
    stream::{self, Count, Stream, count},
    tables::{AUDIT, LOG, MESSAGES, Transaction, decode},
    valid_recipient::{self, ValidRecipient, ValidRecipientChange, ValidRecipientsChanged},
    writer::{Purpose, Writer},
};

/// The store. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    engine: Arc<Engine>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens what lies on `disk`, repairs it after a power cut, and starts the writer thread. A blank disk is
    /// formatted; one that holds anything unknown is refused.
    pub fn open(disk: Arc<dyn Disk>, limits: Limits) -> Result<Self, StoreError> {
        let engine = Arc::new(Engine::start(disk, limits)?);
        let writer = Writer::new(engine.clone());
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || writer.run());
        let thread = thread.map_err(|error| crate::Resource::Disk(format!("no thread: {error}")))?;
        Ok(Self(Arc::new(Shared { engine, writer: Mutex::new(Some(thread)) })))
    }

    /// Finishes the writes that wait, brings everything to the disk and closes it. Later writes and reads are
    /// refused. Dropping the last clone does the same.
    pub fn close(&self) {
        self.0.close();
    }

    /// A random number given to the disk when it was formatted.
    pub fn disk_id(&self) -> [u8; 16] {
        self.engine().disk_id()
    }

    pub fn limits(&self) -> Arc<Limits> {
        self.engine().limits()
    }

    /// Obeys other limits from now on, but for the size of the cache, which is that of the next start. What is on the
    /// disk beyond a smaller limit stays, and nothing is added to it.
    pub fn set_limits(&self, limits: Limits) {
        self.engine().set_limits(limits);
    }

    /// What is used and free, as of the last commit.
    pub fn usage(&self) -> Usage {
        let engine = self.engine();
        engine.space().usage(&engine.state(), engine.extent())
    }

    pub fn health(&self) -> Health {
        self.engine().health()
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    fn write<T, F>(&self, purpose: Purpose, bytes: usize, operation: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let engine = self.engine();
        engine.inbox.submit(&engine.limits(), purpose, bytes, operation)
    }

    fn new_id(&self, now: Timestamp) -> MessageId {
        next_id(&self.engine().last_message, now)
    }
}

/// Messages.
impl Store {
    /// Begins to receive a message.
    ///
    /// # Errors
    /// [`crate::Resource::Full`] when the reserve is reached: 452 4.3.1.
    pub fn begin(&self, now: Timestamp) -> Result<SpoolWriter, StoreError> {
        let engine = self.engine();
        engine.space().admit(&engine.state(), 0)?;
        Ok(SpoolWriter::new(engine.clone(), self.new_id(now)))
    }

    /// Enqueues a whole message of our own.
    pub fn submit(&self, mut notice: Notice) -> Pending<Enqueued> {
        if let Err(error) = notice.check(&self.engine().limits()) {
            return Pending::ready(Err(error));
        }
        let parcel = self.parcel(notice);
        self.write(Purpose::Accept, parcel.size as usize, move |transaction| enqueue(transaction, &parcel))
    }

    pub fn message(&self, id: MessageId) -> Result<Message, StoreError> {
        self.stored(id).map(|stored| stored.message)
    }

    /// The body, to be read in order. Reading blocks on the disk.
    pub fn body(&self, id: MessageId) -> Result<Body, StoreError> {
        let stored = self.stored(id)?;
        Ok(Body::new(self.engine().clone(), id, stored.pieces, stored.message.size))
    }

    fn stored(&self, id: MessageId) -> Result<Stored, StoreError> {
        self.engine().read(|snapshot| {
            let row = snapshot.open_table(MESSAGES)?.get(id.raw())?;
            decode(row.ok_or_else(|| spool::no_message(id))?.value(), "a message")
        })
    }

    fn parcel(&self, notice: Notice) -> Parcel {
        let id = self.new_id(notice.message.received_at);
        Parcel::whole(id, notice.message, &notice.body)
    }
}

/// The queue.
impl Store {
    pub fn delivery(&self, id: DeliveryId) -> Result<Delivery, StoreError> {
        read::delivery(self.engine(), id)
    }

    pub fn deliveries_of(&self, message: MessageId) -> Result<Vec<Delivery>, StoreError> {
        read::deliveries_of(self.engine(), message)
    }

    /// Every entry of the queue, also the held ones, oldest message first.
    pub fn deliveries(&self) -> Deliveries {
        Deliveries::new(self.engine().clone())
    }

    /// What is to be tried at `now`, earliest first, at most `limit` (and 4,096). Those that are being tried
    /// are still among them; give the last one as `after` to read on behind it.
    pub fn due(&self, now: Timestamp, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError> {
        read::due(self.engine(), now, after, limit)
    }

    /// What is to be tried first, now or later.
    pub fn next_due(&self) -> Result<Option<Due>, StoreError> {
        read::next_due(self.engine())
    }

    /// Records an attempt together with the notices and events that follow from it, all or nothing. When no
    /// recipient is open any more, the delivery leaves the queue, and with a message's last one its body.
    ///
    /// A duplicate is possible only when the power goes between the next hop's 250 and this commit.
    pub fn record(
        &self,
        mut result: AttemptResult,
        notices: Vec<Notice>,
        events: Vec<Event>,
    ) -> Pending<Recorded> {
        result.check(&self.engine().limits());
        let mut parcels = Vec::with_capacity(notices.len());
        for mut notice in notices {
            if let Err(error) = notice.check(&self.engine().limits()) {
                return Pending::ready(Err(error));
            }
            parcels.push(self.parcel(notice));
        }
        let bytes = parcels.iter().map(|parcel| parcel.size as usize).sum();
        self.write(Purpose::Update, bytes, move |transaction| {
            attempt::record(transaction, &result, &parcels, &events)
        })
    }

    /// Makes a delivery due at `now` and ends its hold.
    pub fn retry_now(&self, id: DeliveryId, now: Timestamp) -> Pending<()> {
        self.write(Purpose::Update, 0, move |transaction| attempt::retry_now(transaction, id, now))
    }

    /// Keeps a delivery from being tried until it is released.
    pub fn hold(&self, id: DeliveryId, mut hold: Hold) -> Pending<()> {
        hold.check(&self.engine().limits());
        self.write(Purpose::Update, 0, move |transaction| attempt::hold(transaction, id, &hold))
    }

    /// Ends a hold; the delivery is due at `now`, and expires as much later as it was held.
    pub fn release(&self, id: DeliveryId, now: Timestamp) -> Pending<()> {
        self.retry_now(id, now)
    }

    /// Removes a delivery without telling anybody, and with a message's last one its body.
    pub fn purge(&self, id: DeliveryId) -> Pending<()> {
        self.write(Purpose::Update, 0, move |transaction| attempt::purge(transaction, id))
    }
}

/// The logs.
impl Store {
    /// Logs an event with the next commit, within [`Limits::event_delay`]. Never blocks and never fails: when too
    /// many wait, the oldest are dropped, and an event says how many.
    pub fn event(&self, event: Event) {
        let engine = self.engine();
        engine.inbox.event(&engine.limits(), event);
    }

    /// Durable when the events that were logged before are.
    pub fn flush_events(&self) -> Pending<()> {
        self.write(Purpose::Update, 0, |_| Ok(()))
    }

    /// A page of the event log, newest first. Events that still wait for their commit are not in it.
    pub fn events(&self, query: &Query) -> Result<Page, StoreError> {
        search(self.engine(), LOG, query)
    }

    /// Writes an entry of the audit log.
    pub fn audit(&self, event: Event) -> Pending<()> {
        self.write(Purpose::Update, 0, move |transaction| ring::append_audit(transaction, &event))
    }

    /// A page of the audit log, newest first.
    pub fn audits(&self, query: &Query) -> Result<Page, StoreError> {
        search(self.engine(), AUDIT, query)
    }
}

/// The configuration and the appliance's own values.
impl Store {
    /// The configuration in force.
    pub fn configuration(&self) -> Result<Option<Configuration>, StoreError> {
        Ok(self.configurations(1)?.pop())
    }

    /// The newest configurations, newest first, of at most [`Limits::configurations`] that are kept.
    pub fn configurations(&self, limit: usize) -> Result<Vec<Configuration>, StoreError> {
        configuration::newest(self.engine(), limit)
    }

    /// Puts a configuration in force, with its audit entry; returns its number.
    pub fn set_configuration(&self, mut new: NewConfiguration, audit: Event) -> Pending<u64> {
        let limits = self.engine().limits();
        if let Err(error) = new.check(&limits) {
            return Pending::ready(Err(error));
        }
        let keep = limits.configurations as u64;
        self.write(Purpose::Update, new.text.len(), move |transaction| {
            configuration::set(transaction, &new, &audit, keep)
        })
    }

    pub fn value(&self, value: Value) -> Result<Option<Vec<u8>>, StoreError> {
        configuration::value(self.engine(), value)
    }

    /// Sets or, by `None`, removes a value of at most [`Limits::value_bytes`].
    pub fn set_value(&self, value: Value, bytes: Option<Vec<u8>>) -> Pending<()> {
        if let Err(error) =
            configuration::check_len(bytes.as_ref().map_or(0, Vec::len), &self.engine().limits())
        {
            return Pending::ready(Err(error));
        }
        self.write(Purpose::Update, 0, move |transaction| {
            configuration::set_value(transaction, value, bytes.as_deref())
        })
    }
}

/// Records.
impl Store {
    pub fn record_of(&self, kind: RecordKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        record::get(self.engine(), kind, key)
    }

    /// Every record of a kind, by key.
    pub fn records(&self, kind: RecordKind) -> Scan<(Box<str>, Vec<u8>)> {
        record::all(self.engine().clone(), kind)
    }

    /// Puts records or, by `None`, removes them, all or nothing; of equal keys the last one holds.
    pub fn put_records(&self, kind: RecordKind, records: Vec<(Box<str>, Option<Vec<u8>>)>) -> Pending<()> {
        let limits = self.engine().limits();
        let most = kind.most(&limits);
        let bytes = records.iter().flat_map(|(_, value)| value).map(Vec::len).sum();
        match record::check(records, &limits) {
            Ok(records) => self.write(Purpose::Update, bytes, move |transaction| {
                record::put(transaction, kind, &records, most)
            }),
            Err(error) => Pending::ready(Err(error)),
        }
    }
}

/// Directory copies.
impl Store {
    /// Where the copy of a user lookup's directory stands, as the last change said.
    pub fn directory_state(&self, lookup: &str) -> Result<Option<Vec<u8>>, StoreError> {
        directory::state(self.engine(), lookup)
    }

    /// The user lookups of whose copy it is known where it stands.
    pub fn directories(&self) -> Result<Vec<Box<str>>, StoreError> {
        directory::names(self.engine())
    }

    /// The objects of one generation, by key.
    pub fn directory_objects(&self, lookup: &str, generation: u32) -> Scan<(Box<[u8]>, Vec<u8>)> {
        directory::objects(self.engine().clone(), lookup, generation)
    }

    /// Each user lookup's generations that have an object.
    pub fn directory_generations(&self) -> Result<Vec<(Box<str>, u32)>, StoreError> {
        directory::generations(self.engine())
    }

    /// Changes a copy, all or nothing.
    pub fn change_directory(&self, change: DirectoryChange) -> Pending<()> {
        let bytes = change.bytes();
        match change.check(&self.engine().limits()) {
            Ok(change) => {
                self.write(Purpose::Update, bytes, move |transaction| directory::apply(transaction, &change))
            }
            Err(error) => Pending::ready(Err(error)),
        }
    }

    /// Removes the next [`crate::DROP_STEP`] objects of a generation. Whether any are left: call it again.
    pub fn directory_drop(&self, lookup: &str, generation: u32) -> Pending<bool> {
        let lookup = Box::<str>::from(lookup);
        self.write(Purpose::Update, 0, move |transaction| {
            directory::drop_generation(transaction, &lookup, generation)
        })
    }

    /// Forgets where a copy stands, of a user lookup that is no more.
    pub fn forget_directory_state(&self, lookup: &str) -> Pending<()> {
        let lookup = Box::<str>::from(lookup);
        self.write(Purpose::Update, 0, move |transaction| directory::forget_state(transaction, &lookup))
    }
}

/// Streams and their counts.
impl Store {
    pub fn stream(&self, name: &str) -> Result<Option<Stream>, StoreError> {
        stream::get(self.engine(), name)
    }

    /// Every stream, by name.
    pub fn streams(&self) -> Scan<Stream> {
        stream::all(self.engine().clone())
    }

    /// Makes a stream that had no mail yet. Whether it is new.
    pub fn prepare_stream(&self, name: &str, now: Timestamp) -> Pending<bool> {
        if let Err(error) = stream::check_name(name) {
            return Pending::ready(Err(error));
        }
        let name = Box::<str>::from(name);
        self.write(Purpose::Update, 0, move |transaction| stream::prepare(transaction, &name, now))
    }

    /// Removes a stream; its counts stay.
    pub fn remove_stream(&self, name: &str) -> Pending<()> {
        let name = Box::<str>::from(name);
        self.write(Purpose::Update, 0, move |transaction| stream::remove(transaction, &name))
    }

    /// Removes streams without mail for [`stream::STREAM_LIFE`] that are not to `keep`; returns them. When they
    /// are [`stream::EXPIRE_STEP`], there may be more: call it again. Finding them blocks on the disk.
    pub fn expire_streams(&self, now: Timestamp, keep: impl Fn(&str) -> bool) -> Pending<Vec<Box<str>>> {
        match stream::find_expired(self.streams(), now, keep) {
            Ok(names) => {
                self.write(Purpose::Update, 0, move |transaction| stream::expire(transaction, &names, now))
            }
            Err(error) => Pending::ready(Err(error)),
        }
    }

    /// The billing cycles that have a count, oldest first, at most [`Limits::cycles`].
    pub fn cycles(&self) -> Result<Vec<u32>, StoreError> {
        count::cycles(self.engine())
    }

    /// The counts of a cycle, by stream and domain.
    pub fn counts(&self, cycle: u32) -> Scan<Count> {
        count::of_cycle(self.engine().clone(), cycle)
    }
}

/// Valid recipients.
impl Store {
    /// The entry of an address in a stream's own table.
    pub fn valid_recipient(&self, stream: &str, address: &str) -> Result<Option<ValidRecipient>, StoreError> {
        valid_recipient::get(self.engine(), stream, address)
    }

    /// A stream's own table, by address.
    pub fn valid_recipients(&self, stream: &str) -> Scan<ValidRecipient> {
        valid_recipient::of_stream(self.engine().clone(), stream)
    }

    /// Each stream that has an entry of its own.
    pub fn valid_recipient_streams(&self) -> Result<Vec<Box<str>>, StoreError> {
        valid_recipient::streams(self.engine())
    }

    /// Changes a stream's table with its audit entry, all or nothing.
    pub fn set_valid_recipients(
        &self,
        change: ValidRecipientChange,
        audit: Event,
    ) -> Pending<ValidRecipientsChanged> {
        match change.check(&self.engine().limits()) {
            Ok(change) => self.write(Purpose::Update, 0, move |transaction| {
                valid_recipient::set(transaction, &change, &audit)
            }),
            Err(error) => Pending::ready(Err(error)),
        }
    }
}

impl Shared {
    fn close(&self) {
        self.engine.inbox.close();
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It catches the panics of what it runs; one of its own leaves nothing to be done here.
            let _ = thread.join();
            self.engine.give_up(false);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?})", self.health())
    }
}

fn next_id(last: &AtomicU64, now: Timestamp) -> MessageId {
    let next = |last: u64| Some(MessageId::next(MessageId::from_raw(last), now).raw());
    match last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
        Ok(before) => MessageId::next(MessageId::from_raw(before), now),
        Err(before) => MessageId::from_raw(before),
    }
}
