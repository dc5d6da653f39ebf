use std::{collections::HashMap, sync::Arc};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};

use super::*;
use crate::{dns::Settings, transport::memory::Memory};

/// A zone: what a resolver answers. A name that is absent does not exist; `fail.example` gets SERVFAIL.
#[derive(Default)]
struct Zone(HashMap<String, Vec<RData>>);

impl Zone {
    fn mx(mut self, name: &str, preference: u16, exchange: &str) -> Zone {
        let exchange = Name::from_ascii(exchange).unwrap();
        self.0.entry(name.into()).or_default().push(RData::MX(rdata::MX::new(preference, exchange)));
        self
    }

    fn host(mut self, name: &str, address: &str) -> Zone {
        let data = match address.parse().unwrap() {
            IpAddr::V4(a) => RData::A(a.into()),
            IpAddr::V6(a) => RData::AAAA(a.into()),
        };
        self.0.entry(name.into()).or_default().push(data);
        self
    }

    fn resolver(self) -> Resolver {
        let network = Memory::default();
        let server: SocketAddr = "192.0.2.53:53".parse().unwrap();
        network.respond(server, move |packet| vec![self.answer(packet)]);
        Resolver::new(
            Arc::new(network),
            Settings { servers: vec![server], validating: true, ..Settings::default() },
        )
    }

    fn answer(&self, packet: &[u8]) -> Vec<u8> {
        let mut message = Message::from_vec(packet).unwrap();
        let query = message.queries[0].clone();
        message.metadata.message_type = MessageType::Response;
        let name = query.name.to_ascii().to_ascii_lowercase();
        match self.0.get(name.trim_end_matches('.')) {
            _ if name == "fail.example." => message.metadata.response_code = ResponseCode::ServFail,
            None => message.metadata.response_code = ResponseCode::NXDomain,
            Some(records) => {
                let kind = |data: &&RData| Record::from_rdata(Name::root(), 0, (*data).clone()).record_type();
                for data in records.iter().filter(|data| kind(data) == query.query_type) {
                    message.add_answer(Record::from_rdata(query.name.clone(), 60, data.clone()));
                }
            }
        }
        if query.query_type == RecordType::MX && message.to_vec().unwrap().len() > 1_232 {
            message.metadata.truncation = true;
        }
        message.to_vec().unwrap()
    }
}

fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

async fn find(zone: Zone, target: Target<'_>) -> Result<Vec<String>, RouteFault> {
    find_from(&["192.0.2.10"], zone, target).await
}

async fn find_from(own: &[&str], zone: Zone, target: Target<'_>) -> Result<Vec<String>, RouteFault> {
    let addresses = own.iter().map(|own| own.parse().unwrap()).collect();
    let own = Own { hostname: domain("gate.example"), addresses };
    let mut next = 0;
    let mut shuffle = || {
        next += 1;
        next
    };
    let hops = super::find(&zone.resolver(), &own, target, &mut shuffle).await?;
    Ok(hops.into_iter().map(|hop| format!("{} {}", hop.host, hop.address)).collect())
}

async fn foreign(zone: Zone, name: &str) -> Result<Vec<String>, RouteFault> {
    find(zone, Target::Foreign(&domain(name))).await
}

async fn configured(zone: Zone, routes: &[&str]) -> Result<Vec<String>, RouteFault> {
    let routes: Vec<Route> = routes.iter().map(|text| text.parse().unwrap()).collect();
    find(zone, Target::Configured(&routes)).await
}

#[tokio::test(start_paused = true)]
async fn exchanges_come_in_the_order_of_their_preference() {
    let zone = Zone::default()
        .mx("a.example", 20, "second.example.")
        .mx("a.example", 10, "first.example.")
        .host("first.example", "198.51.100.1")
        .host("first.example", "2001:db8::1")
        .host("first.example", "198.51.100.2")
        .host("second.example", "198.51.100.3");
    let hops = foreign(zone, "a.example").await.unwrap();
    assert_eq!(
        hops,
        [
            "first.example 198.51.100.1:25",
            "first.example 198.51.100.2:25",
            "first.example [2001:db8::1]:25",
            "second.example 198.51.100.3:25",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_families_come_in_turn_ipv6_first_where_we_have_both() {
    let zone = || {
        Zone::default()
            .host("a.example", "198.51.100.1")
            .host("a.example", "198.51.100.2")
            .host("a.example", "2001:db8::1")
            .host("a.example", "2001:db8::2")
            .host("a.example", "2001:db8::3")
    };
    let (four, six) = (["198.51.100.1:25", "198.51.100.2:25"], ["[2001:db8::1]:25", "[2001:db8::2]:25"]);
    for (own, order) in [
        (&["192.0.2.10", "2001:db8:1::10"][..], [six[0], four[0], six[1], four[1]]),
        (&["192.0.2.10", "fe80::10"], [four[0], four[1], six[0], six[1]]),
        (&["2001:db8:1::10"], [six[0], six[1], "[2001:db8::3]:25", four[0]]),
    ] {
        let hops = find_from(own, zone(), Target::Foreign(&domain("a.example"))).await.unwrap();
        assert_eq!(hops, order.map(|address| format!("a.example {address}")), "from {own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_domain_without_exchanges_is_its_own() {
    let zone = Zone::default().host("a.example", "198.51.100.1");
    assert_eq!(foreign(zone, "a.example").await.unwrap(), ["a.example 198.51.100.1:25"]);
}

#[tokio::test(start_paused = true)]
async fn each_form_of_route_leads_to_its_addresses() {
    let zone = || {
        Zone::default()
            .mx("a.example", 10, "mx.a.example.")
            .host("mx.a.example", "10.0.0.1")
            .host("a.example", "10.0.0.2")
    };
    assert_eq!(configured(zone(), &["a.example"]).await.unwrap(), ["mx.a.example 10.0.0.1:25"]);
    let both = configured(zone(), &["a.example:2525", "[10.0.2.2]:2526"]).await.unwrap();
    assert_eq!(both, ["a.example 10.0.0.2:2525", "[10.0.2.2] 10.0.2.2:2526"]);
}

#[tokio::test(start_paused = true)]
async fn microsoft_is_reached_by_ipv4() {
    let host = "a-example.mail.protection.outlook.com";
    let zone = Zone::default().host(host, "2001:db8::1").host(host, "198.51.100.1");
    let routes = [host.parse().unwrap()];
    let hops = find_from(&["192.0.2.10", "2001:db8:1::10"], zone, Target::Configured(&routes)).await.unwrap();
    assert_eq!(hops, [format!("{host} 198.51.100.1:25")]);
}

#[tokio::test(start_paused = true)]
async fn a_null_mx_refuses() {
    let zone = Zone::default().mx("a.example", 0, ".").host("a.example", "198.51.100.1");
    assert_eq!(foreign(zone, "a.example").await, Err(RouteFault::NullMx(domain("a.example"))));
}

#[tokio::test(start_paused = true)]
async fn the_way_never_leads_back_to_us() {
    let us = Zone::default().mx("a.example", 10, "gate.example.").host("gate.example", "192.0.2.10");
    assert_eq!(configured(us, &["a.example"]).await, Err(RouteFault::LoopsBack(domain("a.example"))));
    let better = Zone::default()
        .mx("a.example", 5, "inner.example.")
        .mx("a.example", 10, "gate.example.")
        .mx("a.example", 20, "backup.example.")
        .host("inner.example", "198.51.100.1")
        .host("backup.example", "198.51.100.2");
    assert_eq!(configured(better, &["a.example"]).await.unwrap(), ["inner.example 198.51.100.1:25"]);
    let by_address = Zone::default().host("a.example", "192.0.2.10");
    let unfit = RouteFault::Unfit { host: "a.example".into(), why: Unfit::Ourselves };
    assert_eq!(configured(by_address, &["a.example"]).await, Err(unfit));
    let localhost = Zone::default().mx("a.example", 10, "localhost.");
    assert_eq!(foreign(localhost, "a.example").await, Err(RouteFault::LoopsBack(domain("localhost"))));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_domain_reaches_no_private_address() {
    let zone = Zone::default().mx("a.example", 10, "mx.a.example.").host("mx.a.example", "10.0.0.1");
    let unfit = RouteFault::Unfit { host: "mx.a.example".into(), why: Unfit::Private };
    assert_eq!(foreign(zone, "a.example").await, Err(unfit));
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_told_from_what_lasts() {
    assert_eq!(
        foreign(Zone::default(), "no.example").await,
        Err(RouteFault::NoSuchName(domain("no.example")))
    );
    assert!(foreign(Zone::default(), "fail.example").await.unwrap_err().is_temporary());
    let half = Zone::default().mx("a.example", 1, "fail.example.").mx("a.example", 2, "no.example.");
    assert!(foreign(half, "a.example").await.unwrap_err().is_temporary());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_exchanges_cost_no_more_than_twenty() {
    let mut zone = Zone::default();
    for n in 0..30 {
        zone =
            zone.mx("a.example", n, &format!("m{n}.example.")).host(&format!("m{n}.example"), "198.51.100.1");
    }
    assert_eq!(foreign(zone, "a.example").await.unwrap().len(), HOPS_MAX);
    let mut dead = Zone::default();
    for n in 0..30 {
        dead = dead.mx("a.example", n, &format!("m{n}.example."));
    }
    let last = format!("m{}.example", EXCHANGES_MAX);
    let dead = dead.host(&last, "198.51.100.1");
    assert!(foreign(dead, "a.example").await.is_err());
}
