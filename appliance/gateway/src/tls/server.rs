//! TLS as a server: one configuration for all sessions, changed as a whole.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, NamedGroup, ServerConfig, ServerConnection, SignatureScheme,
};
use sha2::{Digest, Sha256};
use smtp::Time;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::identity::{Identity, IdentityError};

/// How handshakes are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSettings {
    /// A handshake that takes longer is ended.
    pub handshake_time: Duration,
    /// Handshakes begun in a second, in all: each costs a signature.
    pub handshakes_per_second: u32,
    /// TLS 1.2 (RFC 5246) is not spoken.
    pub only_tls13: bool,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings { handshake_time: Duration::from_secs(30), handshakes_per_second: 200, only_tls13: false }
    }
}

/// What was negotiated, as it is shown in `Received` and in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// IANA's name, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// SHA-256 of the client's certificate, in lower-case hexadecimal, if it sent one.
    pub client_certificate: Option<String>,
}

/// What sessions take TLS from. Cheap to clone; a new certificate holds from the next handshake on.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shown: RwLock<(Arc<ServerConfig>, TlsSettings)>,
    turns: Mutex<Turns>,
}

/// How long a handshake waits for its turn. A sender that is turned away would send without TLS instead.
const TURN_MAX: Duration = Duration::from_secs(10);

/// Whose turn it is.
#[derive(Debug, Default)]
struct Turns {
    /// When all handshakes before have had theirs, at the granted rate.
    done: Time,
}

/// What takes one handshake.
pub struct Handshake {
    acceptor: TlsAcceptor,
    /// Until it is its turn.
    turn: Duration,
    time: Duration,
}

impl ServerTls {
    /// TLS that shows `identity`, with the usual settings.
    pub fn new(identity: Identity) -> Result<ServerTls, IdentityError> {
        let settings = TlsSettings::default();
        let shown = RwLock::new((Arc::new(config(identity, &settings)?), settings));
        Ok(ServerTls(Arc::new(Shared { shown, turns: Mutex::default() })))
    }

    /// Shows `identity` from the next handshake on; on an error everything stays as it was.
    pub fn show(&self, identity: Identity, settings: TlsSettings) -> Result<(), IdentityError> {
        let new = Arc::new(config(identity, &settings)?);
        *self.0.shown.write().unwrap_or_else(PoisonError::into_inner) = (new, settings);
        Ok(())
    }

    /// What takes one handshake when its turn has come, or `None` when too many wait for theirs.
    pub fn handshake(&self, now: Time) -> Option<Handshake> {
        let (config, settings) = self.0.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.take(now, settings.handshakes_per_second)?;
        Some(Handshake { acceptor: TlsAcceptor::from(config), turn, time: settings.handshake_time })
    }
}

impl Handshake {
    /// Does the handshake on `stream`, which is gone if it fails.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: S,
    ) -> io::Result<(TlsStream<S>, TlsFacts)> {
        if !self.turn.is_zero() {
            sleep(self.turn).await;
        }
        let done = timeout(self.time, self.acceptor.accept(stream)).await;
        let stream =
            done.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))??;
        let facts = facts(stream.get_ref().1);
        Ok((stream, facts))
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshake({:?})", self.time)
    }
}

impl Turns {
    /// How long the next handshake waits: a second's worth may begin at once, the rest at that rate, in their order.
    /// `None` if it were longer than [`TURN_MAX`].
    fn take(&mut self, now: Time, per_second: u32) -> Option<Duration> {
        let each = Duration::from_secs(1) / per_second.max(1);
        let done = self.done.max(now) + each;
        let turn = done.since(now).saturating_sub(Duration::from_secs(1));
        if turn > TURN_MAX {
            return None;
        }
        self.done = done;
        Some(turn)
    }
}

/// What was negotiated on `connection`.
fn facts(connection: &ServerConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    // rustls writes TLS13_…, IANA's registry TLS_….
    let cipher = suite.unwrap_or("unknown").replacen("TLS13_", "TLS_", 1);
    let client_certificate = connection.peer_certificates().and_then(<[_]>::first).map(fingerprint);
    TlsFacts { version, cipher, client_certificate }
}

/// SHA-256 of a certificate in lower-case hexadecimal.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().fold(String::with_capacity(64), |mut text, octet| {
        write!(text, "{octet:02x}").expect("a String takes every write");
        text
    })
}

fn config(identity: Identity, settings: &TlsSettings) -> Result<ServerConfig, IdentityError> {
    let provider = Arc::new(provider());
    let versions: &[_] = match settings.only_tls13 {
        true => &[&rustls::version::TLS13],
        false => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let verifier = Arc::new(AnyClient(provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)?;
    config.ignore_client_order = true;
    // Tickets are kept by the client and sealed by keys that change: a resumption costs us no memory.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Hybrid post-quantum exchange first; then what every client has.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    const WANTED: [NamedGroup; 4] =
        [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
    provider.kx_groups = WANTED
        .iter()
        .filter_map(|name| aws_lc_rs::ALL_KX_GROUPS.iter().find(|group| group.name() == *name))
        .copied()
        .collect();
    provider
}

/// Asks for a certificate and takes any, or none: the session goes on either way, and what a certificate allows
/// is decided where known networks are looked up. The signature is checked, so that it is the client's own.
#[derive(Debug)]
struct AnyClient(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyClient {
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
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_post_quantum_group_comes_first() {
        let groups: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups.first(), Some(&NamedGroup::X25519MLKEM768));
        assert_eq!(groups.len(), 4);
    }

    #[test]
    fn handshakes_wait_for_their_turn() {
        let at = |millis| Time::from_start(Duration::from_millis(millis));
        let mut turns = Turns::default();
        let mut take = |millis| turns.take(at(millis), 50);
        assert!((0..50).all(|_| take(1_000) == Some(Duration::ZERO)));
        assert_eq!(take(1_000), Some(Duration::from_millis(20)));
        assert_eq!(take(1_000), Some(Duration::from_millis(40)));
        assert_eq!(take(1_040), Some(Duration::from_millis(20)));
        let waiting = (0..2_000).map_while(|_| take(1_040)).count();
        assert_eq!(waiting, 500 - 1, "ten seconds' worth");
        assert_eq!(take(60_000), Some(Duration::ZERO));
    }
}
