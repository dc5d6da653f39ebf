//! Messages a second that are accepted durably and delivered, beside Postfix in the same run.

use serde_json::{Value, json};

use crate::{
    configuration,
    lab::{GUEST, HOST, Lab},
    load::{Round, SINK, Sink, round},
    median,
    postfix::Postfix,
};

const CONNECTIONS: [u32; 2] = [20, 1_000];
const MESSAGES: u32 = 2_000;
const ROUNDS: usize = 3;
const POSTFIX: u16 = 2700;

pub(crate) fn run() -> Value {
    let lab = Lab::new();
    let sink = Sink::start(&lab);
    let appliance = lab.start(&configuration());
    println!("messages of 20 kB a second, median of {ROUNDS} (least to most); target: 10 times Postfix");
    let ours = rates(&lab, &sink, "Postern", &GUEST.to_string());
    assert!(appliance.stop().success());
    // All load comes from one address here too.
    let postfix = Postfix::start(
        &lab,
        POSTFIX,
        &format!(
            "relayhost = [{HOST}]:{SINK}\n\
             smtpd_client_connection_count_limit = 0\n\
             smtpd_client_connection_rate_limit = 0"
        ),
    );
    let theirs = rates(&lab, &sink, "Postfix", &format!("{HOST}:{POSTFIX}"));
    postfix.wait_until_empty();
    let mut figures = Vec::new();
    for ((connections, ours), theirs) in CONNECTIONS.into_iter().zip(ours).zip(theirs) {
        let ratio = ours.delivered / theirs.delivered;
        println!("{connections:5} connections: accepted and delivered {ratio:.1} times as fast as Postfix");
        let postern = json!({ "accepted": ours.accepted, "delivered": ours.delivered });
        let postfix = json!({ "accepted": theirs.accepted, "delivered": theirs.delivered });
        figures.push(
            json!({ "connections": connections, "postern": postern, "postfix": postfix, "ratio": ratio }),
        );
    }
    Value::Array(figures)
}

/// Messages a second: accepted, and accepted and delivered.
struct Rates {
    accepted: f64,
    delivered: f64,
}

/// For each number of connections.
fn rates(lab: &Lab, sink: &Sink, name: &str, server: &str) -> Vec<Rates> {
    let one = |connections| {
        let rounds: Vec<Round> =
            (0..ROUNDS).map(|_| round(lab, sink, server, connections, MESSAGES)).collect();
        let rates = |time: fn(&Round) -> f64| -> Vec<f64> {
            rounds.iter().map(|round| f64::from(MESSAGES) / time(round)).collect()
        };
        let accepted = median(rates(|round| round.accepted.as_secs_f64()));
        let all = rates(|round| round.delivered.as_secs_f64());
        let (least, most) =
            (all.iter().copied().fold(f64::MAX, f64::min), all.iter().copied().fold(0.0, f64::max));
        let delivered = median(all);
        println!(
            "{connections:5} connections: {name} accepts {accepted:5.0}, and delivers {delivered:5.0} ({least:.0} to {most:.0})"
        );
        Rates { accepted, delivered }
    };
    CONNECTIONS.into_iter().map(one).collect()
}
