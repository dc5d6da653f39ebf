use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use config_schema::{
    Secret,
    name::DomainName,
    user_lookup::mailbox::{Protocol, Security},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    dns::{Resolver, Settings},
    route::Own,
    transport::{Transport, memory::Memory},
};

/// Servers by their addresses, with a certificate for both.
struct World {
    network: Memory,
    certificate: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

const ONE: &str = "192.0.2.30";
const TWO: &str = "192.0.2.31";

impl World {
    fn new() -> World {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new([ONE.to_owned(), TWO.to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        World { network: Memory::default(), certificate, server: Arc::new(server) }
    }

    /// A POP3 server that answers each PASS like this; how many it heard.
    fn serve(&self, at: &str, answer: &'static str) -> Arc<AtomicUsize> {
        let address: SocketAddr = format!("{at}:995").parse().unwrap();
        let mut connections = self.network.listen(address);
        let (acceptor, heard) = (TlsAcceptor::from(self.server.clone()), Arc::new(AtomicUsize::new(0)));
        let counted = heard.clone();
        tokio::spawn(async move {
            while let Some(stream) = connections.recv().await {
                tokio::spawn(pop3(acceptor.clone(), stream, answer, counted.clone()));
            }
        });
        heard
    }

    fn logins(&self, trusting: bool) -> MailboxLogins {
        let mut roots = RootCertStore::empty();
        if trusting {
            roots.add(self.certificate.clone()).unwrap();
        } else {
            roots.roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        }
        let own = Own { hostname: DomainName::parse("mx.example.com").unwrap(), addresses: Vec::new() };
        let transport: Arc<dyn Transport> = Arc::new(self.network.clone());
        let outside = Outside {
            resolver: Resolver::new(transport.clone(), Settings::default()),
            transport,
            tls: TlsClient::new(roots, false),
            clock: Clock::system(),
            own: Arc::new(move || own.clone()),
        };
        let mailbox = Mailbox {
            protocol: Protocol::Pop3,
            servers: [ONE, TWO].map(|at| format!("[{at}]").parse().unwrap()).to_vec(),
            security: Security::Tls,
            strip_domain: false,
            lower_case: false,
            lower_case_stream: true,
            strip_domain_from_stream: false,
            cache_days: 0,
        };
        MailboxLogins::new(mailbox, outside)
    }
}

async fn pop3(acceptor: TlsAcceptor, stream: DuplexStream, answer: &str, heard: Arc<AtomicUsize>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let mut stream = BufReader::new(stream);
    stream.write_all(b"+OK ready\r\n").await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let reply = match line.split_whitespace().next() {
            Some("CAPA") => "+OK\r\nUSER\r\n.\r\n",
            Some("PASS") => {
                heard.fetch_add(1, Ordering::Relaxed);
                answer
            }
            _ => "+OK\r\n",
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

fn ann() -> Credentials {
    Credentials::new("ann", Secret::new("s3cret")).unwrap()
}

#[tokio::test]
async fn the_first_server_that_says_something_of_the_password_counts() {
    let world = World::new();
    let logins = world.logins(true);
    assert!(matches!(logins.log_in(&ann()).await, Outcome::Unavailable(Unavailable::Unreachable(_))));
    let two = world.serve(TWO, "+OK\r\n");
    assert_eq!(logins.log_in(&ann()).await, Outcome::Ok);
    let one = world.serve(ONE, "-ERR [SYS/TEMP] later\r\n");
    assert_eq!(logins.log_in(&ann()).await, Outcome::Ok);
    assert_eq!((one.load(Ordering::Relaxed), two.load(Ordering::Relaxed)), (1, 2));
    let one = world.serve(ONE, "-ERR [AUTH] no\r\n");
    assert_eq!(logins.log_in(&ann()).await, Outcome::WrongPassword);
    assert_eq!((one.load(Ordering::Relaxed), two.load(Ordering::Relaxed)), (1, 2));
}

#[tokio::test]
async fn no_password_is_said_to_a_server_that_nobody_vouches_for() {
    let world = World::new();
    let (one, two) = (world.serve(ONE, "+OK\r\n"), world.serve(TWO, "+OK\r\n"));
    let logins = world.logins(false);
    assert_eq!(logins.log_in(&ann()).await, Outcome::Unavailable(Unavailable::Tls));
    assert_eq!((one.load(Ordering::Relaxed), two.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let world = World::new();
    let mut silent = [ONE, TWO].map(|at| world.network.listen(format!("{at}:995").parse().unwrap()));
    let logins = world.logins(true);
    let outcome = logins.log_in(&ann()).await;
    assert_eq!(outcome, Outcome::Unavailable(Unavailable::Timeout));
    assert!(silent.iter_mut().all(|connections| connections.try_recv().is_ok()), "both were asked");
}
