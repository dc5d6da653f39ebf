//! What is remembered, for those who need not wait for the machine.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use smtp::{Time, address::Address};

use super::{
    Answer, Because,
    memory::{Memory, Recalled},
    seconds,
    settings::Settings,
};
use crate::reply::Recipient;

/// What servers said. Cheap to clone; every clone means the same, and many may ask at a time.
#[derive(Debug, Clone)]
pub struct Remembered(Arc<RwLock<Memory>>);

impl Remembered {
    pub(super) fn new(settings: &Settings) -> Remembered {
        Remembered(Arc::new(RwLock::new(Memory::new(settings))))
    }

    /// The answer for which no server must be asked.
    pub fn answer(&self, now: Time, address: &Address) -> Option<Answer> {
        self.recall(&address.key(), now)
    }

    /// Addresses remembered.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What changed since the last call, for the records: a value, or `None` to take it out; at most `most`. `epoch`
    /// is the beginning of the caller's clock in seconds since 1970, as it is known now.
    pub fn changes(&self, epoch: u64, most: usize) -> Vec<(Box<str>, Option<Vec<u8>>)> {
        self.write().changes(epoch, most)
    }

    /// Takes a record in. False: it is none of ours.
    pub fn load(&self, key: &str, value: &[u8], epoch: u64) -> bool {
        self.write().load(key, value, epoch)
    }

    /// Forgets what was said of addresses whose key ([`Address::key`]) is chosen, such as a domain's; returns of how
    /// many.
    pub fn forget(&self, whose: impl Fn(&str) -> bool) -> usize {
        let mut memory = self.write();
        let before = memory.len();
        memory.forget(whose);
        before - memory.len()
    }

    pub(super) fn recall(&self, key: &str, now: Time) -> Option<Answer> {
        let (recipient, because) = match self.read().recall(key, seconds(now)) {
            Recalled::Valid { ago } => (Recipient::Valid, Because::Remembered { ago }),
            Recalled::Invalid { ago } => (Recipient::Invalid, Because::Remembered { ago }),
            Recalled::Doubted { within } => (Recipient::Unknown, Because::SecondProbe { within }),
            Recalled::Nothing => return None,
        };
        Some(Answer { recipient, because })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
