//! Checks passwords against their hashes, a few at a time.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use config_schema::{Secret, password};

/// Hashes that are made at once: each takes 19 MiB and a core.
pub const HASHES_MAX: u8 = 2;

/// How many hashes are being made; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Hashing(Arc<AtomicU8>);

/// Leave to make one hash at a time; given back when it is dropped.
#[derive(Debug)]
pub struct HashPermit(Arc<AtomicU8>);

impl Hashing {
    /// Leave to make a hash; `None` while [`HASHES_MAX`] others have it.
    pub fn permit(&self) -> Option<HashPermit> {
        let one_more = |running: u8| (running < HASHES_MAX).then_some(running + 1);
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
        taken.then(|| HashPermit(self.0.clone()))
    }
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The hash of no password, with the cost of those that [`password::hash`] makes.
pub(super) const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether this is the password that `hash` was made from. Without a hash, which is how a user that does not exist
/// is asked about, the same work is done, so that the time does not tell who exists.
pub fn check_password(_permit: &HashPermit, hash: Option<&Secret>, password: &Secret) -> bool {
    match hash {
        Some(hash) => password::verify(hash, password),
        None => {
            password::verify(&Secret::new(NOBODY), password);
            false
        }
    }
}
