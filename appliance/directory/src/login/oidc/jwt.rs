//! A signed token (RFC 7515 §3.1), taken apart; nothing in it is believed yet.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{Refusal, refusal::shown};

/// Longest token, in bytes: 200 groups take 8 kB, and are the most that Entra ID puts in.
pub const TOKEN_MAX: usize = 32 << 10;

/// The parts of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Jwt<'t> {
    /// The name of the key that is said to have signed it.
    pub(super) key: String,
    /// What is signed.
    pub(super) signed: &'t str,
    pub(super) claims: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Jwt<'_> {
    pub(super) fn read(token: &str) -> Result<Jwt<'_>, Refusal> {
        if token.len() > TOKEN_MAX {
            return Err(Refusal::Token("too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Token("not three parts"))?;
        let (head, claims) = signed.split_once('.').ok_or(Refusal::Token("not three parts"))?;
        // Base64 has no dot, so that a fourth part is told, too.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Token("not Base64"));
        let head: Head =
            serde_json::from_slice(&decode(head)?).map_err(|_| Refusal::Token("no head of a token"))?;
        // RFC 8725 §3.1: what is not expected is refused, `none` and the shared keys of `HS256` above all.
        if head.alg != "RS256" {
            return Err(Refusal::Algorithm(shown(&head.alg)));
        }
        // RFC 7515 §4.1.11: we understand no extension.
        if head.crit.is_some() {
            return Err(Refusal::Token("it asks for an extension"));
        }
        let key = head.kid.ok_or(Refusal::Token("it names no key"))?;
        Ok(Jwt { key, signed, claims: decode(claims)?, signature: decode(signature)? })
    }
}
