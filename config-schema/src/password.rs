//! Passwords that are kept here: only their hashes by Argon2id (RFC 9106), as PHC strings.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    mistake::Notes,
    reader::{Found, Section},
    secret::{Secret, Text},
};

/// Longest password, in bytes: more is no password, and would be hashed all the same.
pub const PASSWORD_MAX: usize = 1_024;
/// Memory of the hashes that are made here, in KiB; with [`PASSES`], what OWASP recommends for Argon2id.
pub const MEMORY_KIB: u32 = 19 << 10;
/// Passes of the hashes that are made here.
pub const PASSES: u32 = 2;
/// Most memory that a hash may ask for, in KiB: each log-in takes it.
const MEMORY_MAX_KIB: u32 = 256 << 10;
/// Most passes that a hash may ask for.
const PASSES_MAX: u32 = 64;
/// Most lanes that a hash may ask for.
const LANES_MAX: u32 = 16;
/// RFC 9106 §3.1: 16 bytes are recommended.
const SALT: usize = 16;
/// Bytes of the hashes that are made here.
const HASH: usize = 32;
/// Bytes that a salt or a hash may have.
const ENCODED: std::ops::RangeInclusive<usize> = 8..=96;

/// Why no hash was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Empty, or beyond [`PASSWORD_MAX`].
    #[error("the password has to have 1 to {PASSWORD_MAX} bytes")]
    Length,
    /// The system gave no random bytes or no memory.
    #[error("the system gives no random bytes or too little memory")]
    System,
}

/// The hash of a password as it is kept: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
///
/// # Errors
/// [`HashError`].
pub fn hash(password: &Secret) -> Result<Secret, HashError> {
    if password.expose().is_empty() || password.expose().len() > PASSWORD_MAX {
        return Err(HashError::Length);
    }
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|_| HashError::System)?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(HASH)).map_err(|_| HashError::System)?;
    let mut hash = Zeroizing::new([0; HASH]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), &salt, &mut hash[..])
        .map_err(|_| HashError::System)?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(&hash[..]));
    Ok(Secret::new(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}")))
}

/// Whether this is the password that the hash was made from. Takes the memory and time that the hash asks for,
/// whatever the password.
pub fn verify(hash: &Secret, password: &Secret) -> bool {
    let Some(phc) = Phc::parse(hash.expose()) else { return false };
    if password.expose().len() > PASSWORD_MAX {
        return false;
    }
    let mut made = Zeroizing::new(vec![0; phc.hash.len()]);
    let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, phc.params).hash_password_into(
        password.expose().as_bytes(),
        &phc.salt,
        &mut made,
    );
    // Every byte is looked at, wherever the first difference is.
    let difference = made.iter().zip(&phc.hash).fold(0, |difference, (a, b)| difference | (a ^ b));
    done.is_ok() && difference == 0
}

/// Whether a text is a hash that [`verify`] understands, and whose cost is bounded.
pub fn is_hash(text: &str) -> bool {
    Phc::parse(text).is_some()
}

/// Reads the key `password-hash`; the caller says when it is missing.
pub(crate) fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Secret> {
    let found: Found<Text> = section.text("password-hash", notes)?;
    match found.value {
        Text::Unopened => Some(Secret::new("")),
        Text::Given(hash) if is_hash(hash.expose()) => Some(hash),
        // What stands here may be the password itself: it is not repeated.
        Text::Given(_) => {
            let text = format!(
                "not a hash by Argon2id, expected \"$argon2id$v=19$m=…,t=…,p=…$SALT$HASH\" with m up to \
                 {MEMORY_MAX_KIB} and t up to {PASSES_MAX}"
            );
            notes.note(found.place.span, &found.place.path, text);
            None
        }
    }
}

/// A PHC string of Argon2id whose cost is bounded.
struct Phc {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Phc {
    fn parse(text: &str) -> Option<Phc> {
        let parts: Vec<&str> = text.split('$').collect();
        let ["", "argon2id", "v=19", cost, salt, hash] = parts.as_slice() else { return None };
        let decode =
            |text: &str| STANDARD_NO_PAD.decode(text).ok().filter(|bytes| ENCODED.contains(&bytes.len()));
        let number = |part: &str, key: &str, max: u32| {
            let number = part.strip_prefix(key)?.parse::<u32>().ok()?;
            (1..=max).contains(&number).then_some(number)
        };
        let cost: Vec<&str> = cost.split(',').collect();
        let [memory, passes, lanes] = cost.as_slice() else { return None };
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        let memory = number(memory, "m=", MEMORY_MAX_KIB)?;
        let (passes, lanes) = (number(passes, "t=", PASSES_MAX)?, number(lanes, "p=", LANES_MAX)?);
        let params = Params::new(memory, passes, lanes, Some(hash.len())).ok()?;
        Some(Phc { params, salt, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_a_bounded_cost() {
        let tail = "$c29tZXNhbHQxMjM$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(is_hash(&format!("$argon2id$v=19$m=19456,t=2,p=1{tail}")));
        assert!(is_hash(&format!("$argon2id$v=19$m={MEMORY_MAX_KIB},t={PASSES_MAX},p=16{tail}")));
        for cost in ["m=262145,t=2,p=1", "m=19456,t=65,p=1", "m=19456,t=2,p=17", "m=0,t=2,p=1", "t=2,m=1,p=1"]
        {
            assert!(!is_hash(&format!("$argon2id$v=19${cost}{tail}")), "{cost}");
        }
        for text in ["", "secret", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=19456,t=2,p=1$$"] {
            assert!(!is_hash(text), "{text}");
        }
    }

    #[test]
    fn only_its_password_fits_a_hash() {
        let password = Secret::new("correct horse");
        let made = hash(&password).unwrap();
        assert!(made.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", made.expose());
        assert!(verify(&made, &password));
        for wrong in ["", "correct hors", "Correct horse", &"x".repeat(PASSWORD_MAX + 1)] {
            assert!(!verify(&made, &Secret::new(wrong)), "{wrong:.20}");
        }
        assert!(!verify(&Secret::new(""), &password));
        assert_ne!(hash(&password).unwrap(), made);
    }

    #[test]
    fn a_hash_of_another_program_is_understood() {
        // RFC 9106 has no vector without a secret; this is the reference program's for `password`, `somesalt`.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify(&Secret::new(hash), &Secret::new("password")));
        assert!(!verify(&Secret::new(hash), &Secret::new("Password")));
    }

    #[test]
    fn a_password_has_a_bounded_length() {
        assert_eq!(hash(&Secret::new("")), Err(HashError::Length));
        assert!(hash(&Secret::new("x".repeat(PASSWORD_MAX))).is_ok());
        assert_eq!(hash(&Secret::new("x".repeat(PASSWORD_MAX + 1))), Err(HashError::Length));
    }
}
