//! A Microsoft 365 tenant from its first reading to its alarms, against a double of Graph.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config_schema::{Config, EntraId, Method};
use directory::answer::LookupAnswer;
use directory::graph::{Collection, Fault};
use gateway::appliance::Appliance;
use gateway::clock::Clock;
use gateway::directory::graph::Graph;
use gateway::dns::{Resolver, Settings};
use image::entra::{self, Entra, Entry, Removed, Tenant, Trouble};
use store::Store;
use store::testing::MemoryDisk;
use tokio::sync::watch;

use crate::loopback::Loopback;

const HOST: &str = "graph.test";
/// What a test waits for at most; no test passes by it.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    entra: Option<Entra>,
    appliance: Appliance,
    settings: EntraId,
    _config: watch::Sender<Arc<Config>>,
}

fn user(n: usize) -> Entry {
    Entry {
        mail: Some(format!("u{n}@example.com")),
        proxies: vec![format!("SMTP:u{n}@example.com"), format!("smtp:alias{n}@example.com")],
        enabled: Some(true),
        ..Entry::default()
    }
}

fn id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

impl World {
    /// With twenty users; `ends` is when the secret does.
    fn new(ends: &str, trusted: bool) -> World {
        let entra = Entra::listen(HOST, |tenant| {
            for n in 0..20 {
                tenant.set(entra::Collection::Users, &id(n), user(n));
            }
        })
        .unwrap();
        let root = STANDARD.encode(entra.root());
        let roots =
            format!("[tls]\nroots = [\"-----BEGIN CERTIFICATE-----\\n{root}\\n-----END CERTIFICATE-----\"]");
        let port = entra.address().port();
        let text = format!(
            "version = 1\nnetwork = {{ hostname = \"mx.example.com\", address = \"dhcp\" }}\n\
             [[user-lookup]]\nname = \"m365\"\nmethod = \"entra-id\"\n\
             tenant = \"2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f\"\nclient = \"7a9c3b52-1111-4222-8333-444455556666\"\n\
             secret = \"s3cret~for.tests\"\nsecret-expires = \"{ends}\"\n\
             login-host = \"{HOST}:{port}\"\ngraph-host = \"{HOST}:{port}\"\n\
             [[domain]]\nname = \"example.com\"\nrealm = \"base\"\nroute = [\"mail.example.net\"]\nmapping = \"m365\"\n{}",
            if trusted { roots.as_str() } else { "" }
        );
        let config = Config::parse("f", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let Method::EntraId(settings) = config.user_lookups[0].method.clone() else {
            panic!("another method")
        };
        let store = Store::open(Arc::new(MemoryDisk::new(48 << 20)), store::Limits::default()).unwrap();
        let (sender, watched) = watch::channel(Arc::new(config));
        let appliance = Appliance::new(store, watched, Clock::system());
        World { entra: Some(entra), appliance, settings, _config: sender }
    }

    fn tenant(&self) -> std::sync::MutexGuard<'_, Tenant> {
        self.entra.as_ref().unwrap().tenant()
    }

    async fn start(&self) -> Graph {
        let transport = Arc::new(Loopback);
        let settings = Settings { servers: vec!["127.0.0.1:53".parse().unwrap()], ..Settings::default() };
        let resolver = Resolver::new(transport.clone(), settings);
        let name = "m365".parse().unwrap();
        Graph::start(self.appliance.clone(), transport, resolver, name, self.settings.clone()).await.unwrap()
    }

    async fn has_alarm(&self, part: &str) -> bool {
        until(|| self.appliance.alarms.lines().iter().any(|line| line.contains(part))).await
    }
}

async fn until(done: impl Fn() -> bool) -> bool {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.is_ok()
}

fn is_read(graph: &Graph) -> bool {
    graph.status().collections.iter().all(|(_, _, at)| at.is_some())
}

async fn lookup(graph: &Graph, address: &str) -> LookupAnswer {
    graph.lookup(&address.parse().unwrap()).await
}

async fn stream(graph: &Graph, address: &str) -> Option<String> {
    match lookup(graph, address).await {
        LookupAnswer::Stream { stream, .. } => Some(stream.into()),
        LookupAnswer::Unknown => None,
        LookupAnswer::Unavailable { why } => panic!("{why}"),
    }
}

#[tokio::test]
async fn the_copy_is_read_and_outlives_a_restart_and_the_tenants_silence() {
    let mut world = World::new("2099-01-01", true);
    let graph = world.start().await;
    assert!(until(|| is_read(&graph)).await, "{:?}", graph.status());
    assert_eq!(stream(&graph, "Alias7@Example.COM").await.as_deref(), Some("u7@example.com"));
    assert_eq!(stream(&graph, "nobody@example.com").await, None);
    drop(graph);
    world.entra = None;
    let graph = world.start().await;
    assert_eq!(stream(&graph, "u19@example.com").await.as_deref(), Some("u19@example.com"));
    assert!(until(|| graph.status().fault.is_some()).await);
    assert!(matches!(graph.status().fault, Some(Fault::Carrier(_))));
    assert_eq!(stream(&graph, "nobody@example.com").await, None, "the copy is fresh enough");
}

#[tokio::test]
async fn a_new_address_is_asked_for_directly() {
    let world = World::new("2099-01-01", true);
    let graph = world.start().await;
    assert!(until(|| is_read(&graph)).await);
    world.tenant().set(entra::Collection::Users, &id(77), user(77));
    assert_eq!(stream(&graph, "alias77@example.com").await.as_deref(), Some("u77@example.com"));
    let asked = world.tenant().asked.iter().filter(|asked| asked.contains("$filter")).count();
    assert_eq!(stream(&graph, "alias77@example.com").await.as_deref(), Some("u77@example.com"));
    assert_eq!(asked, 1, "the answer is remembered");
}

#[tokio::test]
async fn patience_a_second_token_and_a_new_beginning_need_nobody() {
    let world = World::new("2099-01-01", true);
    world.tenant().troubles.extend([Trouble::Busy(429, Some("1".into())), Trouble::Unauthorized]);
    let graph = world.start().await;
    assert!(until(|| is_read(&graph)).await, "{:?}", graph.status());
    assert_eq!(stream(&graph, "u3@example.com").await.as_deref(), Some("u3@example.com"));
    world.tenant().troubles.push_back(Trouble::Gone);
    world.tenant().set(entra::Collection::Users, &id(30), user(30));
    graph.read_now().await;
    let users = || graph.status().collections[0].1;
    assert!(until(|| users() == 21).await, "{:?}", graph.status());
    let beginnings =
        world.tenant().asked.iter().filter(|asked| asked.contains("/users/delta?$select")).count();
    // Put off, refused, and then read; and once more afresh.
    assert_eq!(beginnings, 4);
}

#[tokio::test]
async fn a_great_loss_is_an_alarm_until_it_is_confirmed() {
    let world = World::new("2099-01-01", true);
    let graph = world.start().await;
    assert!(until(|| is_read(&graph)).await);
    for n in 0..5 {
        world.tenant().remove(entra::Collection::Users, &id(n), Removed::Changed);
    }
    graph.read_now().await;
    assert!(world.has_alarm("10 of 40 addresses in example.com would be lost").await);
    assert_eq!(stream(&graph, "u0@example.com").await.as_deref(), Some("u0@example.com"));
    assert!(graph.confirm().await && !graph.confirm().await);
    assert_eq!(stream(&graph, "u0@example.com").await, None);
    assert!(until(|| world.appliance.alarms.lines().is_empty()).await);
}

#[tokio::test]
async fn what_the_administrator_must_do_is_an_alarm() {
    let world = World::new("2020-01-01", true);
    world.tenant().denied.insert(entra::Collection::Contacts);
    let graph = world.start().await;
    assert!(world.has_alarm("may not read contacts: grant it OrgContact.Read.All").await);
    assert!(world.has_alarm("secret or certificate ended on 2020-01-01").await);
    assert_eq!(graph.status().denied, [Collection::Contacts]);
    assert_eq!(stream(&graph, "u1@example.com").await.as_deref(), Some("u1@example.com"));
    assert!(matches!(lookup(&graph, "nobody@example.com").await, LookupAnswer::Unavailable { .. }));
}

#[tokio::test]
async fn a_stranger_is_told_nothing() {
    let world = World::new("2099-01-01", false);
    let graph = world.start().await;
    assert!(until(|| graph.status().fault.is_some()).await);
    let fault = graph.status().fault.unwrap().to_string();
    assert!(fault.starts_with("no TLS with graph.test"), "{fault}");
    assert!(world.tenant().asked.is_empty(), "no secret has left");
    assert!(matches!(lookup(&graph, "u1@example.com").await, LookupAnswer::Unavailable { .. }));
}
