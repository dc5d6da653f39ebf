//! Prints how much memory an idle session costs the gateway: `idle [SESSIONS]`, plain and inside TLS.
//!
//! Sessions run over Unix socket pairs, as they do behind `net`; the clients' halves are bare descriptors.
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

use std::sync::Arc;

use config_schema::Config;
use config_schema::name::DomainName;
use gateway::appliance::Appliance;
use gateway::clock::Clock;
use gateway::directory::Directory;
use gateway::listener::{Accepted, Bulk, Listener};
use gateway::tls::client::{Check, TlsClient};
use gateway::tls::identity::SelfSigned;
use gateway::tls::server::{ServerTls, TlsSettings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use store::Store;
use store::testing::MemoryDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

const CONFIG: &str = r#"
version = 1
[network]
hostname = "mx.example.com"
address = "dhcp"
[limits]
connections = 60000
connections-per-address = 60000
connections-per-network = 60000
[[known-network]]
name = "all"
network = ["0.0.0.0/0"]
"#;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let wanted = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10_000_usize);
    let sessions = wanted.min(most_sessions());

    let store = Store::open(Arc::new(MemoryDisk::new(32 << 20)), store::Limits::default()).unwrap();
    let (_config, watched) = watch::channel(Arc::new(Config::parse("idle.toml", CONFIG).unwrap()));
    let clock = Clock::system();
    let own = SelfSigned::make(&DomainName::parse("mx.example.com").unwrap(), clock.now()).unwrap();
    let tls = ServerTls::new(own.identity()).unwrap();
    let quick = TlsSettings { handshakes_per_second: u32::MAX, ..TlsSettings::default() };
    tls.show(own.identity(), quick).unwrap();
    let appliance = Appliance::new(store, watched, clock);
    let listener = Listener::new(appliance.clone(), Directory::unconnected(appliance), tls);

    for secure in [false, true] {
        let mut clients = Vec::with_capacity(sessions);
        // What the first sessions touch is not counted as theirs.
        for _ in 0..100 {
            clients.push(open(&listener, secure).await);
        }
        let before = resident();
        while clients.len() < sessions {
            clients.push(open(&listener, secure).await);
        }
        let each = resident().saturating_sub(before) / (sessions as u64 - 100).max(1);
        let way = if secure { "inside TLS" } else { "plain" };
        println!("{} idle sessions {way}: {each} bytes each", clients.len());
        drop(clients);
        while listener.open() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// How many sessions the descriptors of a process allow: two each, and some to spare.
fn most_sessions() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.map_or(usize::MAX, |most| usize::try_from(most.saturating_sub(100) / 2).unwrap())
}

/// A session that has said EHLO and waits.
async fn open(listener: &Listener, secure: bool) -> UnixStream {
    let (mut client, stream) = UnixStream::pair().unwrap();
    let (peer, local) = ("192.0.2.7:40000".parse().unwrap(), "192.0.2.1:25".parse().unwrap());
    tokio::spawn(listener.clone().serve(Accepted { stream, peer, local, bulk: Bulk::default() }));
    let mut reply = [0; 4096];
    client.read(&mut reply).await.map(drop).unwrap();
    client.write_all(b"EHLO client.example.org\r\n").await.unwrap();
    client.read(&mut reply).await.map(drop).unwrap();
    if !secure {
        return client;
    }
    client.write_all(b"STARTTLS\r\n").await.unwrap();
    client.read(&mut reply).await.map(drop).unwrap();
    let config = trusting_anyone();
    let name = ServerName::try_from("mx.example.com").unwrap();
    let mut secured = TlsConnector::from(config).connect(name, client).await.unwrap();
    secured.write_all(b"EHLO client.example.org\r\n").await.unwrap();
    secured.read(&mut reply).await.map(drop).unwrap();
    // The client's own state is not what is measured.
    secured.into_inner().0
}

fn trusting_anyone() -> Arc<rustls::ClientConfig> {
    static CONFIG: std::sync::OnceLock<Arc<rustls::ClientConfig>> = std::sync::OnceLock::new();
    let make = || TlsClient::new(rustls::RootCertStore::empty(), true).handshake(&Check::Nobody).config;
    CONFIG.get_or_init(make).clone()
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}
