//! The certificate that we show: from the configuration, or made here and kept in the store.

use std::time::Duration;

use config_schema::name::DomainName;
use jiff::tz::TimeZone;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use store::Timestamp;

/// Days that a certificate of our own is good for: checkers frown at more than 366.
const DAYS_VALID: i64 = 365;
/// A certificate of our own is made anew when it has less than this left.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// RFC 5280 §4.1.2.2 allows 20 octets.
const SERIAL_OCTETS: usize = 16;
/// Longest chain accepted from the configuration.
pub const CHAIN_MAX: usize = 10;

/// A private key and the chain that speaks for it, the leaf first.
#[derive(Debug)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// A self-signed certificate as it is kept. The key outlives its certificates, so that a pinned key stays good.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfSigned {
    key: Vec<u8>,
    certificate: Vec<u8>,
    host_name: DomainName,
    expires: Timestamp,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    #[error("the certificate is not PEM: {0}")]
    CertificatePem(rustls::pki_types::pem::Error),
    #[error("the private key is not PEM: {0}")]
    KeyPem(rustls::pki_types::pem::Error),
    #[error("there is no certificate in the text")]
    NoCertificate,
    #[error("the first certificate is not X.509")]
    NotX509,
    #[error("more than {CHAIN_MAX} certificates")]
    ChainTooLong,
    #[error("the certificate or key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("no certificate could be made: {0}")]
    Making(#[from] rcgen::Error),
    #[error("no random numbers")]
    Random,
    #[error("the clock shows a time beyond what a certificate can hold")]
    Time,
    #[error("what is kept of our own certificate cannot be read")]
    Damaged,
}

impl Identity {
    /// Reads a chain and a key (PKCS #8, PKCS #1 or SEC 1) from PEM.
    pub fn from_pem(chain: &str, key: &str) -> Result<Identity, IdentityError> {
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(chain.as_bytes()) {
            if certificates.len() == CHAIN_MAX {
                return Err(IdentityError::ChainTooLong);
            }
            certificates.push(certificate.map_err(IdentityError::CertificatePem)?);
        }
        if certificates.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(IdentityError::KeyPem)?;
        Ok(Identity { chain: certificates, key })
    }
}

impl SelfSigned {
    /// A new key and its first certificate.
    pub fn make(host_name: &DomainName, now: Timestamp) -> Result<SelfSigned, IdentityError> {
        SelfSigned::sign(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, host_name, now)
    }

    /// A new certificate for the same key, if the name has changed or the time is near; `None` if this one is good.
    pub fn renewed(
        &self,
        host_name: &DomainName,
        now: Timestamp,
    ) -> Result<Option<SelfSigned>, IdentityError> {
        if self.host_name == *host_name && now.after(RENEWED_BEFORE) < self.expires {
            return Ok(None);
        }
        let key = KeyPair::try_from(self.key.as_slice())?;
        SelfSigned::sign(&key, host_name, now).map(Some)
    }

    fn sign(key: &KeyPair, host_name: &DomainName, now: Timestamp) -> Result<SelfSigned, IdentityError> {
        let mut params = CertificateParams::new(vec![host_name.as_str().to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        // RFC 5280 upper bound of a common name: 64.
        if host_name.as_str().len() <= 64 {
            params.distinguished_name.push(DnType::CommonName, host_name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.serial_number = Some(serial()?);
        // From yesterday: a peer whose clock is slow shall take it too.
        let (from, until) = (day(now, -1)?, day(now, DAYS_VALID - 1)?);
        let date = |d: jiff::civil::Date| {
            // Both fit: a civil date has a month of 1 to 12 and a day of 1 to 31.
            rcgen::date_time_ymd(i32::from(d.year()), d.month().unsigned_abs(), d.day().unsigned_abs())
        };
        (params.not_before, params.not_after) = (date(from), date(until));
        let certificate = params.self_signed(key)?;
        let expires =
            until.to_zoned_datetime(TimeZone::UTC).map_err(|_| IdentityError::Time)?.timestamp().as_second();
        Ok(SelfSigned {
            key: key.serialize_der(),
            certificate: certificate.der().to_vec(),
            host_name: host_name.clone(),
            expires: Timestamp::from_unix_seconds(u64::try_from(expires).map_err(|_| IdentityError::Time)?),
        })
    }

    pub fn identity(&self) -> Identity {
        Identity {
            chain: vec![CertificateDer::from(self.certificate.clone())],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone())),
        }
    }

    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// As it is kept in the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain values of bounded size always encode")
    }

    /// What [`to_bytes`](Self::to_bytes) gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<SelfSigned, IdentityError> {
        postcard::from_bytes(bytes).map_err(|_| IdentityError::Damaged)
    }
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SelfSigned({}, expires {:?})", self.host_name, self.expires)
    }
}

fn serial() -> Result<SerialNumber, IdentityError> {
    let mut octets = [0; SERIAL_OCTETS];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| IdentityError::Random)?;
    // RFC 5280 §4.1.2.2: positive, and not zero.
    octets[0] = octets[0] & 0x7F | 0x40;
    Ok(SerialNumber::from_slice(&octets))
}

fn day(now: Timestamp, days: i64) -> Result<jiff::civil::Date, IdentityError> {
    let seconds = i64::try_from(now.unix_seconds()).map_err(|_| IdentityError::Time)?;
    let at = jiff::Timestamp::from_second(seconds + days * 86_400).map_err(|_| IdentityError::Time)?;
    Ok(at.to_zoned_datetime(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_478_653);
    const DAY: Duration = Duration::from_secs(86_400);

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn a_certificate_of_our_own_names_us_and_lasts_a_year() {
        let own = SelfSigned::make(&name("mx.example.com"), NOW).unwrap();
        let identity = own.identity();
        let (_, parsed) = x509_parser::parse_x509_certificate(&identity.chain[0]).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        let seconds = i64::try_from(NOW.unix_seconds()).unwrap();
        assert!(parsed.validity.not_before.timestamp() < seconds);
        let days = (parsed.validity.not_after.timestamp() - parsed.validity.not_before.timestamp()) / 86_400;
        assert_eq!(days, DAYS_VALID);
        assert_eq!(own.expires().unix_seconds(), parsed.validity.not_after.timestamp().unsigned_abs());
    }

    #[test]
    fn it_is_kept_and_renewed_with_the_same_key() {
        let own = SelfSigned::make(&name("mx.example.com"), NOW).unwrap();
        let own = SelfSigned::from_bytes(&own.to_bytes()).unwrap();
        assert_eq!(own.renewed(&name("mx.example.com"), NOW.after(300 * DAY)).unwrap(), None);
        let late = own.renewed(&name("mx.example.com"), NOW.after(370 * DAY)).unwrap().unwrap();
        assert_eq!(late.key, own.key);
        assert!(late.expires() > own.expires());
        let renamed = own.renewed(&name("mx2.example.com"), NOW).unwrap().unwrap();
        assert_eq!(renamed.key, own.key);
        assert_ne!(renamed.certificate, own.certificate);
        assert!(SelfSigned::from_bytes(b"\xff\xff\xff").is_err());
    }

    #[test]
    fn the_key_is_never_printed() {
        let own = SelfSigned::make(&name("mx.example.com"), NOW).unwrap();
        assert!(format!("{own:?}").len() < 100);
    }

    #[test]
    fn pem_is_read_or_refused_with_its_reason() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = CertificateParams::new(vec!["mx.example.com".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .pem();
        assert_eq!(Identity::from_pem(&certificate, &key.serialize_pem()).unwrap().chain.len(), 1);
        let refused = |chain: &str, key: &str| Identity::from_pem(chain, key).unwrap_err();
        assert!(matches!(refused("", &key.serialize_pem()), IdentityError::NoCertificate));
        assert!(matches!(refused(&certificate, "no key"), IdentityError::KeyPem(_)));
        assert!(matches!(refused(&certificate.repeat(CHAIN_MAX + 1), ""), IdentityError::ChainTooLong));
        let broken = certificate.replace("-----END", "-----END!");
        assert!(matches!(
            refused(&broken, ""),
            IdentityError::CertificatePem(_) | IdentityError::NoCertificate
        ));
    }
}
