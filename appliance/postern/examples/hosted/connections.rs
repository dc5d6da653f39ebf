//! What a message costs while 10, 1,000 and 10,000 connections are open.

use serde_json::{Value, json};

use crate::{
    configuration,
    idle::Clients,
    lab::{GUEST, Lab},
    load::{Sink, round},
    median,
    processes::{self, processor_seconds},
};

const OPEN: [usize; 3] = [10, 1_000, 10_000];
/// The connections that carry the load.
const BUSY: u32 = 20;
const MESSAGES: u32 = 2_000;
const ROUNDS: usize = 3;

pub(crate) fn run() -> Value {
    let lab = Lab::new();
    let sink = Sink::start(&lab);
    let appliance = lab.start(&configuration());
    let roles = processes::below(appliance.child.id());
    let mut clients = Clients::default();
    println!("a message of 20 kB, accepted and delivered, median of {ROUNDS}; target: within 10 %");
    // What the first messages touch is not counted.
    round(&lab, &sink, &GUEST.to_string(), BUSY, MESSAGES);
    let mut figures: Vec<(usize, f64, f64)> = Vec::new();
    for open in OPEN {
        clients.open(&lab, open, false);
        let (mut costs, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = processor_seconds(&roles);
            let taken = round(&lab, &sink, &GUEST.to_string(), BUSY, MESSAGES);
            costs.push((processor_seconds(&roles) - before) * 1e6 / f64::from(MESSAGES));
            rates.push(f64::from(MESSAGES) / taken.delivered.as_secs_f64());
        }
        let (cost, rate) = (median(costs), median(rates));
        let first = figures.first().map_or(cost, |(_, first, _)| *first);
        println!(
            "{open:6} open: {cost:6.0} µs of processor time each ({:+.1} %), {rate:6.0} messages/s",
            (cost / first - 1.0) * 100.0
        );
        figures.push((open, cost, rate));
    }
    let one =
        |(open, cost, rate): (usize, f64, f64)| json!({ "open": open, "microseconds": cost, "rate": rate });
    figures.into_iter().map(one).collect()
}
