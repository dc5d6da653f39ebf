use std::net::SocketAddr;

use config_schema::{Config, name::DomainName, user_lookup::Method};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc::UnboundedReceiver,
    time::{Instant, advance},
};

use super::*;
use crate::{
    clock::Clock,
    dns::{Resolver, Settings},
    route::Own,
    tls::{client::TlsClient, roots},
    transport::{Transport, memory::Memory as Net},
};

const FIRST: &str = "10.0.0.1:389";
const SECOND: &str = "10.0.0.2:389";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A directory with two servers, in the clear, whose time limit is 10 s.
fn directory(net: &Net) -> LdapDirectory {
    let text = "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n[[user-lookup]]\n\
                name = \"corp\"\nmethod = \"ldap\"\npreset = \"generic-username\"\nbase = \"dc=example\"\n\
                servers = [\"[10.0.0.1]\", \"[10.0.0.2]\"]\nsecurity = \"plain\"\nbind-dn = \"cn=me\"\n\
                bind-password = \"secret\"\n";
    let config = Config::parse("test.toml", text).unwrap();
    let Method::Ldap(ldap) = &config.user_lookups[0].method else { panic!("another method") };
    let transport: Arc<dyn Transport> = Arc::new(net.clone());
    let own = Own { hostname: DomainName::parse("mx.example.com").unwrap(), addresses: Vec::new() };
    let outside = Outside {
        resolver: Resolver::new(transport.clone(), Settings::default()),
        transport,
        tls: TlsClient::new(roots::for_next_hops(&[]).unwrap(), false),
        clock: Clock::system(),
        own: Arc::new(move || own.clone()),
    };
    LdapDirectory::new(Ldap::clone(ldap), outside)
}

/// What a server does with requests.
#[derive(Clone, Copy)]
enum Does {
    /// Binds, and finds nobody.
    Serve,
    /// Binds, and then says nothing more.
    Sleep,
    /// Says nothing at all.
    Nothing,
    /// Refuses the password.
    Refuse,
}

/// A short message: a result of this operation and code.
fn result(id: u8, operation: u8, code: u8) -> [u8; 14] {
    [0x30, 12, 2, 1, id, operation, 7, 10, 1, code, 4, 0, 4, 0]
}

async fn serve(mut connection: DuplexStream, does: Does) {
    let mut heard = [0; 4096];
    // Requests are short and come one by one: number and operation stand where the lengths put them.
    while let Ok(read) = connection.read(&mut heard).await {
        if read == 0 {
            return;
        }
        let body = if heard[1] < 0x80 { 2 } else { 2 + usize::from(heard[1] & 0x7f) };
        let (id, operation) = (heard[body + 2], heard[body + 3]);
        let answer = match (operation, does) {
            (0x60, Does::Serve | Does::Sleep) => result(id, 0x61, 0),
            (0x60, Does::Refuse) => result(id, 0x61, 49),
            (0x63, Does::Serve) => result(id, 0x65, 0),
            _ => continue,
        };
        connection.write_all(&answer).await.unwrap();
    }
}

fn stand(net: &Net, address: &str, does: Does) {
    let mut connections: UnboundedReceiver<DuplexStream> = net.listen(at(address));
    tokio::spawn(async move {
        while let Some(connection) = connections.recv().await {
            tokio::spawn(serve(connection, does));
        }
    });
}

async fn ask(directory: &LdapDirectory, address: &str) -> (LookupAnswer, Duration) {
    let started = Instant::now();
    let answer = directory.look_up(&Address::parse(address).unwrap()).await;
    (answer, started.elapsed())
}

fn tried(net: &Net) -> Vec<SocketAddr> {
    std::mem::take(&mut *net.tried.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_left_after_the_time_limit() {
    let net = Net::default();
    stand(&net, FIRST, Does::Sleep);
    let directory = directory(&net);
    let (answer, took) = ask(&directory, "a@example.com").await;
    let LookupAnswer::Unavailable { why } = answer else { panic!("{answer:?}") };
    assert!(why.contains("no answer within 10 s"), "{why}");
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(11), "{took:?}");
    // The connection is not used again.
    stand(&net, FIRST, Does::Serve);
    assert_eq!(ask(&directory, "a@example.com").await.0, LookupAnswer::Unknown);
    assert_eq!(tried(&net), [at(FIRST), at(FIRST)]);
}

#[tokio::test(start_paused = true)]
async fn the_second_server_answers_within_the_same_question() {
    let net = Net::default();
    stand(&net, FIRST, Does::Nothing);
    stand(&net, SECOND, Does::Serve);
    let directory = directory(&net);
    let (answer, took) = ask(&directory, "a@example.com").await;
    assert_eq!(answer, LookupAnswer::Unknown);
    assert!(took >= connection::OPEN && took < connection::OPEN + Duration::from_secs(1), "{took:?}");
    assert_eq!(tried(&net), [at(FIRST), at(SECOND)]);
    // From memory, and then on the same connection.
    assert_eq!(ask(&directory, "A@EXAMPLE.com").await, (LookupAnswer::Unknown, Duration::ZERO));
    assert_eq!(ask(&directory, "b@example.com").await.0, LookupAnswer::Unknown);
    assert_eq!(tried(&net), []);
}

#[tokio::test(start_paused = true)]
async fn servers_that_refuse_are_left_alone_for_a_while() {
    let net = Net::default();
    let directory = directory(&net);
    for _ in 0..5 {
        assert!(matches!(ask(&directory, "a@example.com").await.0, LookupAnswer::Unavailable { .. }));
    }
    assert_eq!(tried(&net), [at(FIRST), at(SECOND)]);
    advance(Duration::from_secs(1)).await;
    ask(&directory, "a@example.com").await;
    assert_eq!(tried(&net), [at(FIRST), at(SECOND)]);
    advance(Duration::from_secs(1)).await;
    ask(&directory, "a@example.com").await;
    assert_eq!(tried(&net), []);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_of_ours_is_tried_again_only_after_ten_minutes() {
    let net = Net::default();
    stand(&net, FIRST, Does::Refuse);
    stand(&net, SECOND, Does::Refuse);
    let directory = directory(&net);
    for _ in 0..3 {
        assert!(matches!(ask(&directory, "a@example.com").await.0, LookupAnswer::Unavailable { .. }));
        advance(Duration::from_secs(100)).await;
    }
    assert_eq!(tried(&net), [at(FIRST)], "one try, and at one server");
    advance(Duration::from_secs(300)).await;
    stand(&net, FIRST, Does::Serve);
    assert_eq!(ask(&directory, "a@example.com").await.0, LookupAnswer::Unknown);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_connections_are_open() {
    let net = Net::default();
    stand(&net, FIRST, Does::Sleep);
    let directory = directory(&net);
    let mut under_way = Vec::new();
    for _ in 0..=CONNECTIONS_MAX {
        let mut reading = directory.read_all();
        under_way.push(tokio::spawn(async move { reading.next().await }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tried(&net).len(), CONNECTIONS_MAX);
    under_way[0].abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tried(&net).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_connection() {
    let net = Net::default();
    let mut connections = net.listen(at(FIRST));
    let served = tokio::spawn(async move {
        let mut connection = connections.recv().await.unwrap();
        let mut heard = [0; 4096];
        connection.read(&mut heard).await.unwrap();
        connection.write_all(&result(1, 0x61, 0)).await.unwrap();
        connection.read(&mut heard).await.unwrap();
        connection.write_all(&result(2, 0x65, 0)).await.unwrap();
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        rest
    });
    let directory = directory(&net);
    assert_eq!(ask(&directory, "a@example.com").await.0, LookupAnswer::Unknown);
    drop(directory);
    // RFC 4511 §4.3.
    assert_eq!(served.await.unwrap(), [0x30, 5, 2, 1, 3, 0x42, 0]);
}
