//! What a realm shows to its next hops: Exchange Online's connector knows a tenant's gateway by it.

use std::{collections::HashMap, time::Duration};

use gateway::dns::Settings;
use image::exchange::{Connector, Exchange, Recipients, Script, Tenant};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use crate::world::{World, field};

const ENDS: [&str; 4] = ["delivery.delivered", "delivery.deferred", "delivery.failed", "delivery.held"];

/// `[realm.client]` with a certificate for `name`, good until the end of `year`, and for clients if that is wanted.
fn client(name: &str, year: i32, for_clients: bool) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 12, 31);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if for_clients {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    let certificate = params.self_signed(&key).unwrap().pem();
    let (certificate, key) = (certificate.trim(), key.serialize_pem());
    format!("[realm.client]\ncertificate = '''\n{certificate}\n'''\nkey = '''\n{}\n'''\n", key.trim())
}

/// A realm and its domain, both of one name.
fn tenant(name: &str, client: &str) -> String {
    format!(
        "[[realm]]\nname = \"{name}\"\n{client}[[domain]]\nname = \"{name}.example\"\nrealm = \"{name}\"\n\
         route = [\"[192.0.2.25]\"]\n"
    )
}

fn exchange() -> Exchange {
    let domains = ["named", "server", "ended", "bare"].map(|name| format!("{name}.example"));
    let tenant = Tenant { domains: domains.into(), recipients: Recipients::Everybody };
    Exchange::listen("127.0.0.1:0".parse().unwrap(), tenant).unwrap()
}

fn world(hop: &Exchange) -> World {
    let tenants = [
        tenant("named", &client("gate.example", 2090, true)),
        tenant("server", &client("gate.example", 2090, false)),
        tenant("ended", &client("gate.example", 2020, true)),
        tenant("bare", ""),
    ];
    let hosts = HashMap::from([("192.0.2.25".parse().unwrap(), hop.address())]);
    World::new(&tenants.concat(), Settings::default(), hosts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_realm_shows_its_own_as_long_as_it_is_good() {
    let hop = exchange();
    let world = world(&hop);
    for (name, shown) in [
        ("named", vec!["gate.example"]),
        ("server", vec!["gate.example"]),
        ("ended", vec![]),
        ("bare", vec![]),
    ] {
        let event = world.send(&format!("b@{name}.example"), &ENDS).await;
        assert_eq!((&*event.kind, field(&event, "tls").as_str()), ("delivery.delivered", "unverified"));
        let received = hop.received(Duration::from_secs(30)).unwrap();
        assert_eq!(received.certificate_names, shown, "{name}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_knows_the_certificate_lets_in_who_shows_it_and_the_rest_is_held() {
    let hop = exchange();
    let certificate = Some("gate.example".to_owned());
    let connector =
        Connector { certificate, meant_for_clients: true, restricts: true, ..Connector::default() };
    hop.organisation().play(Script { connector: Some(connector), ..Script::default() });
    let world = world(&hop);
    for (name, kind) in [
        ("named", "delivery.delivered"),
        ("server", "delivery.held"),
        ("ended", "delivery.held"),
        ("bare", "delivery.held"),
    ] {
        let event = world.send(&format!("b@{name}.example"), &ENDS).await;
        assert_eq!(&*event.kind, kind, "{name}: {event:?}");
    }
    world.end().await;
}
