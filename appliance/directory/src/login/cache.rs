//! Passwords that a server took, for when it cannot be asked.
//!
//! Kept is a hash by Argon2id of a code that only this appliance can make of the password: a copy of the disk without
//! the appliance's key tells nothing, and with it each guess still costs a hash. A server that answers is always
//! believed before what is kept here.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use config_schema::{LookupName, Secret, password, user_lookup::mailbox::CACHE_DAYS_MAX};
use serde::{Deserialize, Serialize};

use super::{Credentials, UnixTime, local::HashPermit};

/// Credentials that are remembered; the one that was right longest ago goes first.
pub const REMEMBERED_MAX: usize = 10_000;
/// Bytes of an appliance's key.
pub const CACHE_KEY: usize = 32;
/// Longest hash that is loaded, in bytes.
const HASH_MAX: usize = 256;
const DAY: u64 = 86_400;

/// What is kept of one user's password at one lookup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// When the server last took it.
    right_at: UnixTime,
    hash: String,
}

/// Whose password it is: the lookup, and the name that its server was told.
type Whose = (LookupName, Box<str>);

/// Good credentials of all lookups.
#[derive(Debug)]
pub struct CredentialCache {
    key: hmac::Key,
    remembered: HashMap<Whose, Remembered>,
}

/// What changed and has to be kept or forgotten with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheChange {
    /// Nothing.
    None,
    /// This is to be kept in place of what was there.
    Keep(Remembered),
    /// What was there is to be forgotten.
    Forget,
}

impl CredentialCache {
    /// An empty one, with the appliance's key, which is made once from random bytes.
    pub fn new(key: &[u8; CACHE_KEY]) -> CredentialCache {
        CredentialCache { key: hmac::Key::new(hmac::HMAC_SHA256, key), remembered: HashMap::new() }
    }

    /// Puts back what was kept; what is damaged, or beyond [`REMEMBERED_MAX`], is left out.
    pub fn load(&mut self, lookup: LookupName, name: &str, kept: Remembered) {
        if kept.hash.len() <= HASH_MAX && password::is_hash(&kept.hash) {
            self.put((lookup, name.into()), kept);
        }
    }

    /// The server took this password. With `days` = 0 nothing is remembered.
    pub fn taken(
        &mut self,
        _permit: &HashPermit,
        lookup: &LookupName,
        credentials: &Credentials,
        days: u8,
        now: UnixTime,
    ) -> CacheChange {
        let whose = (lookup.clone(), credentials.name().into());
        if days == 0 {
            return self.forget(&whose);
        }
        let Ok(hash) = password::hash(&self.code(&whose, credentials)) else { return self.forget(&whose) };
        let kept = Remembered { right_at: now, hash: hash.expose().to_owned() };
        self.put(whose, kept.clone());
        CacheChange::Keep(kept)
    }

    /// The server refused this password. If it is the one that is remembered, it was changed, and is forgotten; a
    /// wrong guess of somebody else's changes nothing, or anyone could empty the cache.
    pub fn refused(
        &mut self,
        _permit: &HashPermit,
        lookup: &LookupName,
        credentials: &Credentials,
    ) -> CacheChange {
        let whose = (lookup.clone(), credentials.name().into());
        match self.remembered.get(&whose) {
            Some(kept) if self.fits(&whose, kept, credentials) => self.forget(&whose),
            _ => CacheChange::None,
        }
    }

    /// The server cannot be asked: was this password right within the last `days`?
    pub fn answer(
        &self,
        _permit: &HashPermit,
        lookup: &LookupName,
        credentials: &Credentials,
        days: u8,
        now: UnixTime,
    ) -> bool {
        let whose = (lookup.clone(), credentials.name().into());
        let lifetime = u64::from(days.min(CACHE_DAYS_MAX)) * DAY;
        // Also what lies in the future is not believed: the clock was wrong then or is wrong now.
        let fresh = |kept: &&Remembered| kept.right_at <= now && now.since(kept.right_at) < lifetime;
        let kept = self.remembered.get(&whose).filter(fresh);
        kept.is_some_and(|kept| self.fits(&whose, kept, credentials))
    }

    /// Forgets what no lookup can use any more: `days` says how long each remembers. Returns whose it was.
    pub fn expire(&mut self, now: UnixTime, days: impl Fn(&LookupName) -> u8) -> Vec<(LookupName, Box<str>)> {
        let old = |lookup: &LookupName, kept: &Remembered| {
            now.since(kept.right_at) >= u64::from(days(lookup).min(CACHE_DAYS_MAX)) * DAY
        };
        let gone: Vec<Whose> = self
            .remembered
            .iter()
            .filter(|((lookup, _), kept)| old(lookup, kept))
            .map(|(whose, _)| whose.clone())
            .collect();
        for whose in &gone {
            self.remembered.remove(whose);
        }
        gone
    }

    /// Credentials that are remembered.
    pub fn len(&self) -> usize {
        self.remembered.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.remembered.is_empty()
    }

    fn put(&mut self, whose: Whose, kept: Remembered) {
        if !self.remembered.contains_key(&whose) && self.remembered.len() >= REMEMBERED_MAX {
            let oldest = self.remembered.iter().min_by_key(|(_, kept)| kept.right_at);
            if let Some(oldest) = oldest.map(|(whose, _)| whose.clone()) {
                self.remembered.remove(&oldest);
            }
        }
        self.remembered.insert(whose, kept);
    }

    fn forget(&mut self, whose: &Whose) -> CacheChange {
        match self.remembered.remove(whose) {
            Some(_) => CacheChange::Forget,
            None => CacheChange::None,
        }
    }

    fn fits(&self, whose: &Whose, kept: &Remembered, credentials: &Credentials) -> bool {
        password::verify(&Secret::new(kept.hash.as_str()), &self.code(whose, credentials))
    }

    /// What only this appliance can make of a password.
    fn code(&self, (lookup, name): &Whose, credentials: &Credentials) -> Secret {
        let mut context = hmac::Context::with_key(&self.key);
        // None of the first two has a NUL in it.
        for part in [lookup.as_str(), name, credentials.password().expose()] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        Secret::new(STANDARD_NO_PAD.encode(context.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::local::Hashing;

    const KEY: [u8; CACHE_KEY] = [7; CACHE_KEY];

    fn credentials(name: &str, password: &str) -> Credentials {
        Credentials::new(name, Secret::new(password)).unwrap()
    }

    fn lookup() -> LookupName {
        "mailboxes".parse().unwrap()
    }

    fn at(days: u64) -> UnixTime {
        UnixTime::from_seconds(1_700_000_000).plus(days * DAY)
    }

    #[test]
    fn what_a_server_took_is_good_for_its_days_and_for_nothing_else() {
        let permit = Hashing::default().permit().unwrap();
        let mut cache = CredentialCache::new(&KEY);
        let ann = credentials("ann", "s3cret");
        assert!(!cache.answer(&permit, &lookup(), &ann, 30, at(0)));
        let CacheChange::Keep(kept) = cache.taken(&permit, &lookup(), &ann, 30, at(0)) else { panic!() };
        let printed = format!("{kept:?}{:?}", postcard::to_allocvec(&kept).unwrap());
        assert!(!printed.contains("s3cret"), "{printed}");

        assert!(cache.answer(&permit, &lookup(), &ann, 30, at(29)));
        assert!(!cache.answer(&permit, &lookup(), &ann, 30, at(30)), "too old");
        assert!(!cache.answer(&permit, &lookup(), &ann, 7, at(7)), "the lifetime was made shorter");
        assert!(!cache.answer(&permit, &lookup(), &ann, 0, at(0)), "switched off");
        let yesterday = UnixTime::from_seconds(at(0).seconds() - DAY);
        assert!(!cache.answer(&permit, &lookup(), &ann, 30, yesterday), "out of the future");
        let other = "other".parse().unwrap();
        assert!(!cache.answer(&permit, &other, &ann, 30, at(1)), "another lookup");
        for wrong in [credentials("ann", "S3cret"), credentials("bob", "s3cret")] {
            assert!(!cache.answer(&permit, &lookup(), &wrong, 30, at(1)));
        }

        // On another appliance the same bytes are worth nothing; on this one they come back.
        let mut stolen = CredentialCache::new(&[8; CACHE_KEY]);
        stolen.load(lookup(), "ann", kept.clone());
        assert!(!stolen.answer(&permit, &lookup(), &ann, 30, at(1)));
        let mut restarted = CredentialCache::new(&KEY);
        restarted.load(lookup(), "ann", kept.clone());
        assert!(restarted.answer(&permit, &lookup(), &ann, 30, at(1)));
        restarted.load(lookup(), "eve", Remembered { hash: "no hash".into(), ..kept });
        assert_eq!(restarted.len(), 1);
    }

    #[test]
    fn a_password_that_is_refused_is_forgotten_and_a_guess_changes_nothing() {
        let permit = Hashing::default().permit().unwrap();
        let mut cache = CredentialCache::new(&KEY);
        let (old, new) = (credentials("ann", "old"), credentials("ann", "new"));
        cache.taken(&permit, &lookup(), &old, 30, at(0));
        assert_eq!(cache.refused(&permit, &lookup(), &credentials("ann", "guess")), CacheChange::None);
        assert!(cache.answer(&permit, &lookup(), &old, 30, at(1)));
        assert_eq!(cache.refused(&permit, &lookup(), &old), CacheChange::Forget);
        assert!(!cache.answer(&permit, &lookup(), &old, 30, at(1)));
        assert_eq!(cache.refused(&permit, &lookup(), &old), CacheChange::None);

        cache.taken(&permit, &lookup(), &old, 30, at(0));
        cache.taken(&permit, &lookup(), &new, 30, at(1));
        assert!(cache.answer(&permit, &lookup(), &new, 30, at(2)));
        assert!(!cache.answer(&permit, &lookup(), &old, 30, at(2)), "replaced");
        assert_eq!(cache.taken(&permit, &lookup(), &new, 0, at(2)), CacheChange::Forget, "switched off");
        assert!(cache.is_empty());
    }

    #[test]
    fn the_cache_is_bounded_and_old_entries_expire() {
        let permit = Hashing::default().permit().unwrap();
        let mut cache = CredentialCache::new(&KEY);
        let ann = credentials("ann", "s3cret");
        let CacheChange::Keep(kept) = cache.taken(&permit, &lookup(), &ann, 30, at(0)) else { panic!() };
        for n in 0..REMEMBERED_MAX as u64 + 10 {
            let right_at = at(1).plus(n);
            cache.load(lookup(), &format!("user{n}"), Remembered { right_at, ..kept.clone() });
        }
        assert_eq!(cache.len(), REMEMBERED_MAX);
        assert!(!cache.answer(&permit, &lookup(), &ann, 30, at(1)), "the oldest went first");
        let gone = cache.expire(at(2).plus(99), |_| 1);
        assert_eq!((gone.len(), cache.len()), (90, REMEMBERED_MAX - 90));
        assert_eq!(cache.expire(at(2).plus(99), |_| 0).len(), REMEMBERED_MAX - 90);
    }
}
