//! What is asked for beside the password.

use std::fmt;

use config_schema::TotpSecret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    recovery::{self, RecoveryHash},
    totp,
};
use crate::login::UnixTime;

/// The state of one user's second factor; the caller keeps it whenever a function has changed it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SecondFactor {
    /// The key that the user enrolled with; the configuration's comes before it.
    key: Option<Key>,
    /// A key that was shown and not confirmed by a code.
    offered: Option<Key>,
    /// The step of the last code that was taken.
    used: u64,
    recovery: Vec<RecoveryHash>,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondCheck {
    /// The user has no second factor.
    NotAsked,
    /// The code is right, and will not be taken again.
    Right,
    /// It was a recovery code, of which so many are left.
    Recovered {
        /// Codes that are left.
        left: usize,
    },
    /// There has to be a code, and none was given.
    Missing,
    /// The code is wrong or was used before.
    Wrong,
}

/// What the user is shown once, when the second factor is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolment {
    /// From now on a code is asked for; these codes replace one each.
    Done {
        /// [`super::RECOVERY_CODES`] of them.
        recovery_codes: Vec<String>,
    },
    /// The code does not fit the key that was offered, or none was.
    Wrong,
    /// The system gives no random bytes.
    System,
}

impl SecondFactor {
    /// Checks a code: of the authenticator, or one for recovery. `configured` is the key of the configuration.
    pub fn check(
        &mut self,
        configured: Option<&TotpSecret>,
        code: Option<&str>,
        now: UnixTime,
    ) -> SecondCheck {
        let Some(key) = configured.or(self.key.as_ref().map(|key| &key.0)) else {
            return SecondCheck::NotAsked;
        };
        let Some(code) = code.filter(|code| !code.trim().is_empty()) else { return SecondCheck::Missing };
        if let Some(step) = totp::step_of(key, code, self.used, now) {
            self.used = step;
            return SecondCheck::Right;
        }
        match recovery::normal(code) {
            Some(code) if recovery::take(&mut self.recovery, &code) => {
                SecondCheck::Recovered { left: self.recovery.len() }
            }
            _ => SecondCheck::Wrong,
        }
    }

    /// Offers a new key, which counts once a code of it is confirmed. `None`: the system gives no random bytes.
    pub fn offer(&mut self) -> Option<TotpSecret> {
        let secret = TotpSecret::generate()?;
        self.offered = Some(Key(secret.clone()));
        Some(secret)
    }

    /// Confirms the key that was offered, and makes new recovery codes.
    pub fn confirm(&mut self, code: &str, now: UnixTime) -> Enrolment {
        let Some(offered) = &self.offered else { return Enrolment::Wrong };
        let Some(step) = totp::step_of(&offered.0, code, 0, now) else { return Enrolment::Wrong };
        let Some((recovery_codes, hashes)) = recovery::make() else { return Enrolment::System };
        *self = SecondFactor { key: self.offered.take(), offered: None, used: step, recovery: hashes };
        Enrolment::Done { recovery_codes }
    }

    /// New recovery codes in place of those that are left. `None`: the system gives no random bytes.
    pub fn renew_recovery_codes(&mut self) -> Option<Vec<String>> {
        let (codes, hashes) = recovery::make()?;
        self.recovery = hashes;
        Some(codes)
    }

    /// Asks for no code any more, but for the configuration's. The last step stays, so that no code comes back.
    pub fn reset(&mut self) {
        *self = SecondFactor { used: self.used, ..SecondFactor::default() };
    }

    /// Whether the user has enrolled here.
    pub fn is_enrolled(&self) -> bool {
        self.key.is_some()
    }

    /// Recovery codes that are left.
    pub fn recovery_codes_left(&self) -> usize {
        self.recovery.len()
    }
}

/// A key as it is kept: as Base32.
#[derive(Clone, PartialEq, Eq)]
struct Key(TotpSecret);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.base32().expose())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        TotpSecret::parse(&text).map(Key).map_err(serde::de::Error::custom)
    }
}
