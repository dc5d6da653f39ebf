//! A network in which addresses of a private network are doors to ports of this machine, and a directory in it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config_schema::user_lookup::Method;
use config_schema::user_lookup::ldap::Ldap;
use config_schema::{Config, name::DomainName};
use gateway::clock::Clock;
use gateway::directory::ldap::{LdapDirectory, Outside};
use gateway::dns::{Resolver, Settings};
use gateway::route::Own;
use gateway::tls::{client::TlsClient, roots};
use gateway::transport::{Boxed, ConnectFault, Datagrams, Stream, Transport};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::certificates::Authority;

/// The server, as the configuration names it.
pub(crate) const FIRST: &str = "10.9.8.1";
/// What DNS calls it.
pub(crate) const NAME: &str = "dc1.example.com";
/// The only resolver.
const DNS: &str = "10.9.8.53:53";

pub(crate) fn first() -> IpAddr {
    FIRST.parse().unwrap()
}

/// Which address and port lead where; clones are the same network.
#[derive(Clone, Default)]
pub(crate) struct Doors {
    open: Arc<Mutex<HashMap<SocketAddr, SocketAddr>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Doors {
    pub(crate) fn lead(&self, address: &str, port: u16, to: SocketAddr) {
        let at = SocketAddr::new(address.parse().unwrap(), port);
        self.open.lock().unwrap().insert(at, to);
    }
}

impl Transport for Doors {
    fn connect(&self, to: SocketAddr, _deadline: Duration) -> Boxed<'_, Result<Stream, ConnectFault>> {
        Box::pin(async move {
            let door = self.open.lock().unwrap().get(&to).copied();
            let Some(door) = door else { return Err(ConnectFault::Refused) };
            let stream = TcpStream::connect(door).await.map_err(|_| ConnectFault::Refused)?;
            self.connections.fetch_add(1, Ordering::Relaxed);
            let local = stream.local_addr().unwrap();
            Ok(Stream { io: Box::new(stream), local, peer: to })
        })
    }

    fn udp(&self, _to: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Datagrams>>> {
        let (answers, received) = mpsc::unbounded_channel();
        let flow = Flow { answers, received: tokio::sync::Mutex::new(received) };
        Box::pin(async move { Ok(Box::new(flow) as Box<dyn Datagrams>) })
    }
}

/// A resolver that knows every name by one address.
struct Flow {
    answers: mpsc::UnboundedSender<Vec<u8>>,
    received: tokio::sync::Mutex<mpsc::UnboundedReceiver<Vec<u8>>>,
}

impl Datagrams for Flow {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> Boxed<'a, io::Result<()>> {
        self.answers.send(answer(datagram)).unwrap();
        Box::pin(async { Ok(()) })
    }

    fn recv<'a>(&'a self, into: &'a mut [u8]) -> Boxed<'a, io::Result<usize>> {
        Box::pin(async move {
            let datagram = self.received.lock().await.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
            into[..datagram.len()].copy_from_slice(&datagram);
            Ok(datagram.len())
        })
    }
}

/// RFC 1035 §4: the question, and for type A one record that points to its name.
fn answer(question: &[u8]) -> Vec<u8> {
    let name_end = 12 + question[12..].iter().position(|octet| *octet == 0).unwrap() + 1;
    let is_a = question[name_end..name_end + 2] == [0, 1];
    let mut answer = question[..name_end + 4].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 1]);
    }
    answer
}

/// A directory by this configuration, whose roots are those of `authority`.
pub(crate) fn directory(doors: &Doors, authority: &Authority, keys: &str) -> LdapDirectory {
    let transport: Arc<dyn Transport> = Arc::new(doors.clone());
    let settings = Settings { servers: vec![DNS.parse().unwrap()], ..Settings::default() };
    let own = Own { hostname: DomainName::parse("mx.example.com").unwrap(), addresses: Vec::new() };
    let outside = Outside {
        resolver: Resolver::new(transport.clone(), settings),
        transport,
        tls: TlsClient::new(roots::for_next_hops(&[authority.root()]).unwrap(), false),
        clock: Clock::system(),
        own: Arc::new(move || own.clone()),
    };
    LdapDirectory::new(ldap(keys), outside)
}

/// The configuration with these keys; where they name no server, account or base, the usual ones.
pub(crate) fn ldap(keys: &str) -> Ldap {
    let mut text = String::from(
        "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n[[user-lookup]]\n\
         name = \"corp\"\nmethod = \"ldap\"\n",
    );
    for (key, line) in [
        ("preset", "preset = \"ad-windows-name\"\n"),
        ("servers", "servers = \"[10.9.8.1]\"\n"),
        ("base", "base = \"dc=example,dc=com\"\n"),
        ("bind-dn", "bind-dn = \"cn=reader,dc=example,dc=com\"\nbind-password = \"reader-secret\"\n"),
        ("time-limit", "time-limit = \"30 s\"\n"),
    ] {
        if !keys.contains(key) {
            text.push_str(line);
        }
    }
    let config = Config::parse("test.toml", &format!("{text}{keys}")).unwrap();
    let Method::Ldap(ldap) = &config.user_lookups[0].method else { panic!("another method") };
    Ldap::clone(ldap)
}
