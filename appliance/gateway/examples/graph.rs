//! Prints how long readings of a large tenant take, what its copy costs, and how long look-ups wait while everything
//! is read once more: `graph [USERS] [--json FILE]`.
//!
//! The tenant is a double on the loopback interface, in this process; memory is measured once it is filled.
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

#[path = "../tests/directory/loopback.rs"]
mod loopback;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config_schema::{Config, Method};
use directory::answer::LookupAnswer;
use gateway::appliance::Appliance;
use gateway::clock::Clock;
use gateway::directory::graph::Graph;
use gateway::dns::{Resolver, Settings};
use image::entra::{Entra, Trouble};
use store::{FileDisk, Store};
use tokio::sync::watch;

use loopback::Loopback;

const HOST: &str = "graph.test";
/// Objects of a page, as Graph gives them.
const PAGE: usize = 200;
const GIB: u64 = 1 << 30;
/// Look-ups that are timed.
const LOOKUPS: usize = 100_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (users, json) = arguments();
    let entra = Entra::listen(HOST, |tenant| {
        tenant.page_size = PAGE;
        (tenant.empty_first, tenant.repeat) = (false, false);
        tenant.populate(users, "example.com");
    })
    .unwrap();
    let path = std::env::temp_dir().join(format!("postern-graph-{}", std::process::id()));
    let store =
        Store::open(Arc::new(FileDisk::open(&path, 4 * GIB).unwrap()), store::Limits::default()).unwrap();
    let config = Config::parse("graph.toml", &configuration(&entra)).unwrap();
    let Method::EntraId(settings) = config.user_lookups[0].method.clone() else { panic!("another method") };
    let (_sender, watched) = watch::channel(Arc::new(config));
    let appliance = Appliance::new(store.clone(), watched, Clock::system());
    let transport = Arc::new(Loopback);
    let servers = Settings { servers: vec!["127.0.0.1:53".parse().unwrap()], ..Settings::default() };
    let resolver = Resolver::new(transport.clone(), servers);

    let (before, started) = (resident(), Instant::now());
    let name = "m365".parse().unwrap();
    let graph = Graph::start(appliance, transport, resolver, name, settings).await.unwrap();
    let mut most = before;
    while graph.status().collections.iter().any(|(_, _, at)| at.is_none()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        most = most.max(resident());
    }
    let seconds = started.elapsed().as_secs_f64();
    let held = resident().saturating_sub(before);
    let micros = look_up(&graph, users).await;
    let Again { seconds: again, most: most_again, waits } = read_again(&entra, &graph, users).await;
    let most_again = most_again.saturating_sub(before);
    drop(graph);
    store.close();
    std::fs::remove_file(&path).unwrap();

    let most = most.saturating_sub(before);
    println!("{users} users, pages of {PAGE}");
    println!("first reading:       {seconds:.1} s ({:.0} users/s)", users as f64 / seconds);
    println!("memory of the copy:  {} MiB, at most {} MiB while reading", held >> 20, most >> 20);
    println!("one look-up:         {micros:.1} µs");
    println!("read once more:      {again:.1} s, at most {} MiB", most_again >> 20);
    let [half, p99, longest] = [waits.len() / 2, waits.len() * 99 / 100, waits.len() - 1].map(|at| waits[at]);
    println!(
        "look-ups meanwhile:  {}, half within {half:.0} µs, 99 % within {p99:.0} µs, the longest {longest:.0} µs",
        waits.len()
    );
    if let Some(file) = json {
        let figures = serde_json::json!({
            "users": users, "seconds": seconds, "copy_bytes": held, "most_bytes": most, "lookup_micros": micros,
            "again_seconds": again, "again_most_bytes": most_again,
            "meanwhile_p99_micros": p99, "meanwhile_longest_micros": longest,
        });
        std::fs::write(file, format!("{figures}\n")).unwrap();
    }
}

/// How many users, and where the figures go.
fn arguments() -> (usize, Option<String>) {
    let (mut users, mut json) = (200_000, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = arguments.next(),
            number => users = number.parse().expect("a number of users"),
        }
    }
    (users, json)
}

/// Microseconds of one look-up of an address that is there.
async fn look_up(graph: &Graph, users: usize) -> f64 {
    let started = Instant::now();
    for n in 0..LOOKUPS {
        let address = format!("u{}@example.com", (n * 7_919) % users).parse().unwrap();
        assert!(matches!(graph.lookup(&address).await, LookupAnswer::Stream { .. }));
    }
    started.elapsed().as_secs_f64() * 1e6 / LOOKUPS as f64
}

/// What a second reading of everything came to.
struct Again {
    seconds: f64,
    most: u64,
    /// How long each look-up meanwhile took, in microseconds, sorted.
    waits: Vec<f64>,
}

/// Has everything read afresh, and looks up addresses until it is in use.
async fn read_again(entra: &Entra, graph: &Graph, users: usize) -> Again {
    // The link for what has changed is too old, and so the copy is read beside the one in use.
    entra.tenant().troubles.push_back(Trouble::Gone);
    let beginnings = |entra: &Entra| {
        entra.tenant().asked.iter().filter(|asked| asked.contains("/users/delta?$select")).count()
    };
    let (before, started) = (beginnings(entra), Instant::now());
    // Its clock has whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let read_at = |graph: &Graph| graph.status().collections[0].2;
    let first = read_at(graph);
    graph.read_now().await;
    let (mut waits, mut most, mut n) = (Vec::new(), 0, 0);
    while read_at(graph) == first || beginnings(entra) == before {
        let address = format!("u{}@example.com", (n * 7_919) % users).parse().unwrap();
        let asked = Instant::now();
        assert!(matches!(graph.lookup(&address).await, LookupAnswer::Stream { .. }));
        waits.push(asked.elapsed().as_secs_f64() * 1e6);
        n += 1;
        if n % 100 == 0 {
            most = most.max(resident());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    waits.sort_by(f64::total_cmp);
    Again { seconds: started.elapsed().as_secs_f64() - 1.1, most, waits }
}

fn configuration(entra: &Entra) -> String {
    let (root, port) = (STANDARD.encode(entra.root()), entra.address().port());
    format!(
        "version = 1\nnetwork = {{ hostname = \"mx.example.com\", address = \"dhcp\" }}\n\
         [[user-lookup]]\nname = \"m365\"\nmethod = \"entra-id\"\n\
         tenant = \"2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f\"\nclient = \"7a9c3b52-1111-4222-8333-444455556666\"\n\
         secret = \"s3cret~for.tests\"\nsecret-expires = \"2099-01-01\"\n\
         login-host = \"{HOST}:{port}\"\ngraph-host = \"{HOST}:{port}\"\n\
         [[domain]]\nname = \"example.com\"\nrealm = \"base\"\nroute = [\"mail.example.net\"]\nmapping = \"m365\"\n\
         [tls]\nroots = [\"-----BEGIN CERTIFICATE-----\\n{root}\\n-----END CERTIFICATE-----\"]\n"
    )
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
