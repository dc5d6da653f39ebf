//! Prints what the protocol costs by itself: the body scanner in octets a second, a message through both sessions
//! in microseconds. Run with `--release`; `--json FILE` writes the medians there.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use config_schema::name::DomainName;
use smtp::{
    Time,
    body_scanner::BodyScanner,
    client::{self, ClientConfig, Recipient, Transaction},
    envelope::{MailParameters, RcptParameters},
    server::{self, Answer, ServerConfig},
};

/// Each figure is the median of this many rounds; the spread is printed beside it.
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(300);

fn main() {
    let body = body(20_000);
    let rate = measure(|| scan(&body));
    let mut figures = vec![format!(r#""scanned_megabytes":{:.1}"#, rate.median * body.len() as f64 / 1e6)];
    println!(
        "body scanner, lines of 74 octets, pieces of 16 kB:  {}",
        rate.scaled(body.len() as f64 / 1e6, "MB/s")
    );
    for (label, pipelined) in [("BDAT", true), ("DATA", false)] {
        let mut pair = Pair::new(pipelined);
        let rate = measure(|| pair.message(&body));
        println!("message of 20 kB by {label}, both sessions:  {}", rate.scaled(1.0, "messages/s"));
        figures.push(format!(r#""messages_by_{label}":{:.1}"#, rate.median));
    }
    if let Some(file) = std::env::args_os().skip_while(|word| word != "--json").nth(1) {
        std::fs::write(file, format!("{{{}}}", figures.join(","))).expect("the file can be written");
    }
}

fn body(size: usize) -> Bytes {
    let line = format!("{}\r\n", "x".repeat(74));
    Bytes::from(line.repeat(size / line.len()))
}

fn scan(body: &Bytes) {
    let mut scanner = BodyScanner::data();
    for piece in body.chunks(16 * 1024) {
        let mut out = BytesMut::with_capacity(piece.len());
        black_box(scanner.feed(piece, &mut out)).expect("a clean body");
        black_box(out);
    }
}

struct Rate {
    median: f64,
    least: f64,
    most: f64,
}

impl Rate {
    fn scaled(&self, factor: f64, unit: &str) -> String {
        format!(
            "{:.0} {unit} ({:.0} to {:.0})",
            self.median * factor,
            self.least * factor,
            self.most * factor
        )
    }
}

fn measure(mut work: impl FnMut()) -> Rate {
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let mut count = 0;
            while start.elapsed() < ROUND {
                work();
                count += 1;
            }
            f64::from(count) / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    Rate { median: rates[ROUNDS / 2], least: rates[0], most: rates[ROUNDS - 1] }
}

/// Both sessions with a perfect link, renewed when the server has had enough of one connection.
struct Pair {
    chunking: bool,
    server: server::Session,
    client: client::Session,
    to_server: server::Actions,
    to_client: client::Actions,
    messages: u32,
}

impl Pair {
    fn new(chunking: bool) -> Self {
        let mut config = ServerConfig::new(DomainName::parse("mx.example.com").expect("a name"));
        config.extensions.chunking = chunking;
        let (mut to_server, mut to_client) = (server::Actions::new(), client::Actions::new());
        let server = server::Session::new(Arc::new(config), Time::default(), &mut to_server);
        let config = ClientConfig::new(DomainName::parse("out.example.org").expect("a name"));
        let client = client::Session::new(Arc::new(config), Time::default(), &mut to_client);
        let mut pair = Self { chunking, server, client, to_server, to_client, messages: 0 };
        pair.settle(&Bytes::new());
        pair
    }

    fn message(&mut self, body: &Bytes) {
        if self.messages == 100 {
            *self = Self::new(self.chunking);
        }
        let to = "<c@example.com>".parse().expect("a path");
        let transaction = Transaction {
            from: "<a@b.example>".parse().expect("a path"),
            parameters: MailParameters::default(),
            recipients: vec![Recipient { to, parameters: RcptParameters::default() }],
        };
        self.client.handle(Time::default(), client::Input::Deliver(transaction), &mut self.to_client);
        self.settle(body);
        self.messages += 1;
    }

    fn settle(&mut self, body: &Bytes) {
        let now = Time::default();
        loop {
            if let Some(action) = self.to_server.pop() {
                match action {
                    server::Action::Write(octets) => {
                        self.client.handle(now, client::Input::Bytes(&octets), &mut self.to_client);
                    }
                    server::Action::Ask(_) => {
                        self.server.handle(now, server::Input::Answer(Answer::Accept), &mut self.to_server);
                    }
                    server::Action::Body(octets) => drop(black_box(octets)),
                    _ => {}
                }
            } else if let Some(action) = self.to_client.pop() {
                match action {
                    client::Action::Write(octets) => {
                        self.server.handle(now, server::Input::Bytes(&octets), &mut self.to_server);
                    }
                    client::Action::WantBody => {
                        let input = client::Input::Body { chunk: body.clone(), last: true };
                        self.client.handle(now, input, &mut self.to_client);
                    }
                    client::Action::Done(outcome) => drop(outcome.result.expect("delivered")),
                    _ => {}
                }
            } else {
                return;
            }
        }
    }
}
