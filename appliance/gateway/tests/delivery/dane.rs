//! DANE from end to end: what a validating resolver proves about a next hop decides whether it gets the mail.

use std::collections::HashMap;

use image::exchange::{Exchange, Recipients, Tenant};

use crate::{
    signed::{Signed, State},
    world::{World, field},
};

const ENDS: [&str; 3] = ["delivery.delivered", "delivery.deferred", "delivery.failed"];
const WRONG: &str = "3 1 1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A next hop for every domain of these tests.
fn next_hop() -> Exchange {
    let zones = ["right", "wrong", "unusable", "alias", "forged", "unsigned"];
    let domains = zones.iter().map(|zone| format!("{zone}.example")).collect();
    Exchange::listen("127.0.0.1:0".parse().unwrap(), Tenant { domains, recipients: Recipients::Everybody })
        .unwrap()
}

/// One exchange and its TLSA record.
fn exchange(tlsa: &str) -> String {
    format!("@ MX 10 mx\nmx A 192.0.2.25\n_25._tcp.mx TLSA {tlsa}\n")
}

fn whole_certificate(hop: &Exchange) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    format!("3 0 0 {}", hex(hop.certificate()))
}

fn world(resolver: &Signed, hop: &Exchange, validating: bool) -> World {
    let hosts = HashMap::from(["192.0.2.25", "192.0.2.26"].map(|ip| (ip.parse().unwrap(), hop.address())));
    World::new("", resolver.settings(validating), hosts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_resolver_proves_decides() {
    let hop = next_hop();
    let right = whole_certificate(&hop);
    let alias = format!(
        "@ MX 10 mx\nmx CNAME host\nhost A 192.0.2.25\n_25._tcp.mx TLSA {WRONG}\n_25._tcp.host TLSA {right}\n"
    );
    let resolver = Signed::serve(
        "dane",
        &[
            ("right.example", State::Signed, exchange(&right)),
            ("wrong.example", State::Signed, exchange(WRONG)),
            // RFC 7672 §3.1.3: usage 1 is not for SMTP.
            ("unusable.example", State::Signed, exchange(&WRONG.replacen('3', "1", 1))),
            ("alias.example", State::Signed, alias),
            ("forged.example", State::Forged, exchange(&right)),
            ("unsigned.example", State::Unsigned, exchange(WRONG)),
        ],
    )
    .await;
    let world = world(&resolver, &hop, true);

    for (domain, tls) in [
        ("right.example", "dane"),
        ("alias.example", "dane"),
        ("unusable.example", "unverified"),
        ("unsigned.example", "unverified"),
    ] {
        let event = world.send(&format!("b@{domain}"), &ENDS).await;
        let found = (event.kind.to_string(), field(&event, "tls"));
        assert_eq!(found, ("delivery.delivered".to_owned(), tls.to_owned()), "{domain}: {event:?}");
        assert!(hop.received(std::time::Duration::from_secs(30)).unwrap().tls);
    }
    for (domain, why) in [
        ("wrong.example", "no TLSA record names this certificate"),
        ("forged.example", "the resolver found no answer (SERVFAIL)"),
    ] {
        let event = world.send(&format!("b@{domain}"), &ENDS).await;
        assert_eq!(&*event.kind, "delivery.deferred", "{domain}: {event:?}");
        assert!(field(&event, "reply").contains(why), "{domain}: {event:?}");
    }
    assert!(hop.received(std::time::Duration::ZERO).is_none(), "nothing of what was put off was sent");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_is_not_trusted_to_validate_proves_nothing() {
    let hop = next_hop();
    let resolver =
        Signed::serve("dane-untrusted", &[("wrong.example", State::Signed, exchange(WRONG))]).await;
    let world = world(&resolver, &hop, false);
    let event = world.send("b@wrong.example", &ENDS).await;
    assert_eq!((&*event.kind, field(&event, "tls").as_str()), ("delivery.delivered", "unverified"));
    world.end().await;
}
