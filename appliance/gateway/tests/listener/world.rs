//! A gateway without a network, and a client that talks to it line by line.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config_schema::Config;
use config_schema::name::DomainName;
use gateway::appliance::Appliance;
use gateway::clock::Clock;
use gateway::directory::Directory;
use gateway::listener::{Accepted, Bulk, Listener};
use gateway::tls::identity::SelfSigned;
use gateway::tls::server::ServerTls;
use store::log::{Event, Query};
use store::queue::Delivery;
use store::testing::MemoryDisk;
use store::{MessageId, Store, Timestamp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) const CONFIG: &str = r#"
version = 1
[network]
hostname = "mx.example.com"
address = "dhcp"
[[domain]]
name = "example.com"
realm = "base"
route = ["mail.example.com"]
[[domain]]
name = "example.net"
realm = "base"
route = ["mail.example.net"]
[[known-network]]
name = "office"
network = ["198.51.100.0/24"]
relay = true
"#;

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_478_653);
/// A disk small enough for many tests beside each other.
pub(crate) const DISK_BYTES: usize = 48 << 20;
/// What a test waits for at most; no test passes by it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) appliance: Appliance,
    pub(crate) listener: Listener,
    pub(crate) config: watch::Sender<Arc<Config>>,
    pub(crate) tls: ServerTls,
    pub(crate) disk: Arc<MemoryDisk>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(CONFIG, store::Limits::default())
    }

    pub(crate) fn configured(more: &str) -> World {
        World::with(&format!("{CONFIG}\n{more}"), store::Limits::default())
    }

    pub(crate) fn with(config: &str, limits: store::Limits) -> World {
        let disk = Arc::new(MemoryDisk::new(DISK_BYTES));
        let store = Store::open(disk.clone(), limits).unwrap();
        let (sender, config) = watch::channel(parsed(config));
        let own = SelfSigned::make(&DomainName::parse("mx.example.com").unwrap(), NOW).unwrap();
        let tls = ServerTls::new(own.identity()).unwrap();
        let appliance = Appliance::new(store.clone(), config, Clock::starting_at(NOW));
        let directory = Directory::unconnected(appliance.clone());
        let listener = Listener::new(appliance.clone(), directory, tls.clone());
        World { store, appliance, listener, config: sender, tls, disk }
    }

    /// A connection from an address that nobody knows.
    pub(crate) fn connect(&self) -> Client<DuplexStream> {
        self.connect_from("192.0.2.7")
    }

    pub(crate) fn connect_from(&self, peer: &str) -> Client<DuplexStream> {
        self.connect_with(peer, 64 * 1024)
    }

    /// `pipe`: octets that fit in each direction before the other side has read them.
    pub(crate) fn connect_with(&self, peer: &str, pipe: usize) -> Client<DuplexStream> {
        let (ours, stream) = tokio::io::duplex(pipe);
        tokio::spawn(self.listener.clone().serve(accepted(stream, peer)));
        Client::over(ours)
    }

    pub(crate) fn reconfigure(&self, text: &str) {
        self.config.send_replace(parsed(text));
    }

    /// The events whose kind begins with `kind`, oldest first.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Event> {
        self.store.flush_events().await.unwrap();
        let query = Query { kind: Some(kind.to_owned()), ..Query::default() };
        let page = self.store.events(&query).unwrap();
        page.events.into_iter().rev().map(|(_, event)| event).collect()
    }

    /// Waits for an event of this kind and returns the last.
    pub(crate) async fn event(&self, kind: &str) -> Event {
        let found = async {
            loop {
                if let Some(event) = self.events(kind).await.pop() {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no event {kind}"))
    }

    pub(crate) fn messages(&self) -> u64 {
        self.store.usage().messages
    }

    pub(crate) fn body(&self, id: MessageId) -> Vec<u8> {
        self.store.body(id).unwrap().flat_map(|piece| piece.unwrap()).collect()
    }

    pub(crate) fn deliveries(&self, id: MessageId) -> Vec<Delivery> {
        self.store.deliveries_of(id).unwrap()
    }

    /// Waits until no session holds a place.
    pub(crate) async fn emptied(&self) {
        let empty = async {
            while self.listener.open() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, empty).await.expect("every session ends");
    }
}

pub(crate) fn accepted<S>(stream: S, peer: &str) -> Accepted<S> {
    let peer = SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 40_000);
    Accepted { stream, peer, local: "192.0.2.1:25".parse().unwrap(), bulk: Bulk::default() }
}

fn parsed(text: &str) -> Arc<Config> {
    Arc::new(Config::parse("test.toml", text).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

pub(crate) fn field<'a>(event: &'a Event, name: &str) -> &'a str {
    event.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value).unwrap_or_default()
}

/// The other end.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    came: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Client<S> {
        Client { stream, came: Vec::new() }
    }

    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        // A server that has closed says why in its last reply; that is what tests look at.
        let _ = self.stream.write_all(octets.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// One whole reply without its last line end; empty at the end of the stream.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let Some(line) = self.line().await else { return reply };
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return reply;
            }
            reply.push('\n');
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.came.windows(2).position(|pair| pair == b"\r\n") {
                let rest = self.came.split_off(end + 2);
                let mut line = std::mem::replace(&mut self.came, rest);
                line.truncate(end);
                return Some(String::from_utf8(line).unwrap());
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.came.extend_from_slice(&octets[..n]),
            }
        }
    }

    /// Sends a command and returns its reply.
    pub(crate) async fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.reply().await
    }

    /// Sends a command whose reply must begin so.
    #[track_caller]
    pub(crate) fn expect<'a>(
        &'a mut self,
        line: &'a str,
        start: &'a str,
    ) -> impl Future<Output = String> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let reply = self.command(line).await;
            assert!(reply.starts_with(start), "{line}: {reply:?}, expected {start} at {place}");
            reply
        }
    }

    /// The banner and EHLO.
    pub(crate) async fn greeted(mut self) -> Client<S> {
        let banner = self.reply().await;
        assert!(banner.starts_with("220 mx.example.com "), "{banner}");
        self.expect("EHLO client.example.org", "250-").await;
        self
    }

    /// A transaction up to 354.
    pub(crate) async fn up_to_data(&mut self, recipients: &[&str]) {
        self.expect("MAIL FROM:<ann@example.org>", "250 2.1.0").await;
        for recipient in recipients {
            self.expect(&format!("RCPT TO:<{recipient}>"), "250 2.1.5").await;
        }
        self.expect("DATA", "354 ").await;
    }

    /// A whole message to `bob@example.com`; returns the last reply.
    pub(crate) async fn mail(&mut self, message: impl AsRef<[u8]>) -> String {
        self.up_to_data(&["bob@example.com"]).await;
        self.send(message).await;
        self.send(".\r\n").await;
        self.reply().await
    }

    /// Everything until the end of the stream.
    pub(crate) async fn rest(&mut self) -> String {
        let _ = self.stream.read_to_end(&mut self.came).await;
        String::from_utf8_lossy(&std::mem::take(&mut self.came)).into_owned()
    }
}

/// The queue id in a reply.
pub(crate) fn id_in(reply: &str) -> MessageId {
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    reply.rsplit(' ').next().unwrap().parse().unwrap()
}
