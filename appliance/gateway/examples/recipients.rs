//! Prints what a decision on a recipient costs, in each way that it may be made: `recipients [--json FILE]`.
//!
//! The directory's tenant is a double on the loopback interface, and the clients of the listener are here too: both
//! share this machine's processors with what is measured.
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

#[path = "recipients/clients.rs"]
mod clients;
#[path = "../tests/directory/loopback.rs"]
mod loopback;
#[path = "recipients/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use directory::decision::Outcome;
use directory::verification::{Settings, Verification};
use serde_json::{Value, json};
use smtp::address::Address;

use world::{AS_IS, BESIDE, COPIED, Kept, REMEMBERED, World};

/// Addresses of each kind.
const ADDRESSES: usize = 200_000;
/// Addresses that are asked after while others are forgotten.
const OTHERS: usize = 1_000;
/// Decisions at a time when it is measured how many a second there are.
const AT_ONCE: usize = 16;
/// A pause between decisions while something else goes on, so that they measure it instead of crowding it out.
const BETWEEN: Duration = Duration::from_micros(200);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let kept = Kept::new();
    let memory = memory(&kept);
    let world = World::start(&kept).await;
    let decisions = json!({
        "remembered": decisions(&world, "remembered verification answers", &addresses(REMEMBERED)).await,
        "copy": decisions(&world, "a directory's copy", &addresses(COPIED)).await,
        "as_is": decisions(&world, "as-is mapping alone", &addresses(AS_IS)).await,
    });
    let mut answers = serde_json::Map::new();
    for (name, domain) in [("remembered", REMEMBERED), ("copy", COPIED), ("as_is", AS_IS)] {
        let per_second = clients::answers(&world.listener, &addresses(domain)).await;
        println!("RCPT answers of the listener, {name}: {per_second:.0}/s");
        answers.insert(name.to_owned(), per_second.into());
    }
    let read = while_read(&world).await;
    let forgotten = while_forgotten(&world).await;
    let figures = json!({
        "addresses": ADDRESSES,
        "memory": memory,
        "decisions": decisions,
        "listener_answers_per_second": answers,
        "while_read_again": read,
        "while_forgotten": forgotten,
    });
    world.stop().await;
    let mut arguments = std::env::args().skip_while(|argument| argument != "--json").skip(1);
    if let Some(file) = arguments.next() {
        std::fs::write(file, format!("{figures}\n")).unwrap();
    }
}

/// All of a domain's, in an order that is no order.
fn addresses(domain: &str) -> Vec<Address> {
    let count = if domain == BESIDE { OTHERS } else { ADDRESSES };
    (0..count).map(|n| Address::parse(&world::address((n * 7_919) % count, domain)).unwrap()).collect()
}

/// What the memory of verification answers takes beyond the addresses' text.
fn memory(kept: &Kept) -> Value {
    let (before, started) = (resident(), Instant::now());
    let machine = Verification::new(Settings { remembered: kept.remembered(), ..Settings::default() });
    let mut text = 0;
    for n in 0..ADDRESSES {
        let key = world::address(n, REMEMBERED);
        text += key.len() as u64;
        assert!(machine.memory().load(&key, kept.value(), kept.epoch()));
    }
    let (all, loaded) = (resident() - before, started.elapsed());
    assert_eq!(machine.memory().len(), ADDRESSES);
    let each = all.saturating_sub(text) as f64 / ADDRESSES as f64;
    println!("{ADDRESSES} remembered addresses, loaded in {:.2} s", loaded.as_secs_f64());
    println!("their memory: {all} bytes, {each:.1} an address beyond its text (target: 100)");
    json!({ "bytes": all, "text": text, "beyond_text_per_address": each, "load_seconds": loaded.as_secs_f64() })
}

/// One decision after the other, then many at a time.
async fn decisions(world: &World, what: &str, addresses: &[Address]) -> Value {
    let mut times = Vec::with_capacity(addresses.len());
    let started = Instant::now();
    for address in addresses {
        let began = Instant::now();
        accepted(world, address).await;
        times.push(began.elapsed());
    }
    let one = addresses.len() as f64 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    let tasks: Vec<_> = addresses
        .chunks(addresses.len().div_ceil(AT_ONCE))
        .map(|part| {
            let (world, part) = (world.clone(), part.to_vec());
            tokio::spawn(async move {
                for address in &part {
                    accepted(&world, address).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let many = addresses.len() as f64 / started.elapsed().as_secs_f64();
    let (median, late) = (micros(&mut times, 50), micros(&mut times, 99));
    println!("decisions by {what}: {many:.0}/s; one by one {one:.0}/s, p50 {median:.1} µs, p99 {late:.1} µs");
    json!({ "per_second": many, "one_by_one_per_second": one, "p50_micros": median, "p99_micros": late })
}

async fn accepted(world: &World, address: &Address) {
    let client = Some("192.0.2.7".parse().unwrap());
    let verdict = world.directory.decide(&world.config, client, address).await.unwrap();
    assert!(matches!(verdict.outcome, Outcome::Accept { .. }), "{verdict:?}");
}

/// Decisions while the whole tenant is read and kept again.
async fn while_read(world: &World) -> Value {
    world.age();
    let sync = world.directory.clone();
    let read = async move { drop(sync.sync_lookup(&world::lookup()).await.unwrap()) };
    meanwhile(world, "the directory is read again", read, &[COPIED, REMEMBERED]).await
}

/// Decisions while a domain's remembered answers are taken out of the memory and off the disk.
async fn while_forgotten(world: &World) -> Value {
    let (directory, store) = (world.directory.clone(), world.store());
    let forget = async move {
        assert_eq!(directory.forget(Some(&format!("@{REMEMBERED}"))), ADDRESSES);
        while store.records(store::RecordKind::Verification).count() > OTHERS {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    meanwhile(world, "remembered answers are forgotten", forget, &[BESIDE]).await
}

async fn meanwhile(
    world: &World,
    what: &str,
    work: impl Future<Output = ()> + Send + 'static,
    domains: &[&str],
) -> Value {
    let over = Arc::new(AtomicBool::new(false));
    let (ended, started) = (over.clone(), Instant::now());
    let work = tokio::spawn(async move {
        work.await;
        ended.store(true, Ordering::Relaxed);
    });
    let addresses: Vec<Vec<Address>> = domains.iter().map(|domain| addresses(domain)).collect();
    let mut times = vec![Vec::new(); domains.len()];
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        for (times, addresses) in times.iter_mut().zip(&addresses) {
            let began = Instant::now();
            accepted(world, &addresses[turn % addresses.len()]).await;
            times.push(began.elapsed());
        }
        turn += 1;
        tokio::time::sleep(BETWEEN).await;
    }
    work.await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let mut figures = serde_json::Map::from_iter([("seconds".to_owned(), seconds.into())]);
    for (domain, times) in domains.iter().zip(&mut times) {
        let (median, late, latest) = (micros(times, 50), micros(times, 99), micros(times, 100));
        println!(
            "while {what} ({seconds:.1} s), {domain}: p50 {median:.1} µs, p99 {late:.1} µs, most {latest:.0} µs"
        );
        let figure = json!({
            "decisions": times.len(), "p50_micros": median, "p99_micros": late, "most_micros": latest,
        });
        figures.insert((*domain).to_owned(), figure);
    }
    figures.into()
}

/// Microseconds that so many of a hundred do not exceed.
fn micros(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
