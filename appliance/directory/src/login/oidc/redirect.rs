//! What a browser brings back: the query of the address that it was sent to.

use super::{Refusal, refusal::shown};

/// Longest query, in bytes; codes have about 2 kB.
pub const QUERY_MAX: usize = 16 << 10;

/// What stood in the query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) state: String,
    /// The code, or why there is none.
    pub(super) result: Result<String, Box<str>>,
    /// RFC 9207 §2.
    pub(super) issuer: Option<String>,
}

impl Redirect {
    /// Reads a query without its `?`.
    pub(super) fn read(query: &str) -> Result<Redirect, Refusal> {
        if query.len() > QUERY_MAX {
            return Err(Refusal::Query);
        }
        let mut values: [Option<String>; 5] = Default::default();
        let [state, code, error, description, issuer] = &mut values;
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match key {
                "state" => &mut *state,
                "code" => &mut *code,
                "error" => &mut *error,
                "error_description" => &mut *description,
                "iss" => &mut *issuer,
                _ => continue,
            };
            // RFC 6749 §3.1: none more than once.
            if slot.replace(decode(value).ok_or(Refusal::Query)?).is_some() {
                return Err(Refusal::Query);
            }
        }
        let [state, code, error, description, issuer] = values;
        let result = match (code, error) {
            (Some(code), None) if !code.is_empty() => Ok(code),
            (None, Some(error)) => Err(shown(&format!("{error} {}", description.unwrap_or_default()))),
            _ => return Err(Refusal::Query),
        };
        Ok(Redirect { state: state.ok_or(Refusal::Query)?, result, issuer })
    }
}

/// A value of a form (RFC 6749, appendix B).
fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok()
}
