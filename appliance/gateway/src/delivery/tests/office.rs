//! Exchange Online as the double plays it, in memory and at the time of the test.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use image::exchange::{
    Organisation, Received, Script, Shown, Tenant,
    session::{Action, Session},
};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;

use crate::transport::{ByteStream, memory::Memory};

#[derive(Clone)]
pub(super) struct Office {
    organisation: Arc<Organisation>,
    received: Arc<Mutex<Vec<Received>>>,
    /// Recipients that were asked for, over all connections.
    asked: Arc<Mutex<Vec<String>>>,
    acceptor: TlsAcceptor,
    start: Instant,
}

impl Office {
    pub(super) fn listen(network: &Memory, at: &str, tenant: Tenant) -> Office {
        let made = rcgen::generate_simple_self_signed(["mail.protection.outlook.com".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.into())
                .unwrap();
        let office = Office {
            organisation: Arc::new(Organisation::new(tenant, Script::default())),
            received: Arc::default(),
            asked: Arc::default(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            start: Instant::now(),
        };
        let mut connections = network.listen(at.parse().unwrap());
        let own = office.clone();
        tokio::spawn(async move {
            while let Some(stream) = connections.recv().await {
                let office = own.clone();
                tokio::spawn(async move { office.serve(stream).await });
            }
        });
        office
    }

    pub(super) fn play(&self, script: Script) {
        self.organisation.play(script);
    }

    /// Is another tenant at once.
    pub(super) fn become_now(&self, tenant: Tenant) {
        self.organisation.become_at(SystemTime::UNIX_EPOCH, tenant);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000) + self.start.elapsed()
    }

    /// `None`: the connection has ended, as the script or the client wished.
    async fn serve(&self, stream: DuplexStream) -> Option<()> {
        let peer: SocketAddr = "192.0.2.10:40000".parse().unwrap();
        let (mut session, greeting) = Session::new(self.organisation.clone(), peer, self.now());
        let mut stream: Box<dyn ByteStream> = Box::new(stream);
        stream.write_all(&greeting).await.ok()?;
        let mut octets = [0; 4096];
        loop {
            let len = stream.read(&mut octets).await.ok().filter(|len| *len > 0)?;
            let text = String::from_utf8_lossy(&octets[..len]);
            let asked = text.lines().filter_map(|line| line.strip_prefix("RCPT TO:")).map(str::to_owned);
            self.asked.lock().unwrap().extend(asked);
            let mut actions = session.receive(&octets[..len], self.now());
            for action in actions.drain(..) {
                match action {
                    Action::Write(octets) => stream.write_all(&octets).await.ok()?,
                    Action::StartTls => {
                        stream.flush().await.ok()?;
                        stream = Box::new(self.acceptor.accept(stream).await.ok()?);
                        if session.tls_done(Shown::default(), self.now()).contains(&Action::Close) {
                            return None;
                        }
                    }
                    Action::Deliver(received) => self.received.lock().unwrap().push(*received),
                    Action::SendOut(_) => {}
                    Action::Close => return None,
                }
            }
            stream.flush().await.ok()?;
        }
    }
}
