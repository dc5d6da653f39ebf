//! The tenant's keys (RFC 7517), and whether one of them signed a token.

use aws_lc_rs::{rsa::PublicKeyComponents, signature::RSA_PKCS1_2048_8192_SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{Refusal, jwt::Jwt, refusal::shown};
use crate::login::UnixTime;

/// Keys of a tenant.
pub const KEYS_MAX: usize = 64;
/// Longest list of them, in bytes; each brings its certificate.
pub const KEYS_ANSWER_MAX: usize = 256 << 10;
/// Seconds between two questions for keys that were not known: a made-up name must not make us ask for each token.
pub const REFETCH: u64 = 300;
/// Seconds that keys are believed without asking again; one that was withdrawn is gone then.
const KEEP: u64 = 86_400;
/// Longest name of a key.
const NAME_MAX: usize = 256;

/// What is known of the keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    known: Vec<Key>,
    asked_at: Option<UnixTime>,
    read_at: Option<UnixTime>,
}

#[derive(Debug)]
struct Key {
    name: String,
    issuer: Option<String>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// Microsoft's own: for whom the key may sign.
    issuer: Option<String>,
}

impl Keys {
    /// Whether the keys are to be asked for before this one is looked for, and may be.
    pub(super) fn are_wanted_for(&self, name: &str, now: UnixTime) -> bool {
        let stale = self.read_at.is_none_or(|at| at > now || now.since(at) >= KEEP);
        let asked_lately = self.asked_at.is_some_and(|at| at <= now && now.since(at) < REFETCH);
        (stale || self.find(name).is_none()) && !asked_lately
    }

    /// They are being asked for.
    pub(super) fn asked(&mut self, now: UnixTime) {
        self.asked_at = Some(now);
    }

    /// Takes a list in place of the one before.
    pub(super) fn read(&mut self, body: &[u8], now: UnixTime) -> Result<(), Refusal> {
        let damaged = |why: &str| Refusal::Keys(shown(why));
        if body.len() > KEYS_ANSWER_MAX {
            return Err(damaged("too long"));
        }
        let set: Set = serde_json::from_slice(body).map_err(|why| damaged(&why.to_string()))?;
        if set.keys.len() > KEYS_MAX {
            return Err(damaged("too many"));
        }
        // RFC 7517 §5: keys of other kinds are none of ours.
        let known: Vec<Key> = set.keys.into_iter().filter_map(Raw::rsa).collect();
        let twice = |key: &Key| known.iter().filter(|other| other.name == key.name).count() > 1;
        if known.iter().any(twice) {
            return Err(damaged("two have the same name"));
        }
        self.known = known;
        self.read_at = Some(now);
        Ok(())
    }

    /// Whether the key that the token names signed it, and may do so for `issuer`.
    pub(super) fn verify(&self, token: &Jwt<'_>, issuer: &str, tenant: &str) -> Result<(), Refusal> {
        let key = self.find(&token.key).ok_or_else(|| Refusal::UnknownKey(shown(&token.key)))?;
        let issued = |template: &String| template.replace("{tenantid}", tenant) == issuer;
        if !key.issuer.as_ref().is_none_or(issued) {
            return Err(Refusal::KeyIssuer);
        }
        PublicKeyComponents { n: &key.modulus, e: &key.exponent }
            .verify(&RSA_PKCS1_2048_8192_SHA256, token.signed.as_bytes(), &token.signature)
            .map_err(|_| Refusal::Signature)
    }

    fn find(&self, name: &str) -> Option<&Key> {
        self.known.iter().find(|key| key.name == name)
    }
}

impl Raw {
    /// `None`: a key of another kind, or for another purpose.
    fn rsa(self) -> Option<Key> {
        let signs = self.purpose.is_none_or(|purpose| purpose == "sig");
        let name = self.kid.filter(|name| !name.is_empty() && name.len() <= NAME_MAX)?;
        if self.kty != "RSA" || !signs {
            return None;
        }
        let number = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        Some(Key { name, issuer: self.issuer, modulus: number(self.n)?, exponent: number(self.e)? })
    }
}
