//! What every test of the store needs: a disk, a store on it, and mail.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a module of test programs")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use smtp::{
    address::{ForwardPath, ReversePath},
    envelope::{MailParameters, RcptParameters},
};
use store::{
    Limits, MessageId, SessionId, Store, StoreError, Timestamp,
    message::{Envelope, NewMessage, Recipient, RecipientState, Source},
    queue::{AttemptResult, Destination, Enqueued, NewDelivery, Reply},
    stream::StreamMail,
    testing::MemoryDisk,
};

pub const DISK: usize = 16 << 20;

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_795_000_000 + seconds)
}

/// Limits for a small disk, with events written only when something else is.
pub fn limits() -> Limits {
    Limits { event_delay: Duration::from_secs(3600), reopen_wait: Duration::ZERO, ..Limits::default() }
}

pub fn open(disk: &Arc<MemoryDisk>) -> Store {
    Store::open(disk.clone(), limits()).unwrap()
}

pub fn new_store() -> (Arc<MemoryDisk>, Store) {
    let disk = Arc::new(MemoryDisk::new(DISK));
    let store = open(&disk);
    (disk, store)
}

pub fn recipient(name: &str) -> Recipient {
    let to = ForwardPath::parse(&format!("<{name}@example.com>")).unwrap();
    Recipient::new(to, RcptParameters::default())
}

pub fn delivery(destination: &str, names: &[&str]) -> NewDelivery {
    NewDelivery {
        destination: Destination::new(destination).unwrap(),
        recipients: names.iter().map(|name| recipient(name)).collect(),
        next_attempt: at(0),
        expires: at(5 * 86_400),
    }
}

pub fn new_message(deliveries: Vec<NewDelivery>) -> NewMessage {
    NewMessage {
        envelope: Envelope {
            from: ReversePath::parse("<sender@example.net>").unwrap(),
            parameters: MailParameters::default(),
        },
        source: Source::Smtp {
            session: SessionId(7),
            peer: "192.0.2.9:25025".parse().unwrap(),
            helo: "client.example.net".into(),
            tls: true,
        },
        received_at: at(0),
        deliveries,
        events: Vec::new(),
        streams: Vec::new(),
    }
}

/// Mail for a stream of a user of `example.com`.
pub fn mail(stream: &str, cycle: u32) -> StreamMail {
    let address = stream.replace("example:", "") + "@example.com";
    let (domain, because) = ("example.com".into(), "chop-domain".into());
    StreamMail { stream: stream.into(), domain, address: address.into(), because, cycle }
}

/// Receives `body` as the gateway does.
pub fn receive(store: &Store, body: &[u8], new: NewMessage) -> Result<Enqueued, StoreError> {
    let mut writer = store.begin(at(0))?;
    for part in body.chunks(16 << 10) {
        if let Some(spilling) = writer.write(part)? {
            spilling.wait()?;
        }
    }
    writer.commit(new).wait()
}

pub fn read_body(store: &Store, id: MessageId) -> Result<Vec<u8>, StoreError> {
    let pieces: Result<Vec<Bytes>, _> = store.body(id)?.collect();
    Ok(pieces?.concat())
}

pub fn body(seed: u64, len: usize) -> Vec<u8> {
    let mut random = store::testing::Random::new(seed);
    let mut body: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    body.truncate(len);
    body
}

pub fn reply(code: u16) -> Reply {
    Reply {
        code,
        enhanced: Some((2, 0, 0)),
        text: "said so".into(),
        host: "mx.example.com".into(),
        at: at(1),
    }
}

pub fn result(id: store::DeliveryId, recipients: Vec<(usize, RecipientState)>) -> AttemptResult {
    AttemptResult {
        id,
        recipients,
        next_attempt: at(300),
        last_reply: Some(reply(250)),
        hold: None,
        delay_notified: false,
        counts: true,
    }
}
