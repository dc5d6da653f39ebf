//! Who we are, proven by a key: a JWT in place of a secret (RFC 7523 §2.2), signed by PS256 (RFC 7518 §3.5).

use std::fmt;

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{KeyPair as _, RSA_PSS_SHA256},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use config_schema::{Guid, Identity};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use x509_parser::parse_x509_certificate;

/// How long an assertion is good for, in seconds.
const LIFE: u64 = 10 * 60;

/// A certificate and a key that cannot prove anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The certificate is not X.509.
    #[error("the application's certificate cannot be read")]
    Certificate,
    /// Entra ID takes RSA keys only.
    #[error("the application's key is not RSA of 2048 to 8192 bits, which Entra ID asks for")]
    NotRsa,
    /// The two do not belong together.
    #[error("the application's key does not fit its certificate")]
    Mismatch,
    /// The library gave no signature.
    #[error("the application's key gives no signature")]
    Unsigned,
}

/// A key that signs assertions.
pub struct Signer {
    key: KeyPair,
    /// `x5t#S256` (RFC 7515 §4.1.8).
    thumbprint: String,
    /// When the certificate ends, in Unix seconds.
    pub(super) ends: u64,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

impl Signer {
    /// Takes the first certificate of the chain and its key.
    ///
    /// # Errors
    /// When they cannot be read, are not RSA, or do not belong together.
    pub fn new(identity: &Identity) -> Result<Signer, KeyError> {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_str().as_bytes())
            .map_err(|_| KeyError::Certificate)?;
        let (_, parsed) = parse_x509_certificate(&certificate).map_err(|_| KeyError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes());
        let key = match key.map_err(|_| KeyError::NotRsa)? {
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(KeyError::NotRsa),
        };
        let key = key.map_err(|_| KeyError::NotRsa)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key().as_ref() {
            return Err(KeyError::Mismatch);
        }
        let digest = digest::digest(&digest::SHA256, &certificate);
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Signer { key, thumbprint: URL_SAFE_NO_PAD.encode(digest), ends })
    }

    /// An assertion of `client` for the token endpoint at `audience`. `id` is never used twice (RFC 7519 §4.1.7).
    pub(crate) fn sign(
        &self,
        client: Guid,
        audience: &str,
        unix: u64,
        id: [u8; 16],
    ) -> Result<String, KeyError> {
        let head = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let client = client.to_string();
        let claims = json!({
            "aud": audience,
            "iss": client,
            "sub": client,
            "jti": Guid::from_bytes(id).to_string(),
            "iat": unix,
            "nbf": unix,
            "exp": unix + LIFE,
        });
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(head), encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| KeyError::Unsigned)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
