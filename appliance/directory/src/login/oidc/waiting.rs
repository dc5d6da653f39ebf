//! Browsers that were sent away and have not come back.

use std::collections::HashMap;

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use config_schema::{LookupName, Secret};

use super::{Provider, Refusal, redirect::Redirect};
use crate::login::UnixTime;

/// Browsers that are waited for; the one that was sent away first is forgotten first.
pub const WAITING_MAX: usize = 2_000;
/// Seconds that a browser may be away.
pub const WAITING_TIME: u64 = 600;
/// Longest cookie that is looked at, in bytes.
pub const COOKIE_MAX: usize = 64;

/// Browsers that are away, by the state that they bring back.
#[derive(Debug, Default)]
pub struct Waiting(HashMap<String, Pending>);

/// One browser that is away. Each secret has 256 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    lookup: LookupName,
    since: UnixTime,
    pub(super) state: String,
    pub(super) nonce: String,
    /// RFC 7636 §4.1.
    pub(super) verifier: Secret,
    /// What the browser that was sent away has, and no other.
    cookie: Secret,
}

/// A browser is to be sent away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Where to.
    pub url: String,
    /// To be set as a cookie (`Secure`, `HttpOnly`, `SameSite=Lax`), and handed in when it comes back: without it,
    /// anyone could sign another's browser in as himself.
    pub cookie: Secret,
}

/// A browser that came back; to be handed to [`super::Exchange`].
#[derive(Debug)]
pub struct Returned {
    /// By which user lookup it was sent away.
    pub lookup: LookupName,
    pub(super) pending: Pending,
    pub(super) code: Secret,
    pub(super) issuer: Option<String>,
}

impl Waiting {
    /// Sends a browser away. The provider has to be discovered.
    ///
    /// # Errors
    /// [`Refusal::NotDiscovered`], or [`Refusal::Random`].
    pub fn begin(
        &mut self,
        lookup: &LookupName,
        provider: &Provider,
        now: UnixTime,
    ) -> Result<Begun, Refusal> {
        let pending = Pending {
            lookup: lookup.clone(),
            since: now,
            state: secret()?,
            nonce: secret()?,
            verifier: Secret::new(secret()?),
            cookie: Secret::new(secret()?),
        };
        let begun = Begun { url: provider.authorization_url(&pending)?, cookie: pending.cookie.clone() };
        self.make_room(now);
        self.0.insert(pending.state.clone(), pending);
        Ok(begun)
    }

    /// Takes a browser back, once: with the query of its address, and its cookie.
    ///
    /// # Errors
    /// When it was not sent away from here, or Entra ID sent it back without a code.
    pub fn take_back(&mut self, query: &str, cookie: &str, now: UnixTime) -> Result<Returned, Refusal> {
        let redirect = Redirect::read(query)?;
        let pending = self.0.get(&redirect.state).ok_or(Refusal::State)?;
        let own = constant_time::verify_slices_are_equal(
            pending.cookie.expose().as_bytes(),
            cookie.get(..COOKIE_MAX).unwrap_or(cookie).as_bytes(),
        );
        // Another browser with this state does not use it up.
        own.map_err(|_| Refusal::State)?;
        let pending = self.0.remove(&redirect.state).ok_or(Refusal::State)?;
        if pending.is_over(now) {
            return Err(Refusal::State);
        }
        let code = redirect.result.map_err(Refusal::Denied)?;
        let lookup = pending.lookup.clone();
        Ok(Returned { lookup, pending, code: Secret::new(code), issuer: redirect.issuer })
    }

    /// Browsers that are away.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn make_room(&mut self, now: UnixTime) {
        if self.0.len() < WAITING_MAX {
            return;
        }
        self.0.retain(|_, pending| !pending.is_over(now));
        if self.0.len() < WAITING_MAX {
            return;
        }
        let first = self.0.values().min_by_key(|pending| pending.since).map(|pending| pending.state.clone());
        if let Some(state) = first {
            self.0.remove(&state);
        }
    }
}

impl Pending {
    /// RFC 7636 §4.2, S256.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.verifier.expose().as_bytes()))
    }

    fn is_over(&self, now: UnixTime) -> bool {
        self.since > now || now.since(self.since) >= WAITING_TIME
    }
}

/// 256 random bits as text: 43 letters, which is what a verifier has at least.
fn secret() -> Result<String, Refusal> {
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(|_| Refusal::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
