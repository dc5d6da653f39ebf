//! One-time codes by time (RFC 6238): six digits, SHA-1, a new one every 30 seconds, as all authenticators make them.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac};
use config_schema::TotpSecret;

use crate::login::UnixTime;

/// Seconds that a code is shown (RFC 6238 §4.1).
const STEP: u64 = 30;
/// Codes before and after the present one that are taken: clocks differ, and typing takes time (RFC 6238 §5.2).
const DRIFT: u64 = 1;
/// Digits of a code (RFC 4226 §5.3).
const DIGITS: usize = 6;

/// The step whose code this is, if it is one of those now and later than `used`.
pub(super) fn step_of(secret: &TotpSecret, code: &str, used: u64, now: UnixTime) -> Option<u64> {
    let code: String = code.chars().filter(|c| *c != ' ').take(DIGITS + 1).collect();
    let present = now.seconds() / STEP;
    let mut found = None;
    // All are compared, so that the time does not tell which one it was.
    for step in present.saturating_sub(DRIFT)..=present.saturating_add(DRIFT) {
        let right =
            constant_time::verify_slices_are_equal(self::code(secret, step).as_bytes(), code.as_bytes());
        if right.is_ok() {
            found = Some(step);
        }
    }
    // RFC 6238 §5.2: a code that was taken is not taken again.
    found.filter(|step| *step > used)
}

/// The code of a step (RFC 4226 §5.3).
pub(super) fn code(secret: &TotpSecret, step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret.key());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = tag.last().map_or(0, |last| usize::from(last & 0xf));
    let four = tag.get(offset..offset + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
    let number = u32::from_be_bytes(four) & 0x7fff_ffff;
    format!("{:0width$}", number % 10u32.pow(6), width = DIGITS)
}

/// What an authenticator reads from a picture: the key, whose it is, and for what.
pub fn enrolment_url(secret: &TotpSecret, account: &str, issuer: &str) -> String {
    let (account, issuer) = (percent(account), percent(issuer));
    let key = secret.base32().expose();
    format!(
        "otpauth://totp/{issuer}:{account}?secret={key}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP}"
    )
}

/// RFC 3986 §2.1, all but unreserved characters.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
