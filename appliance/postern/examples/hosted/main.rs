//! Measures the hosted appliance from outside: `hosted mail|connections|idle [--json FILE]`.
//!
//! `POSTERN_EXECUTABLE` names the executable that is measured. Needs root, since it makes a network namespace, and
//! Postfix, which is the load generator, the sink and the peer.
#![allow(clippy::unwrap_used, reason = "a program for measuring")]

mod connections;
mod idle;
#[path = "../../tests/hosted/lab.rs"]
mod lab;
mod load;
mod mail;
#[path = "../../tests/hosted/postfix.rs"]
mod postfix;
mod processes;

use std::{fs, path::PathBuf};

use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[derive(Debug, Parser)]
struct CommandLine {
    what: What,
    /// Write the figures here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Messages a second accepted durably and delivered, beside Postfix.
    Mail,
    /// What a message costs while other connections are open.
    Connections,
    /// What an idle connection costs.
    Idle,
}

fn main() {
    let command_line = CommandLine::parse();
    // This process holds the clients' ends, and what it starts inherits the limit.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let figures = match command_line.what {
        What::Mail => mail::run(),
        What::Connections => connections::run(),
        What::Idle => idle::run(),
    };
    if let Some(file) = command_line.json {
        fs::write(file, figures.to_string()).unwrap();
    }
}

/// Our configuration: the limits by source are lifted, since all load comes from one address; Postfix's defaults for
/// the connections to a next hop.
fn configuration() -> String {
    let host = lab::HOST;
    format!(
        r#"version = 1
[network]
hostname = "mx.example.com"
address = ["10.77.0.2/24"]
gateway = ["{host}"]
dns = ["{host}"]
[limits]
connections = 60000
connections-per-address = 60000
connections-per-network = 60000
new-connections-per-minute = 1000000
tls-handshakes-per-second = 10000
[delivery]
connections-per-destination = 20
[[realm]]
name = "example"
[[domain]]
name = "example.com"
realm = "example"
route = ["[{host}]:{}"]
"#,
        load::SINK
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
