//! STARTTLS through the whole listener.

use std::sync::Arc;

use config_schema::name::DomainName;
use gateway::tls::identity::SelfSigned;
use gateway::tls::server::TlsSettings;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::io::DuplexStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{CONFIG, Client, NOW, World, field, id_in};

/// Takes any certificate: the tests look at what was shown.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client_config(version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth()
}

async fn secured(world: &World, config: ClientConfig) -> Client<TlsStream<DuplexStream>> {
    let mut client = world.connect_from("198.51.100.1").greeted().await;
    client.expect("STARTTLS", "220 2.0.0").await;
    let name = ServerName::try_from("mx.example.com").unwrap();
    Client::over(TlsConnector::from(Arc::new(config)).connect(name, client.stream).await.unwrap())
}

#[tokio::test]
async fn mail_comes_inside_tls_and_the_trace_says_so() {
    for (version, named) in [(&rustls::version::TLS13, "TLSv1.3"), (&rustls::version::TLS12, "TLSv1.2")] {
        let world = World::new();
        let mut client = secured(&world, client_config(version)).await;
        // RFC 3207 §4.2: the EHLO before it is forgotten, and STARTTLS is not offered again.
        client.expect("MAIL FROM:<>", "503").await;
        let ehlo = client.expect("EHLO again.example.org", "250-").await;
        assert!(!ehlo.contains("STARTTLS"), "{ehlo}");
        let id = id_in(&client.mail("Subject: sealed\r\n\r\n").await);
        let body = String::from_utf8(world.body(id)).unwrap();
        assert!(body.starts_with("Received: from again.example.org ([198.51.100.1])"), "{body}");
        assert!(body.contains(&format!("with ESMTPS ({named} TLS_")), "{body}");
        let event = world.event("smtp.tls").await;
        assert_eq!(field(&event, "version"), named);
        client.expect("QUIT", "221").await;
        assert_eq!(client.rest().await, "", "a clean end of TLS");
    }
}

#[tokio::test]
async fn the_post_quantum_group_is_chosen_when_the_client_has_it() {
    let world = World::new();
    let client = secured(&world, client_config(&rustls::version::TLS13)).await;
    let group = client.stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_remembered() {
    let world = World::new();
    let identity =
        SelfSigned::make(&DomainName::parse("client.example.org").unwrap(), NOW).unwrap().identity();
    let PrivateKeyDer::Pkcs8(key) = identity.key else { panic!("not PKCS #8") };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_auth_cert(
            identity.chain,
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.secret_pkcs8_der().to_vec())),
        )
        .unwrap();
    let mut client = secured(&world, config).await;
    client.expect("EHLO client.example.org", "250").await;
    assert_eq!(field(&world.event("smtp.tls").await, "client-certificate").len(), 64);
}

#[tokio::test]
async fn a_new_certificate_is_shown_from_the_next_handshake_on() {
    let world = World::new();
    let shown = |client: &Client<TlsStream<DuplexStream>>| {
        client.stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let mut before = secured(&world, client_config(&rustls::version::TLS13)).await;
    let new = SelfSigned::make(&DomainName::parse("mx.example.com").unwrap(), NOW).unwrap().identity();
    let expected = new.chain[0].clone();
    world.tls.show(new, TlsSettings { only_tls13: true, ..TlsSettings::default() }).unwrap();
    let after = secured(&world, client_config(&rustls::version::TLS13)).await;
    assert_eq!(shown(&after), expected);
    assert_ne!(shown(&before), expected);
    before.expect("EHLO still.example.org", "250").await;
}

#[tokio::test]
async fn handshakes_beyond_the_limit_wait_for_their_turn_and_are_not_too_many() {
    let world = World::new();
    let slow = TlsSettings { handshakes_per_second: 1, ..TlsSettings::default() };
    let own = SelfSigned::make(&DomainName::parse("mx.example.com").unwrap(), NOW).unwrap();
    world.tls.show(own.identity(), slow).unwrap();
    tokio::time::pause();
    // One begins at once, ten wait for their turn, the rest is turned away.
    let mut clients = Vec::new();
    for n in 0..20 {
        let mut client = world.connect_from(&format!("198.51.100.{n}")).greeted().await;
        client.expect("STARTTLS", "220").await;
        clients.push(client);
    }
    tokio::time::resume();
    let mut refused = 0;
    while refused == 0 {
        for event in world.events("smtp.tls-failed").await {
            refused += usize::from(field(&event, "why") == "too many handshakes in a second");
        }
    }
    assert!(refused == 9, "{refused}");
}

#[tokio::test]
async fn the_certificate_of_the_configuration_is_shown_and_a_bad_one_is_not() {
    let world = World::new();
    tokio::spawn(gateway::tls::follow(world.appliance.clone(), world.tls.clone()));
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let tls = |key: &rcgen::KeyPair| {
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        format!("{CONFIG}\n[tls]\ncertificate = \"\"\"\n{certificate}\"\"\"\nkey = \"\"\"\n{key}\"\"\"\n")
    };
    // A key that does not fit: an event, and our own certificate stays.
    world.reconfigure(&tls(&other));
    world.event("tls.certificate-unusable").await;
    let client = secured(&world, client_config(&rustls::version::TLS13)).await;
    assert_ne!(client.stream.get_ref().1.peer_certificates().unwrap()[0], *certificate.der());
    drop(client);

    world.reconfigure(&tls(&key));
    let shown = async {
        loop {
            let client = secured(&world, client_config(&rustls::version::TLS13)).await;
            if client.stream.get_ref().1.peer_certificates().unwrap()[0] == *certificate.der() {
                return;
            }
            drop(client);
            world.emptied().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), shown).await.unwrap();
}
