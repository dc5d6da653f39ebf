//! Secrets: read from the document, a file or a seal; never printed; wiped when dropped.

mod seal;
mod source;
mod totp;

use std::fmt;

use zeroize::Zeroizing;

pub use seal::SealError;
pub(crate) use seal::{Opener, Sealing};
pub(crate) use source::Text;
pub use source::{ReadFile, SecretSources};
pub use totp::{TotpSecret, TotpSecretError};

/// A text that is never printed and is wiped when it is dropped. Only [`Secret::expose`] shows it.
///
/// It is neither `Display` nor `Serialize`, so that nothing can write it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// What becomes of the secrets in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretMode {
    /// Each is replaced by `{ left-out = true }`, and has to be put in again by hand.
    LeftOut,
    /// Each is sealed with this passphrase, of [`Secret::PASSPHRASE_MIN`] characters at least.
    Sealed(Secret),
    /// They are readable: for the appliance's own disk, and for nothing that leaves it.
    Plain,
}

impl Secret {
    /// Longest secret, in bytes; a private key is well below.
    pub const MAX: usize = 64 << 10;
    /// Shortest passphrase of an export, in characters.
    pub const PASSPHRASE_MIN: usize = 12;

    /// Keeps a text as a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let mode = SecretMode::Sealed(Secret::new("hunter2"));
        assert_eq!(format!("{mode:?}"), "Sealed(Secret(…))");
    }
}
