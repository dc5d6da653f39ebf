//! Seals: XChaCha20-Poly1305 under a key that Argon2id (RFC 9106) makes from a passphrase.
//!
//! One export has one salt and so one key; the nonce of each secret is random.

use std::cell::RefCell;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use toml_edit::{InlineTable, Value};
use zeroize::Zeroizing;

use super::{Secret, SecretMode};

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Sealed, and no passphrase was given.
    #[error("the secret is sealed and no passphrase was given")]
    NoPassphrase,
    /// The passphrase is wrong, or the seal was changed.
    #[error("the passphrase is wrong or the seal was changed")]
    Broken,
    /// It has not the form of a seal.
    #[error("it is no seal of this version")]
    Form,
    /// Secrets of two exports in one document: each costs a slow key, so there is one.
    #[error("it was sealed in another export than the first secret of this document")]
    OtherExport,
    /// The passphrase is shorter than [`Secret::PASSPHRASE_MIN`].
    #[error("the passphrase is shorter than {} characters", Secret::PASSPHRASE_MIN)]
    ShortPassphrase,
    /// The system gave no random bytes, or no memory for the key.
    #[error("the system gives no random bytes or too little memory")]
    System,
}

/// What becomes of each secret that is written.
pub(crate) struct Sealing(How);

enum How {
    LeftOut,
    Plain,
    Sealed { salt: [u8; SALT], cipher: Box<XChaCha20Poly1305>, failed: bool },
}

/// Opens the seals of one document.
#[derive(Default)]
pub(crate) struct Opener(RefCell<Option<([u8; SALT], Box<XChaCha20Poly1305>)>>);

/// The first part of a seal: which version of this it was made by.
const VERSION: &str = "1:";
/// RFC 9106 §3.1: 16 bytes are recommended.
const SALT: usize = 16;
const NONCE: usize = 24;
/// RFC 9106 §4, the second recommended choice: 64 MiB and 3 passes. One lane, since we have one core.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
/// So that a seal of ours is taken for nothing else under the same passphrase.
const PURPOSE: &[u8] = b"postern configuration secret";

impl Sealing {
    pub(crate) fn new(mode: &SecretMode) -> Result<Self, SealError> {
        Ok(Self(match mode {
            SecretMode::LeftOut => How::LeftOut,
            SecretMode::Plain => How::Plain,
            SecretMode::Sealed(passphrase) => {
                if passphrase.expose().chars().count() < Secret::PASSPHRASE_MIN {
                    return Err(SealError::ShortPassphrase);
                }
                let mut salt = [0; SALT];
                getrandom::fill(&mut salt).map_err(|_| SealError::System)?;
                How::Sealed { cipher: Box::new(cipher(passphrase, &salt)?), salt, failed: false }
            }
        }))
    }

    /// The value to write for a secret.
    pub(crate) fn value(&mut self, secret: &Secret) -> Value {
        let (key, value): (&str, Value) = match &mut self.0 {
            How::Plain => return secret.expose().into(),
            How::LeftOut => ("left-out", true.into()),
            How::Sealed { salt, cipher, failed } => match seal(secret, salt, cipher) {
                Ok(sealed) => ("sealed", sealed.into()),
                Err(_) => {
                    *failed = true;
                    ("left-out", true.into())
                }
            },
        };
        InlineTable::from_iter([(key, value)]).into()
    }

    /// Whether every secret that was written is as it was asked for.
    pub(crate) fn finish(self) -> Result<(), SealError> {
        match self.0 {
            How::Sealed { failed: true, .. } => Err(SealError::System),
            _ => Ok(()),
        }
    }
}

fn seal(secret: &Secret, salt: &[u8; SALT], cipher: &XChaCha20Poly1305) -> Result<String, SealError> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| SealError::System)?;
    let payload = Payload { msg: secret.expose().as_bytes(), aad: PURPOSE };
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::System)?;
    Ok(format!("{VERSION}{}", STANDARD.encode([&salt[..], &nonce[..], &sealed[..]].concat())))
}

impl Opener {
    pub(crate) fn open(&self, sealed: &str, passphrase: Option<&Secret>) -> Result<Secret, SealError> {
        let passphrase = passphrase.ok_or(SealError::NoPassphrase)?;
        let text = sealed.strip_prefix(VERSION).ok_or(SealError::Form)?;
        let bytes = STANDARD.decode(text).map_err(|_| SealError::Form)?;
        let (salt, rest) = bytes.split_first_chunk::<SALT>().ok_or(SealError::Form)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(SealError::Form)?;
        let mut known = self.0.borrow_mut();
        if known.is_none() {
            *known = Some((*salt, Box::new(cipher(passphrase, salt)?)));
        }
        let (first, cipher) = known.as_ref().ok_or(SealError::System)?;
        if first != salt {
            return Err(SealError::OtherExport);
        }
        let payload = Payload { msg: sealed, aad: PURPOSE };
        let text = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Broken)?;
        String::from_utf8(text).map(Secret::new).map_err(|_| SealError::Form)
    }
}

fn cipher(passphrase: &Secret, salt: &[u8; SALT]) -> Result<XChaCha20Poly1305, SealError> {
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(key.len())).map_err(|_| SealError::System)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut key[..])
        .map_err(|_| SealError::System)?;
    XChaCha20Poly1305::new_from_slice(&key[..]).map_err(|_| SealError::System)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value) -> &str {
        value.as_inline_table().unwrap().get("sealed").unwrap().as_str().unwrap()
    }

    #[test]
    fn only_the_passphrase_opens_a_seal() {
        let passphrase = Secret::new("correct horse battery");
        let mut sealing = Sealing::new(&SecretMode::Sealed(passphrase.clone())).unwrap();
        let value = sealing.value(&Secret::new("hunter2"));
        sealing.finish().unwrap();
        let sealed = text(&value);
        let wrong = Secret::new("incorrect horse");
        let open = |sealed: &str, by| Opener::default().open(sealed, by);
        assert_eq!(open(sealed, Some(&passphrase)).unwrap().expose(), "hunter2");
        assert_eq!(open(sealed, None), Err(SealError::NoPassphrase));
        assert_eq!(open(sealed, Some(&wrong)), Err(SealError::Broken));
        assert_eq!(open("2:AAAA", Some(&passphrase)), Err(SealError::Form));
        assert_eq!(open("1:AAAA", Some(&passphrase)), Err(SealError::Form));
        let short = SecretMode::Sealed(Secret::new("too short"));
        assert_eq!(Sealing::new(&short).err(), Some(SealError::ShortPassphrase));
    }

    #[test]
    fn a_document_has_the_secrets_of_one_export() {
        let passphrase = Secret::new("correct horse battery");
        let seal = || {
            let mut sealing = Sealing::new(&SecretMode::Sealed(passphrase.clone())).unwrap();
            text(&sealing.value(&Secret::new("x"))).to_owned()
        };
        let opener = Opener::default();
        assert!(opener.open(&seal(), Some(&passphrase)).is_ok());
        assert_eq!(opener.open(&seal(), Some(&passphrase)), Err(SealError::OtherExport));
    }
}
