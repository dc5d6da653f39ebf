//! TLS towards next hops: whoever it is, the host by name, or the host by DANE.

use std::sync::{Arc, OnceLock};

use config_schema::name::DomainName;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::SingleCertAndKey,
};

use super::{
    certificate::Certificate,
    dane::{Match, Records},
};

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
/// Certificates of a chain that are described to people.
const DESCRIBED_MAX: usize = 6;

/// What the peer's certificate has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Anything: encryption without knowing to whom.
    Nobody,
    /// A certificate of a trusted root for the host's name.
    Name,
    /// What the host's TLSA records name.
    Dane(Dane),
}

/// A check by TLSA records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dane {
    pub records: Records,
    /// Where the records name an anchor, the certificate must be for one of these (RFC 7672 §3.2.2); the server is
    /// asked for the first (§8.1).
    pub names: Vec<DomainName>,
}

/// The TLS settings of all connections to next hops.
#[derive(Debug, Clone)]
pub struct TlsClient {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    versions: &'static [&'static SupportedProtocolVersion],
    /// Shown to whoever asks for a certificate.
    shown: Option<Certificate>,
    /// Shared, so that sessions with hosts whom nobody checks are resumed.
    unchecked: Arc<ClientConfig>,
}

/// The settings of one connection, and after it failed, why.
#[derive(Debug, Clone)]
pub struct Handshake {
    pub config: Arc<ClientConfig>,
    why: Arc<OnceLock<String>>,
}

impl Handshake {
    /// Why the certificate was refused, with the chain, if that was it.
    pub fn refusal(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }
}

impl TlsClient {
    /// `roots` as [`super::roots::for_next_hops`] gives them; with `only_tls13`, TLS 1.2 is not spoken.
    pub fn new(roots: RootCertStore, only_tls13: bool) -> TlsClient {
        let versions = if only_tls13 { &BOTH[..1] } else { &BOTH };
        TlsClient::with(Arc::new(default_provider()), Arc::new(roots), versions, None)
    }

    /// The same, but `certificate` is shown to whoever asks for one. No session is shared with what shows another.
    #[must_use]
    pub fn showing(&self, certificate: &Certificate) -> TlsClient {
        TlsClient::with(self.provider.clone(), self.roots.clone(), self.versions, Some(certificate.clone()))
    }

    fn with(
        provider: Arc<CryptoProvider>,
        roots: Arc<RootCertStore>,
        versions: &'static [&'static SupportedProtocolVersion],
        shown: Option<Certificate>,
    ) -> TlsClient {
        let verifier = Verifier { provider: provider.clone(), rule: Rule::Nobody, why: Arc::default() };
        let unchecked = Arc::new(config(&provider, verifier, versions, shown.as_ref()));
        TlsClient { provider, roots, versions, shown, unchecked }
    }

    /// The settings for one connection.
    pub fn handshake(&self, check: &Check) -> Handshake {
        let why: Arc<OnceLock<String>> = Arc::default();
        let rule = match check {
            Check::Nobody => return Handshake { config: self.unchecked.clone(), why },
            Check::Name => {
                let builder =
                    WebPkiServerVerifier::builder_with_provider(self.roots.clone(), self.provider.clone());
                Rule::Name(builder.build().expect("there are roots, and no revocation lists"))
            }
            Check::Dane(dane) => Rule::Dane(dane.clone()),
        };
        let verifier = Verifier { provider: self.provider.clone(), rule, why: why.clone() };
        let mut config = config(&self.provider, verifier, self.versions, self.shown.as_ref());
        // A resumed session shows no certificate, and the records may have changed.
        config.resumption = Resumption::disabled();
        Handshake { config: Arc::new(config), why }
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    verifier: Verifier,
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<&Certificate>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("the provider knows both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match shown {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown.key()))),
        None => builder.with_no_client_auth(),
    }
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    rule: Rule,
    why: Arc<OnceLock<String>>,
}

#[derive(Debug)]
enum Rule {
    Nobody,
    Name(Arc<WebPkiServerVerifier>),
    Dane(Dane),
}

impl Verifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        match &self.rule {
            Rule::Nobody => Ok(()),
            Rule::Name(verifier) => verifier.verify_server_cert(leaf, others, name, &[], now).map(drop),
            Rule::Dane(dane) => match dane.records.find(leaf, others) {
                Match::EndEntity => Ok(()),
                Match::Anchors(anchors) => self.leads_to(&anchors, leaf, others, &dane.names, now),
                Match::Nothing => Err(Error::General("no TLSA record names this certificate".into())),
            },
        }
    }

    /// RFC 7672 §3.1.2: the chain leads to one of `anchors`, and the certificate is for one of the names.
    fn leads_to(
        &self,
        anchors: &[CertificateDer<'static>],
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        names: &[DomainName],
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(anchors.iter().cloned());
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, others, now, algorithms)?;
        let mut verdict = Err(Error::General("no name to compare the certificate with".into()));
        for name in names {
            let name =
                ServerName::try_from(name.as_str()).map_err(|error| Error::General(error.to_string()))?;
            verdict = verify_server_name(&parsed, &name);
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, server_name, now).map_err(|error| {
            let chain = describe(end_entity, intermediates);
            self.why.get_or_init(|| format!("{error}; the server showed {chain}"));
            error
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The chain for people: each subject, and the issuer of the last.
fn describe(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> String {
    let mut parts = Vec::new();
    let mut issuer = None;
    for certificate in std::iter::once(leaf).chain(others).take(DESCRIBED_MAX) {
        match x509_parser::parse_x509_certificate(certificate) {
            Ok((_, parsed)) => {
                parts.push(format!("\"{}\"", parsed.subject()));
                issuer = Some(parsed.issuer().to_string());
            }
            Err(_) => parts.push("an unreadable certificate".into()),
        }
    }
    match issuer {
        Some(issuer) => format!("{} from \"{issuer}\"", parts.join(" ← ")),
        None => parts.join(" ← "),
    }
}

#[cfg(test)]
mod tests;
