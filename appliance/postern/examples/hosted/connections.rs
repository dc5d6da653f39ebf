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
    let mut figures: Vec<Value> = Vec::new();
    let mut least_open = None;
    for open in OPEN {
        clients.open(&lab, open, false);
        let (mut costs, mut rates) = (vec![Vec::new(); roles.len()], Vec::new());
        for _ in 0..ROUNDS {
            let before: Vec<f64> = roles.iter().map(|role| processor_seconds(*role)).collect();
            let taken = round(&lab, &sink, &GUEST.to_string(), BUSY, MESSAGES);
            for ((role, before), costs) in roles.iter().zip(before).zip(&mut costs) {
                costs.push((processor_seconds(*role) - before) * 1e6 / f64::from(MESSAGES));
            }
            rates.push(f64::from(MESSAGES) / taken.delivered.as_secs_f64());
        }
        let by_process: Vec<f64> = costs.into_iter().map(median).collect();
        let (cost, rate) = (by_process.iter().sum::<f64>(), median(rates));
        let more = (cost / *least_open.get_or_insert(cost) - 1.0) * 100.0;
        println!(
            "{open:6} open: {cost:6.0} µs of processor time each ({more:+.1} %; by process: {by_process:.0?}), \
             {rate:6.0} messages/s"
        );
        figures.push(json!({ "open": open, "microseconds": cost, "by_process": by_process, "rate": rate }));
    }
    Value::Array(figures)
}
