//! Codes for whoever has lost the authenticator: each works once.
//!
//! A code has 80 random bits, so a plain hash keeps it: there is nothing to guess from.

use aws_lc_rs::{constant_time, digest, rand};
use serde::{Deserialize, Serialize};

/// Codes that are given out at once.
pub const RECOVERY_CODES: usize = 10;
/// Bits of a code, in bytes.
const BYTES: usize = 10;
/// Letters of a code; none of them looks like another (RFC 4648's Base32 without its `0`, `1`, `8`).
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LETTERS: usize = BYTES * 8 / 5;

/// The hash of a code that was not used yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecoveryHash([u8; 32]);

impl RecoveryHash {
    fn of(code: &str) -> RecoveryHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, code.as_bytes()).as_ref());
        RecoveryHash(hash)
    }
}

/// New codes and their hashes. `None`: the system gives no random bytes.
pub(super) fn make() -> Option<(Vec<String>, Vec<RecoveryHash>)> {
    let mut codes = Vec::with_capacity(RECOVERY_CODES);
    for _ in 0..RECOVERY_CODES {
        // A letter takes five bits of a byte of its own: 16 letters are 80 bits.
        let mut random = [0; LETTERS];
        rand::fill(&mut random).ok()?;
        codes
            .push(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect::<String>());
    }
    let hashes = codes.iter().map(|code| RecoveryHash::of(code)).collect();
    let grouped = |code: &String| {
        let four: Vec<&str> = (0..LETTERS).step_by(4).filter_map(|at| code.get(at..at + 4)).collect();
        four.join("-")
    };
    Some((codes.iter().map(grouped).collect(), hashes))
}

/// Whether a text has the form of a code, whatever the case and the hyphens.
pub(super) fn normal(text: &str) -> Option<String> {
    let letters: String = text
        .chars()
        .filter(|c| *c != '-' && *c != ' ')
        .take(LETTERS + 1)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let known = |c: char| u8::try_from(c).is_ok_and(|c| ALPHABET.contains(&c));
    (letters.len() == LETTERS && letters.chars().all(known)).then_some(letters)
}

/// Takes a code out of those that are left; whether it was one of them.
pub(super) fn take(left: &mut Vec<RecoveryHash>, code: &str) -> bool {
    let hash = RecoveryHash::of(code);
    let found = left.iter().position(|one| constant_time::verify_slices_are_equal(&one.0, &hash.0).is_ok());
    found.map(|at| left.remove(at)).is_some()
}
