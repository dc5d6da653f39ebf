//! What the network can do: in memory, and over a TAP device beside the host's own TCP at the same place.
//!
//! `cargo postern bench net`, or `cargo run --release -p net --example bench`. The second part needs root,
//! `unshare` and `ip`.

mod memory;
mod wire;

use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// Figures by name, as they are printed.
#[derive(Debug, Default)]
struct Figures(Map<String, Value>);

impl Figures {
    fn say(&mut self, name: &str, value: f64, unit: &str) {
        let shown = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        println!("  {name}: {shown} {unit}");
        self.0.insert(format!("{name} ({unit})"), value.into());
    }

    /// Ours beside the host's, and the ratio.
    fn beside(&mut self, name: &str, ours: f64, linux: f64, unit: &str) {
        self.say(&format!("{name}, ours"), ours, unit);
        self.say(&format!("{name}, Linux"), linux, unit);
        self.say(&format!("{name}, ratio"), ours / linux, "of Linux");
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [wire::LINUX_END] => return wire::linux_end(),
        [wire::INSIDE, file] => {
            let mut figures = Figures::default();
            wire::run(&mut figures)?;
            return std::fs::write(file, Value::Object(figures.0).to_string());
        }
        _ => {}
    }
    let json = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--json", file] => Some(PathBuf::from(file)),
        _ => return Err(io::Error::other("usage: bench [--json FILE]")),
    };
    let mut figures = Figures::default();
    memory::run(&mut figures)?;
    figures.0.extend(wire::in_namespace()?);
    match json {
        Some(file) => std::fs::write(file, Value::Object(figures.0).to_string()),
        None => Ok(()),
    }
}
