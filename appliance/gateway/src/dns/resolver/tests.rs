use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::{
    op::{Message, MessageType},
    rr::{Name, RData, Record, rdata},
};

use super::*;
use crate::transport::memory::Memory;

fn server() -> SocketAddr {
    "192.0.2.53:53".parse().unwrap()
}

fn resolver(network: &Memory) -> Resolver {
    Resolver::new(
        Arc::new(network.clone()),
        Settings { servers: vec![server()], validating: false, ..Settings::default() },
    )
}

fn host() -> DomainName {
    DomainName::parse("mx.example.com").unwrap()
}

fn answer(packet: &[u8], truncated: bool) -> Vec<u8> {
    let mut message = Message::from_vec(packet).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.metadata.truncation = truncated;
    message.metadata.authentic_data = true;
    let name = Name::from_ascii("mx.example.com.").unwrap();
    if !truncated {
        message.add_answer(Record::from_rdata(name, 60, RData::A(rdata::A::new(192, 0, 2, 1))));
    }
    message.to_vec().unwrap()
}

fn one_address(lookup: Lookup<IpAddr>) -> Found<IpAddr> {
    match lookup {
        Lookup::Found(found) => found,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_for_once_and_again_when_it_expired() {
    let network = Memory::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    network.respond(server(), move |packet| {
        count.fetch_add(1, Ordering::Relaxed);
        vec![b"garbage".to_vec(), answer(packet, false)]
    });
    let resolver = resolver(&network);
    for _ in 0..3 {
        let found = one_address(resolver.ipv4(&host()).await.unwrap());
        assert_eq!(found.records, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        // The AD bit of a resolver that is not configured as validating means nothing.
        assert!(!found.authentic);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    tokio::time::advance(Duration::from_secs(61)).await;
    resolver.ipv4(&host()).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_comes_whole_by_tcp() {
    let network = Memory::default();
    network.respond(server(), |packet| vec![answer(packet, true)]);
    let mut connections = network.listen(server());
    tokio::spawn(async move {
        let mut stream = connections.recv().await.unwrap();
        let mut packet = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut packet).await.unwrap();
        let answer = answer(&packet, false);
        stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    });
    assert_eq!(one_address(resolver(&network).ipv4(&host()).await.unwrap()).records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_fifteen_seconds() {
    let network = Memory::default();
    network.respond(server(), |_| vec![]);
    let start = Instant::now();
    let error = resolver(&network).ipv4(&host()).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer from DNS about mx.example.com: the resolver did not answer");
    assert_eq!(start.elapsed().as_secs(), 15);
}

#[test]
fn addresses_have_names_to_ask_for() {
    assert_eq!(reverse_name("192.0.2.7".parse().unwrap()).as_str(), "7.2.0.192.in-addr.arpa");
    let six = reverse_name("2001:db8::1".parse().unwrap());
    assert!(six.as_str().starts_with("1.0.0.0.") && six.as_str().ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"));
}

#[tokio::test(start_paused = true)]
async fn a_message_asks_no_more_than_its_budget() {
    let network = Memory::default();
    network.respond(server(), |packet| vec![answer(packet, false)]);
    let resolver = resolver(&network).within(Budget::new(1, Duration::from_secs(15)));
    for _ in 0..3 {
        assert!(resolver.ipv4(&host()).await.is_ok(), "what is remembered costs nothing");
    }
    let error = resolver.ipv6(&host()).await.unwrap_err();
    assert_eq!(error.reason, "too many questions for one message");
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_no_longer_than_its_budget() {
    let network = Memory::default();
    network.respond(server(), |_| vec![]);
    let resolver = resolver(&network).within(Budget::new(9, Duration::from_secs(6)));
    let start = Instant::now();
    let error = resolver.ipv4(&host()).await.unwrap_err();
    assert_eq!((error.reason, start.elapsed().as_secs()), ("the questions for one message took too long", 6));
}

#[tokio::test(start_paused = true)]
async fn patience_is_as_configured() {
    for (tries, seconds) in [(1, 1), (2, 3), (10, 2)] {
        let network = Memory::default();
        network.respond(server(), |_| vec![]);
        let patience = Patience { tries, time: Duration::from_secs(seconds) };
        let settings = Settings { servers: vec![server()], patience, ..Settings::default() };
        let start = Instant::now();
        Resolver::new(Arc::new(network), settings).ipv4(&host()).await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), u64::from(tries) * seconds);
    }
}
