use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::build::{Results, build_image};
use crate::exchange::{Exchange, Received, Recipients, Tenant};
use crate::machine::{Boot, Forward, Guest, MEMORY, Machine};
use crate::workspace::{Scratch, Workspace};
use crate::{Doing, Error, Result, debian, disk};

#[derive(Debug, Args)]
pub struct Run {
    /// Give this configuration on a seed volume.
    #[arg(long, value_name = "FILE", conflicts_with = "blank")]
    config: Option<PathBuf>,
    /// A first boot without a configuration.
    #[arg(long)]
    blank: bool,
    /// Keep the data in this disk image; made if absent.
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Boot the disk by UEFI firmware instead of handing the boot file to QEMU.
    #[arg(long)]
    uefi: bool,
}

impl Run {
    pub(super) fn execute(self, workspace: &Workspace) -> Result<()> {
        let scratch = Scratch::new("run")?;
        let seed = Seed::chosen(&self, workspace)?;
        debian::install(debian::QEMU)?;
        let results = build_image(workspace)?;
        let machine = self.machine(&results, &seed, scratch.path())?;
        let next_hop = match seed {
            Seed::Demonstration(_) => Some(next_hop()?),
            Seed::Given(_) | Seed::Blank => None,
        };
        let (sender, events) = mpsc::channel();
        // Before the guest starts: from here on Ctrl-C asks it to stop.
        watch_signals(sender.clone())?;
        let guest = Guest::start(&machine, Some(Box::new(io::stdout())))?;
        watch(&guest, sender, next_hop)?;
        Running { guest, events, seed }.until_it_ends()
    }

    fn machine(&self, results: &Results, seed: &Seed, scratch: &Path) -> Result<Machine> {
        let disk = self.disk.clone().unwrap_or_else(|| scratch.join("disk.img"));
        if !disk.exists() {
            disk::copy_grown(&results.image, &disk, DISK_SIZE)?;
        } else if self.uefi {
            disk::renew_system(&results.image, &disk)?;
        }
        let volume = match seed {
            Seed::Blank => None,
            Seed::Given(text) | Seed::Demonstration(text) => {
                let volume = scratch.join("seed.img");
                disk::volume::seed(text, &volume)?;
                Some(volume)
            }
        };
        Ok(Machine {
            boot: if self.uefi { Boot::Uefi } else { Boot::Kernel(results.efi.clone()) },
            disk,
            seed: volume,
            forwards: vec![SMTP, HTTPS],
            memory: MEMORY,
            reboots: true,
            clock_ahead: Duration::ZERO,
        })
    }
}

/// The configuration that the guest finds.
enum Seed {
    Demonstration(String),
    Given(String),
    Blank,
}

impl Seed {
    fn chosen(run: &Run, workspace: &Workspace) -> Result<Self> {
        let read = |path: &Path| fs::read_to_string(path).doing(|| format!("read {}", path.display()));
        match &run.config {
            Some(path) => Ok(Seed::Given(read(path)?)),
            None if run.blank => Ok(Seed::Blank),
            None => Ok(Seed::Demonstration(read(&workspace.root.join("image/demonstration.toml"))?)),
        }
    }

    fn recipient(&self) -> &'static str {
        match self {
            Seed::Demonstration(_) => KNOWN[0],
            Seed::Given(_) | Seed::Blank => "SOMEBODY@YOUR-DOMAIN",
        }
    }
}

enum Event {
    Stop,
    Ready(String),
    Message(Box<Received>),
    Ended,
}

struct Running {
    guest: Guest,
    events: Receiver<Event>,
    seed: Seed,
}

impl Running {
    fn until_it_ends(mut self) -> Result<()> {
        let mut stopping = false;
        // The thread of the guest's end sends last, so the channel does not close before.
        while let Ok(event) = self.events.recv() {
            match event {
                Event::Ready(greeting) => self.say_ready(&greeting),
                Event::Message(message) => show(&message),
                Event::Stop if stopping => {
                    return Err(Error::Usage("stopped at once: the plug was pulled".into()));
                }
                Event::Stop => {
                    stopping = true;
                    println!("\nPressing the power button; Ctrl-C again pulls the plug.");
                    self.guest.press_power_button()?;
                }
                Event::Ended => {
                    println!("\nThe guest has ended.");
                    let status = self.guest.wait_for_end(END_MAX)?;
                    return if status.success() {
                        Ok(())
                    } else {
                        Err(Error::Usage(format!("QEMU ended with {status}")))
                    };
                }
            }
        }
        Ok(())
    }

    fn say_ready(&self, greeting: &str) {
        let (recipient, smtp, https) = (self.seed.recipient(), SMTP.host, HTTPS.host);
        println!("\nIt greets on 127.0.0.1:{smtp}: {greeting}\nTry:\n");
        println!(
            "  swaks --server 127.0.0.1:{smtp} --from you@example.org --to {recipient} \
             --header 'Subject: Hello' --body 'Through the image.'\n"
        );
        println!("Port 443 is on 127.0.0.1:{https}. Ctrl-C stops it.\n");
    }
}

/// Prints a message that the next hop received.
fn show(message: &Received) {
    let tls = if message.tls { "over TLS" } else { "without TLS" };
    let mut text = format!(
        "\n--- The next hop received, {tls}, from <{}> for <{}>, {} bytes:\n",
        message.sender,
        message.recipients.join(">, <"),
        message.message.len()
    );
    let content = String::from_utf8_lossy(&message.message);
    for line in content.lines().take(SHOWN_LINES) {
        // A message may hold escape sequences; the terminal is not its to command.
        let line: String =
            line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        text.push_str(&format!("    {line}\n"));
    }
    if content.lines().nth(SHOWN_LINES).is_some() {
        text.push_str("    …\n");
    }
    // A closed standard output is no reason to stop the guest.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn next_hop() -> Result<Exchange> {
    let recipients = Recipients::Listed(KNOWN.iter().map(|address| (*address).to_owned()).collect());
    let tenant = Tenant { domains: vec!["example.com".into()], recipients };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, NEXT_HOP_PORT));
    let next_hop = Exchange::listen(address, tenant)?;
    println!("The next hop listens on {address} and knows {}.", KNOWN.join(", "));
    Ok(next_hop)
}

fn watch_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).doing(|| "watch for Ctrl-C")?;
    thread::spawn(move || signals.forever().try_for_each(|_| events.send(Event::Stop)));
    Ok(())
}

/// A thread for each thing that may happen. They end with this process.
fn watch(guest: &Guest, events: Sender<Event>, next_hop: Option<Exchange>) -> Result<()> {
    let mut keyboard = guest.keyboard()?;
    thread::spawn(move || io::copy(&mut io::stdin(), &mut keyboard));
    let console = guest.console().clone();
    let (ended, smtp) = (events.clone(), guest.port(SMTP.guest)?);
    let waiting = console.clone();
    thread::spawn(move || {
        waiting.wait_for_end(FOREVER);
        ended.send(Event::Ended)
    });
    if let Some(next_hop) = next_hop {
        let messages = events.clone();
        thread::spawn(move || {
            loop {
                if let Some(message) = next_hop.received(FOREVER)
                    && messages.send(Event::Message(Box::new(message))).is_err()
                {
                    return;
                }
            }
        });
    }
    thread::spawn(move || match console.wait_for_banner(smtp, FOREVER) {
        Some(greeting) => events.send(Event::Ready(greeting)),
        None => Ok(()),
    });
    Ok(())
}

const SMTP: Forward = Forward { host: 2525, guest: 25 };
const HTTPS: Forward = Forward { host: 8443, guest: 443 };

/// Named in `demonstration.toml` as well.
const NEXT_HOP_PORT: u16 = 2526;
/// Whom the demonstration's next hop knows.
const KNOWN: &[&str] = &["alice@example.com", "bob@example.com", "postmaster@example.com"];

/// The disk that a run makes: sparse, so that it takes what is written to it.
const DISK_SIZE: u64 = 1 << 30;
/// QEMU's console is closed by now; what is left is its own end.
const END_MAX: Duration = Duration::from_secs(10);
/// Longer than anybody watches: a day.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);
/// How much of a message is printed.
const SHOWN_LINES: usize = 60;

#[cfg(test)]
mod tests {
    use config_schema::Config;

    use super::*;

    #[test]
    fn the_demonstration_is_valid_and_names_the_next_hop_s_port() {
        let path = Workspace::of_this_clone().unwrap().root.join("image/demonstration.toml");
        let text = fs::read_to_string(path).unwrap();
        Config::parse("demonstration.toml", &text).unwrap();
        assert!(text.contains(&format!("route = [\"[10.0.2.2]:{NEXT_HOP_PORT}\"]")));
    }
}
