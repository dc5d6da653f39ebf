//! What an idle SMTP connection costs the whole appliance, with and without TLS.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::{Map, Value, json};

use crate::{
    configuration,
    lab::{GUEST, Lab},
    processes::{self, resident},
};

const SESSIONS: usize = 10_000;
/// Sessions that are open before it is measured: what the first ones touch is not theirs.
const FIRST: usize = 100;

pub(crate) fn run() -> Value {
    let mut figures = Map::new();
    println!("{SESSIONS} idle connections, net and gateway together; target: 64 kB each");
    for (name, secure) in [("plain", false), ("tls", true)] {
        let lab = Lab::new();
        let appliance = lab.start(&configuration());
        let roles = processes::below(appliance.child.id());
        let alone = resident(&roles);
        let mut clients = Clients::default();
        clients.open(&lab, FIRST, secure);
        let before: Vec<u64> = roles.iter().map(|role| resident(&[*role])).collect();
        clients.open(&lab, SESSIONS, secure);
        let grown = roles.iter().zip(before).map(|(role, before)| resident(&[*role]).saturating_sub(before));
        let each: Vec<u64> = grown.map(|bytes| bytes / (SESSIONS - FIRST) as u64).collect();
        let whole: u64 = each.iter().sum();
        println!("{name:5} {whole:6} bytes each (by process: {each:?}); {} MB before any", alone / 1_000_000);
        figures.insert(
            name.to_owned(),
            json!({ "bytes_each": whole, "by_process": each, "bytes_before": alone }),
        );
    }
    Value::Object(figures)
}

/// Clients that have said EHLO and wait.
#[derive(Debug, Default)]
pub(crate) struct Clients(Vec<TcpStream>);

impl Clients {
    /// Opens more until there are `count`.
    pub(crate) fn open(&mut self, lab: &Lab, count: usize, secure: bool) {
        let missing = count.saturating_sub(self.0.len());
        let config = Arc::new(trusting_anyone());
        self.0.extend(lab.inside(move || (0..missing).map(|_| client(secure, &config)).collect::<Vec<_>>()));
    }
}

fn client(secure: bool, config: &Arc<ClientConfig>) -> TcpStream {
    let mut stream = TcpStream::connect((GUEST, 25)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    expect(&mut replies, "220");
    stream.write_all(b"EHLO client.example.net\r\n").unwrap();
    expect(&mut replies, "250");
    if secure {
        stream.write_all(b"STARTTLS\r\n").unwrap();
        expect(&mut replies, "220");
        let name = ServerName::try_from("mx.example.com").unwrap();
        let mut tls = ClientConnection::new(config.clone(), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        // The client's own state is not what is measured: only its connection is kept.
        let mut secured = rustls::Stream::new(&mut tls, &mut stream);
        secured.write_all(b"EHLO client.example.net\r\n").unwrap();
        expect(&mut BufReader::new(secured), "250");
    }
    stream
}

/// Reads a whole reply.
fn expect(replies: &mut impl BufRead, code: &str) {
    loop {
        let mut line = String::new();
        replies.read_line(&mut line).unwrap();
        assert!(line.starts_with(code), "expected {code}, got {line:?}");
        if line.as_bytes().get(3) == Some(&b' ') {
            return;
        }
    }
}

fn trusting_anyone() -> ClientConfig {
    let versions = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    versions.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth()
}

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
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
