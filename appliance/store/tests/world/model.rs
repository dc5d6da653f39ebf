//! The store as plain maps: what it must hold after each operation.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a module of a test program")]

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hasher},
};

use store::{
    DeliveryId, MessageId, Store, Timestamp,
    log::Query,
    message::RecipientState,
    queue::{Delivery, Hold, HoldReason},
};

use crate::world::{at, read_body, reply};

/// Everything in the store, in the words of the test.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    pub messages: BTreeMap<MessageId, Fingerprint>,
    pub deliveries: BTreeMap<DeliveryId, Entry>,
    pub configuration: Option<String>,
    pub audits: usize,
    /// Messages by cycle, stream and domain.
    pub counts: BTreeMap<Counted, u64>,
    pub streams: BTreeSet<String>,
}

/// What is counted: cycle, stream, domain.
pub type Counted = (u32, String, String);

/// A delivery: which recipients are open, attempts, next attempt unless it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub open: Vec<bool>,
    pub attempts: u32,
    pub next: Option<Timestamp>,
}

/// One operation on the model.
#[derive(Debug, Clone)]
pub enum Step {
    Enqueue {
        id: MessageId,
        body: Fingerprint,
        recipients: Vec<usize>,
        counted: Vec<Counted>,
    },
    /// An attempt that delivers to some recipients, with or without a notice.
    Attempt {
        id: DeliveryId,
        deliver: Vec<usize>,
        next: Timestamp,
    },
    Hold(DeliveryId),
    Retry(DeliveryId, Timestamp),
    Purge(DeliveryId),
    Configure(String),
    Audit,
}

/// A body by its length and hash, so that a failure can be read.
pub type Fingerprint = (usize, u64);

pub fn fingerprint(body: &[u8]) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    (body.len(), hasher.finish())
}

impl Model {
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Enqueue { id, body, recipients, counted } => {
                for counted in counted {
                    *self.counts.entry(counted.clone()).or_default() += 1;
                    self.streams.insert(counted.1.clone());
                }
                self.messages.insert(*id, *body);
                for (number, &count) in (0..).zip(recipients) {
                    let entry = Entry { open: vec![true; count], attempts: 0, next: Some(at(0)) };
                    self.deliveries.insert(DeliveryId { message: *id, number }, entry);
                }
            }
            Step::Attempt { id, deliver, next } => {
                let Some(entry) = self.deliveries.get_mut(id) else { return };
                deliver.iter().for_each(|&recipient| entry.open[recipient] = false);
                entry.attempts += 1;
                entry.next = Some(*next);
                if !entry.open.contains(&true) {
                    self.remove(*id);
                }
            }
            Step::Hold(id) => {
                if let Some(entry) = self.deliveries.get_mut(id) {
                    entry.next = None;
                }
            }
            Step::Retry(id, now) => {
                if let Some(entry) = self.deliveries.get_mut(id) {
                    entry.next = Some(*now);
                }
            }
            Step::Purge(id) => self.remove(*id),
            Step::Configure(text) => {
                self.configuration = Some(text.clone());
                self.audits += 1;
            }
            Step::Audit => self.audits += 1,
        }
    }

    fn remove(&mut self, id: DeliveryId) {
        self.deliveries.remove(&id);
        if !self.deliveries.keys().any(|other| other.message == id.message) {
            self.messages.remove(&id.message);
        }
    }

    /// Reads everything back, each by the way that the gateway uses.
    pub fn of(store: &Store) -> Model {
        let mut model = Model::default();
        let schedule: BTreeMap<_, _> =
            store.due(Timestamp::MAX, None, 4096).unwrap().into_iter().map(|due| (due.id, due.at)).collect();
        for delivery in store.deliveries() {
            let delivery: Delivery = delivery.unwrap();
            let id = delivery.id;
            let next = schedule.get(&id).copied();
            assert_eq!(next.is_none(), delivery.hold.is_some(), "only what is held is not scheduled");
            assert!(next.is_none_or(|next| next == delivery.next_attempt));
            let open = delivery.recipients.iter().map(|recipient| recipient.is_open()).collect();
            model.deliveries.insert(id, Entry { open, attempts: delivery.attempts, next });
            model
                .messages
                .entry(id.message)
                .or_insert_with(|| fingerprint(&read_body(store, id.message).unwrap()));
        }
        assert_eq!(schedule.keys().filter(|id| !model.deliveries.contains_key(id)).count(), 0);
        model.configuration = store.configuration().unwrap().map(|configuration| configuration.text);
        model.audits = store.audits(&Query::default()).unwrap().events.len();
        model.streams = store.streams().map(|stream| stream.unwrap().name.to_string()).collect();
        for cycle in store.cycles().unwrap() {
            for count in store.counts(cycle).map(Result::unwrap) {
                let counted = (cycle, count.stream.to_string(), count.domain.to_string());
                model.counts.insert(counted, count.messages);
            }
        }
        let usage = store.usage();
        assert_eq!(usage.streams, model.streams.len() as u64);
        assert_eq!(usage.messages, model.messages.len() as u64);
        assert_eq!(usage.deliveries, model.deliveries.len() as u64);
        if model.messages.is_empty() {
            assert_eq!((usage.spool_bytes, usage.queue_bytes), (0, 0), "nothing is left behind");
        }
        model
    }
}

pub fn held() -> Hold {
    Hold { reason: HoldReason::Administrator, since: at(1), text: "wait".into() }
}

pub fn delivered() -> RecipientState {
    RecipientState::Delivered(reply(250))
}
