//! Certificates and keys in PEM (RFC 7468).

use base64::{Engine, engine::general_purpose::STANDARD};

/// One or more certificates in PEM. That they are X.509 is checked by whoever uses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pem(String);

/// Why a text is no PEM of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// No block begins in it.
    #[error("no `-----BEGIN` line is in it")]
    None,
    /// A block begins and does not end.
    #[error("block {0} has no `-----END` line that fits its `-----BEGIN` line")]
    End(usize),
    /// What stands between is no Base64 of DER.
    #[error("block {0} holds no Base64 of DER")]
    Base64(usize),
    /// A block of another kind.
    #[error("block {0} is of another kind")]
    Label(usize),
    /// No key, or several.
    #[error("not exactly one key is in it")]
    Keys,
    /// More text than is read.
    #[error("it is longer than {} bytes", Pem::MAX)]
    TooLong,
}

impl Pem {
    /// Largest text, in bytes: a long chain with RSA keys of 8,192 bits has a quarter of it.
    pub const MAX: usize = 128 << 10;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads certificates.
    pub fn certificates(text: &str) -> Result<Self, PemError> {
        check(text, |label| label == "CERTIFICATE")?;
        Ok(Self(text.trim().to_owned() + "\n"))
    }

    /// What stands for a seal that nobody opened.
    pub(super) fn unopened() -> Self {
        Self(String::new())
    }
}

/// Whether the text is one or more blocks, each with a label that is allowed.
fn check(text: &str, allowed: impl Fn(&str) -> bool) -> Result<usize, PemError> {
    if text.len() > Pem::MAX {
        return Err(PemError::TooLong);
    }
    let mut blocks = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = line.trim().strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----"))
        else {
            continue;
        };
        blocks += 1;
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        loop {
            let line = lines.next().ok_or(PemError::End(blocks))?.trim();
            if line == end {
                break;
            }
            if line.starts_with("-----") {
                return Err(PemError::End(blocks));
            }
            body.push_str(line);
        }
        if !allowed(label) {
            return Err(PemError::Label(blocks));
        }
        let der = STANDARD.decode(&body).map_err(|_| PemError::Base64(blocks))?;
        // DER of a certificate or a key is a SEQUENCE (X.690 §8.9); the parameters of a curve are not.
        if label != PARAMETERS && der.first() != Some(&0x30) {
            return Err(PemError::Base64(blocks));
        }
    }
    if blocks == 0 { Err(PemError::None) } else { Ok(blocks) }
}

/// Tools write these in front of an EC key (RFC 5915 §4).
const PARAMETERS: &str = "EC PARAMETERS";

/// Whether the text is one private key.
pub(super) fn check_key(text: &str) -> Result<(), PemError> {
    let labels = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", PARAMETERS];
    let blocks = check(text, |label| labels.contains(&label))?;
    let parameters = usize::from(text.contains("-----BEGIN EC PARAMETERS"));
    if blocks - parameters == 1 { Ok(()) } else { Err(PemError::Keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_checked_one_by_one() {
        let block =
            |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let good = block("CERTIFICATE", "MAA=");
        assert!(Pem::certificates(&format!("subject=CN\n{good}{good}")).is_ok());
        for (text, why) in [
            (String::new(), PemError::None),
            (format!("{good}{}", block("CERTIFICATE", "M*A=")), PemError::Base64(2)),
            (block("CERTIFICATE", ""), PemError::Base64(1)),
            (block("PRIVATE KEY", "MAA="), PemError::Label(1)),
            ("-----BEGIN CERTIFICATE-----\nMAA=\n".to_owned(), PemError::End(1)),
            (good.replace("END CERT", "END X"), PemError::End(1)),
            ("x".repeat(Pem::MAX + 1), PemError::TooLong),
        ] {
            assert_eq!(Pem::certificates(&text), Err(why), "{text:.60}");
        }
        let key = block("EC PRIVATE KEY", "MAA=");
        assert_eq!(check_key(&format!("{}{key}", block("EC PARAMETERS", "BgU="))), Ok(()));
        assert_eq!(check_key(&format!("{key}{key}")), Err(PemError::Keys));
        assert_eq!(check_key(&block("EC PARAMETERS", "BgU=")), Err(PemError::Keys));
    }
}
