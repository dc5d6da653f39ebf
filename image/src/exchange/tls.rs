//! TLS as Exchange Online offers it: a client certificate is asked for and none is required.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

/// A configuration with a certificate made for this run, and that certificate.
pub(super) fn config()
-> Result<(Arc<ServerConfig>, CertificateDer<'static>), Box<dyn std::error::Error + Send + Sync>> {
    let provider = crypto::aws_lc_rs::default_provider();
    let made = rcgen::generate_simple_self_signed([super::session::HOST.to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let any = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let config = ServerConfig::builder_with_provider(Arc::new(CryptoProvider { ..provider }))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(any)
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((Arc::new(config), made.cert.into()))
}

/// What a client's certificate says; of none, nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Whom it is for: its DNS names, or else its subject's common name; in lower case.
    pub names: Vec<String>,
    /// Whether a client may use it (RFC 5280 §4.2.1.12).
    pub meant_for_clients: bool,
}

impl Shown {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Shown {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
            return Shown::default();
        };
        let usage = parsed.extended_key_usage().ok().flatten();
        let meant_for_clients = usage.is_none_or(|usage| usage.value.client_auth || usage.value.any);
        Shown { names: names(&parsed), meant_for_clients }
    }
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let dns: Vec<String> = alternative
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if !dns.is_empty() {
        return dns;
    }
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.map(str::to_ascii_lowercase).collect()
}

/// Takes every certificate whose key the client has. Which connector it matches is not this check's affair.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
