//! The HTTPS client against servers that keep no rule.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config_schema::Config;
use directory::http::{Failure, Request};
use gateway::directory::http::Client;
use gateway::dns::{Resolver, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::loopback::Loopback;

const HOST: &str = "web.test";

/// A server that answers each request by the next of its texts; after an empty one it closes.
struct Server {
    address: SocketAddr,
    root: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answers: Vec<Vec<u8>>) -> Server {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([HOST.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), answers, connections.clone()));
        Server { address, root: STANDARD.encode(authority.der()), connections }
    }

    fn client(&self) -> Client {
        let text = format!(
            "version = 1\nnetwork = {{ hostname = \"mx.example.com\", address = \"dhcp\" }}\n\
             [tls]\nroots = [\"-----BEGIN CERTIFICATE-----\\n{}\\n-----END CERTIFICATE-----\"]\n",
            self.root
        );
        let transport = Arc::new(Loopback);
        let servers = Settings { servers: vec!["127.0.0.1:53".parse().unwrap()], ..Settings::default() };
        let resolver = Resolver::new(transport.clone(), servers);
        Client::new(transport, resolver, &Config::parse("f", &text).unwrap())
    }

    fn request(&self) -> Request {
        Request {
            host: format!("{HOST}:{}", self.address.port()).parse().unwrap(),
            target: "/a?b=c".into(),
            bearer: None,
            headers: Vec::new(),
            body: None,
            answer_max: 1_000,
        }
    }
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    answers: Vec<Vec<u8>>,
    connections: Arc<AtomicUsize>,
) {
    let mut answers = answers.into_iter();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        let mut stream = tls.accept(stream).await.unwrap();
        let mut request = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(count) => request.extend_from_slice(&bytes[..count]),
            }
            if !request.ends_with(b"\r\n\r\n") {
                continue;
            }
            request.clear();
            let Some(answer) = answers.next().filter(|answer| !answer.is_empty()) else { break };
            // A client that has had enough is gone.
            if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn a_connection_serves_several_questions_and_is_replaced_when_it_is_gone() {
    let ok = text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok");
    let server = Server::start(vec![ok.clone(), ok.clone(), Vec::new(), ok]).await;
    let mut client = server.client();
    for connections in [1, 1, 2] {
        let response = client.ask(&server.request()).await.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, b"ok".as_slice()));
        assert_eq!(response.retry_after.as_deref(), Some("7"));
        assert_eq!(server.connections.load(Ordering::SeqCst), connections);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_others() {
    let away = "HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(vec![text(away)]).await;
    assert_eq!(server.client().ask(&server.request()).await.unwrap().status, 302);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_too_long_or_no_answer_is_told_apart() {
    let announced = text("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
    let mut chunks = text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..11 {
        chunks.extend(format!("64\r\n{}\r\n", "x".repeat(100)).bytes());
    }
    let fields = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-Y: z\r\n".repeat(200));
    for (answer, too_long) in [
        (announced, true),
        (chunks, true),
        (fields.into_bytes(), false),
        (text("SSH-2.0-OpenSSH\r\n\r\n"), false),
    ] {
        let begins = String::from_utf8_lossy(&answer[..40.min(answer.len())]).into_owned();
        let server = Server::start(vec![answer]).await;
        let failure = server.client().ask(&server.request()).await.unwrap_err();
        let expected = match failure {
            Failure::TooLong(most) => too_long && most == 1_000,
            Failure::Broken(_) => !too_long,
            _ => false,
        };
        assert!(expected, "{begins:?}: {failure:?}");
    }
    let server = Server::start(vec![Vec::new(), Vec::new()]).await;
    assert!(matches!(server.client().ask(&server.request()).await, Err(Failure::Broken(_))));
}

/// The section's limit holds for one field as for many, and whether the body has an end or not.
#[tokio::test]
async fn a_field_that_is_too_long_breaks_the_answer_off() {
    for (long, end) in
        [(65_536, "Content-Length: 0\r\n"), (100_000, ""), (1_000_000, "Content-Length: 0\r\n")]
    {
        let answer = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n{end}\r\n", "x".repeat(long));
        let server = Server::start(vec![answer.into_bytes()]).await;
        let failure = server.client().ask(&server.request()).await.unwrap_err();
        assert!(matches!(failure, Failure::Broken(_)), "{long}: {failure:?}");
    }
    let answer = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(60_000));
    let server = Server::start(vec![answer.into_bytes()]).await;
    assert_eq!(server.client().ask(&server.request()).await.unwrap().status, 200);
}

#[tokio::test]
async fn nobody_there_is_told_with_the_host() {
    let server = Server::start(Vec::new()).await;
    let mut request = server.request();
    request.host = "web.test:1".parse().unwrap();
    let failure = server.client().ask(&request).await.unwrap_err();
    assert!(failure.to_string().starts_with("web.test:1 cannot be reached: 127.0.0.1:1: "), "{failure}");
}
