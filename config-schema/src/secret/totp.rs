//! Keys of one-time codes (RFC 6238), as Base32 (RFC 4648 §6), which authenticator programs read.

use zeroize::Zeroizing;

use super::{Secret, Text};
use crate::{mistake::Notes, reader::Section};

/// The key that a person's authenticator and we share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotpSecret(Secret);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key for one-time codes, expected {} to {} bytes in Base32", TotpSecret::MIN, TotpSecret::MAX)]
pub struct TotpSecretError;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl TotpSecret {
    /// RFC 4226 §4, R6: 128 bits at least.
    pub const MIN: usize = 16;
    /// Longest key, in bytes: a block of SHA-1; a longer one would be hashed first.
    pub const MAX: usize = 64;
    /// RFC 4226 §4, R6 recommends 160 bits.
    const MADE: usize = 20;

    /// Reads Base32; case, spaces and the padding at the end do not matter.
    ///
    /// # Errors
    /// [`TotpSecretError`].
    pub fn parse(text: &str) -> Result<TotpSecret, TotpSecretError> {
        let letters: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect());
        let letters = letters.trim_end_matches('=');
        let bytes = decode(letters).ok_or(TotpSecretError)?;
        let fits = (Self::MIN..=Self::MAX).contains(&bytes.len());
        if fits { Ok(TotpSecret(Secret::new(letters))) } else { Err(TotpSecretError) }
    }

    /// A new key. `None`: the system gives no random bytes.
    pub fn generate() -> Option<TotpSecret> {
        let mut key = Zeroizing::new([0; Self::MADE]);
        getrandom::fill(&mut key[..]).ok()?;
        Some(TotpSecret(Secret::new(encode(&key[..]))))
    }

    /// In Base32, as a person types it into an authenticator.
    pub fn base32(&self) -> &Secret {
        &self.0
    }

    /// The bytes.
    pub fn key(&self) -> Zeroizing<Vec<u8>> {
        decode(self.0.expose()).unwrap_or_default()
    }

    pub(crate) fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<TotpSecret> {
        let found = section.text("totp-secret", notes)?;
        match &found.value {
            Text::Unopened => Some(TotpSecret(Secret::new(""))),
            Text::Given(text) => TotpSecret::parse(text.expose())
                .map_err(|why| notes.note(found.place.span.clone(), &found.place.path, why))
                .ok(),
        }
    }
}

/// The bytes of Base32 without padding; `None` where a letter is none of its, or bits are left over that say
/// something.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8));
    let (mut bits, mut held) = (0u32, 0u32);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = (bits << 5) | u32::try_from(value).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    (held < 5 && bits == 0).then_some(bytes)
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut held) = (0u32, 0u32);
    let mut put = |five: u32| text.push(char::from(ALPHABET[(five & 31) as usize]));
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            put(bits >> held);
            bits &= (1 << held) - 1;
        }
    }
    if held > 0 {
        put(bits << (5 - held));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base32_is_that_of_the_rfc() {
        // RFC 4648 §10.
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap().as_slice(), bytes.as_bytes());
        }
        for wrong in ["M", "MZ1", "MZ", "my", "MZX"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_has_a_bounded_length() {
        let of = |bytes: usize| TotpSecret::parse(&encode(&vec![7; bytes]));
        assert_eq!(of(TotpSecret::MIN - 1), Err(TotpSecretError));
        assert_eq!(of(TotpSecret::MIN).unwrap().key().len(), TotpSecret::MIN);
        assert_eq!(of(TotpSecret::MAX).unwrap().key().len(), TotpSecret::MAX);
        assert_eq!(of(TotpSecret::MAX + 1), Err(TotpSecretError));
        let spaced = TotpSecret::parse("gezd gnbv gy3t qojq gezd gnbv gy3t qojq").unwrap();
        assert_eq!(spaced.key().as_slice(), b"12345678901234567890");
        assert_ne!(TotpSecret::generate().unwrap(), TotpSecret::generate().unwrap());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let back = decode(&encode(&bytes)).unwrap();
            prop_assert_eq!(back.as_slice(), bytes.as_slice());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,120}") {
            let _ = TotpSecret::parse(&text);
        }
    }
}
