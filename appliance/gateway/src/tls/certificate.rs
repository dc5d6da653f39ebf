//! A certificate of the configuration, understood: whether it can be used, and until when.

use std::sync::Arc;

use rustls::{crypto::aws_lc_rs::default_provider, sign::CertifiedKey};
use store::Timestamp;

use super::identity::{Identity, IdentityError};

/// A chain with its key, and the time at which its leaf ends.
#[derive(Debug, Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    expires: Timestamp,
}

impl Certificate {
    /// Reads what the configuration has.
    ///
    /// # Errors
    /// It is no chain of certificates, no key that we know, or the key is another's.
    pub fn read(configured: &config_schema::tls::Identity) -> Result<Certificate, IdentityError> {
        let identity = Identity::from_pem(configured.certificate.as_str(), configured.key.expose())?;
        let expires = expires(&identity)?;
        let key = CertifiedKey::from_der(identity.chain, identity.key, &default_provider())?;
        Ok(Certificate { key: Arc::new(key), expires })
    }

    /// The first moment at which it is no longer good.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The chain with its key, for the handshake.
    pub fn key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

fn expires(identity: &Identity) -> Result<Timestamp, IdentityError> {
    let leaf = identity.chain.first().ok_or(IdentityError::NoCertificate)?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|_| IdentityError::NotX509)?;
    // RFC 5280 §4.1.2.5: good until and with the last second. One before 1970 has ended.
    let last = u64::try_from(leaf.validity.not_after.timestamp()).unwrap_or(0);
    Ok(Timestamp::from_unix_seconds(last.saturating_add(1)))
}

#[cfg(test)]
pub(crate) mod tests {
    use config_schema::{secret::Secret, tls::Pem};
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate for `name` that ends with the year, as the configuration has it.
    pub(crate) fn configured(name: &str, year: i32) -> config_schema::tls::Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.self_signed(&key).unwrap();
        config_schema::tls::Identity {
            certificate: Pem::certificates(&certificate.pem()).unwrap(),
            key: Secret::new(key.serialize_pem()),
        }
    }

    #[test]
    fn it_tells_when_it_ends() {
        let read = Certificate::read(&configured("mx.example.com", 2030)).unwrap();
        assert_eq!(read.expires().unix_seconds(), 1_924_905_601);
        let read = Certificate::read(&configured("mx.example.com", 1969)).unwrap();
        assert_eq!(read.expires().unix_seconds(), 1);
    }

    #[test]
    fn another_ones_key_is_refused() {
        let mut mixed = configured("mx.example.com", 2030);
        mixed.key = configured("mx.example.com", 2030).key;
        assert!(matches!(Certificate::read(&mixed), Err(IdentityError::Unusable(_))));
        mixed.certificate =
            Pem::certificates("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(Certificate::read(&mixed), Err(IdentityError::NotX509)));
    }
}
