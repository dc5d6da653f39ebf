use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn tenant() -> Tenant {
    Tenant { domains: vec!["example.com".into()], recipients: Recipients::Everybody }
}

/// Reads a reply to its last line.
fn reply(stream: &mut impl BufRead) -> String {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the connection is open");
        if line.as_bytes()[3] == b' ' {
            return line;
        }
    }
}

#[test]
fn a_client_is_known_by_its_certificate_and_needs_none() {
    let connector =
        Connector { certificate: Some("gate.example".into()), restricts: true, ..Connector::default() };
    let script = Script { connector: Some(connector), ..Script::default() };
    let exchange = Exchange::listen_as(loopback(), Organisation::new(tenant(), script), None).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(exchange.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = || {
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
    };
    let made = rcgen::generate_simple_self_signed(["gate.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let shown = client().with_client_auth_cert(vec![made.cert.der().clone()], key).unwrap();
    for (config, answer) in [(client().with_no_client_auth(), "550 5.7.51 "), (shown, "250 2.1.5 ")] {
        let mut stream = TcpStream::connect(exchange.address()).unwrap();
        let mut plain = BufReader::new(stream.try_clone().unwrap());
        reply(&mut plain);
        for line in ["EHLO gate.example\r\n", "STARTTLS\r\n"] {
            stream.write_all(line.as_bytes()).unwrap();
            reply(&mut plain);
        }
        let name = ServerName::try_from(session::HOST).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        for line in ["EHLO gate.example\r\n", "MAIL FROM:<a@b>\r\n"] {
            stream.get_mut().write_all(line.as_bytes()).unwrap();
            reply(&mut stream);
        }
        stream.get_mut().write_all(b"RCPT TO:<x@example.com>\r\n").unwrap();
        assert!(reply(&mut stream).starts_with(answer));
    }
}

#[test]
fn a_report_goes_to_the_host_that_was_named_for_it() {
    let gateway = Exchange::listen(
        loopback(),
        Tenant { domains: vec!["example.org".into()], recipients: Recipients::Everybody },
    )
    .unwrap();
    let script =
        Script { reported_later: BTreeSet::from(["gone@example.com".to_owned()]), ..Script::default() };
    let organisation = Organisation::new(tenant(), script);
    let exchange = Exchange::listen_as(loopback(), organisation, Some(gateway.address())).unwrap();
    let message = b"Subject: hello\r\n\r\n.a dot\r\n".to_vec();
    let mail = Outgoing { sender: "bob@example.org".into(), recipient: "gone@example.com".into(), message };
    assert!(mail.send(exchange.address()).unwrap().starts_with("250 2.6.0 "));
    assert_eq!(exchange.received(PATIENCE).unwrap().message, mail.message);
    let report = gateway.received(PATIENCE).unwrap();
    assert_eq!((report.sender.as_str(), report.recipients), ("", vec!["bob@example.org".to_owned()]));
    assert_eq!(Received { recipients: vec![], ..report }.header("Subject").unwrap(), "Undeliverable: hello");
}

#[test]
fn one_connection_too_many_is_turned_away() {
    let exchange = Exchange::listen(loopback(), tenant()).unwrap();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = BufReader::new(TcpStream::connect(exchange.address()).unwrap());
        assert!(reply(&mut stream).starts_with("220 "));
        open.push(stream);
    }
    let mut stream = BufReader::new(TcpStream::connect(exchange.address()).unwrap());
    assert!(reply(&mut stream).starts_with("421 4.3.2 The maximum number of concurrent connections"));
}
