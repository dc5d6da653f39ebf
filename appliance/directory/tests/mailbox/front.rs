//! What stands before Dovecot in some tests, and changes what it says.

use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, ServerConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::AbortHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    certificates::{Certificates, Trust},
    client::Wire,
};

/// What a front takes out of the server's words; each word is replaced by one of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// A response comes only after the server has asked for it.
    NoInitialResponse,
    /// There is only LOGIN, or USER and PASS.
    NoMechanism,
    /// There is no TLS.
    NoTls,
}

/// A front, until it is dropped.
pub(crate) struct Front(SocketAddr, AbortHandle);

impl Drop for Front {
    fn drop(&mut self) {
        self.1.abort();
    }
}

impl Front {
    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }

    /// TLS on both sides.
    pub(crate) async fn inside_tls(certificates: &Certificates, behind: SocketAddr, change: Change) -> Front {
        Front::start(Some(certificates.server()), Some(certificates.trust()), behind, change).await
    }

    /// TLS towards the client only.
    pub(crate) async fn in_plain(certificates: &Certificates, behind: SocketAddr) -> Front {
        Front::start(Some(certificates.server()), None, behind, Change::Nothing).await
    }

    /// Answers STARTTLS and STLS as a server does that has no TLS.
    pub(crate) async fn refusing_tls(behind: SocketAddr) -> Front {
        Front::start(None, None, behind, Change::NoTls).await
    }

    async fn start(
        server: Option<Arc<ServerConfig>>,
        trust: Option<Trust>,
        behind: SocketAddr,
        change: Change,
    ) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, trust) = (server.clone(), trust.clone());
                tokio::spawn(async move {
                    let client: Box<dyn Wire> = match server {
                        Some(server) => match TlsAcceptor::from(server).accept(client).await {
                            Ok(client) => Box::new(client),
                            Err(_) => return,
                        },
                        None => Box::new(client),
                    };
                    pump(client, open(behind, trust).await, change).await;
                });
            }
        });
        Front(address, task.abort_handle())
    }
}

async fn open(behind: SocketAddr, trust: Option<Trust>) -> Box<dyn Wire> {
    // Dovecot takes whoever comes from its own address for safe without TLS.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let plain = socket.connect(behind).await.unwrap();
    match trust {
        Some(Trust { config, name }) => {
            let config: Arc<ClientConfig> = config;
            Box::new(TlsConnector::from(config).connect(name, plain).await.unwrap())
        }
        None => Box::new(plain),
    }
}

async fn pump(client: Box<dyn Wire>, server: Box<dyn Wire>, change: Change) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let up = async {
        let mut heard = vec![0; 4096];
        while let Ok(read) = from_client.read(&mut heard).await
            && read > 0
        {
            let words = match change {
                // A word that no server knows.
                Change::NoTls => replace(&replace(&heard[..read], "STARTTLS", "XTARTTLS"), "STLS", "XTLS"),
                _ => heard[..read].to_vec(),
            };
            let _ = to_server.write_all(&words).await;
            let _ = to_server.flush().await;
        }
    };
    let down = async {
        let mut heard = vec![0; 16_384];
        while let Ok(read) = from_server.read(&mut heard).await
            && read > 0
        {
            let words = match change {
                Change::Nothing | Change::NoTls => heard[..read].to_vec(),
                Change::NoInitialResponse => replace(&heard[..read], "SASL-IR", "XASL-IR"),
                Change::NoMechanism => {
                    replace(&replace(&heard[..read], "AUTH=PLAIN", "AUTH=XLAIN"), "SASL PLAIN", "SASL XLAIN")
                }
            };
            let _ = to_client.write_all(&words).await;
            let _ = to_client.flush().await;
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

fn replace(octets: &[u8], word: &str, by: &str) -> Vec<u8> {
    let mut octets = octets.to_vec();
    while let Some(at) = octets.windows(word.len()).position(|window| window == word.as_bytes()) {
        octets[at..at + by.len()].copy_from_slice(by.as_bytes());
    }
    octets
}
