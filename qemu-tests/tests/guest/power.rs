//! The power button, and power cuts: what was acknowledged arrives.

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use image::machine::Guest;
use libtest_mimic::Failed;
use qemu_tests::{DELIVERY_MAX, LATER, POWER_OFF_MAX, SMTP, Sender, Site, Start};

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("power::button_switches_off", button_switches_off),
    ("power::queued_mail_is_kept_over_a_reboot", queued_mail_is_kept_over_a_reboot),
    ("power::cuts_lose_no_acknowledged_message", cuts_lose_no_acknowledged_message),
];

fn button_switches_off() -> Result<(), Failed> {
    let site = Site::new("mx.example.com")?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    switch_off(guest)
}

fn switch_off(mut guest: Guest) -> Result<(), Failed> {
    guest.press_power_button()?;
    let status = guest.wait_for_end(POWER_OFF_MAX)?;
    // The kernel says so last; a panic or a reset would end QEMU as well.
    let console = guest.console().text();
    if status.success() && console.contains("Power down") {
        return Ok(());
    }
    Err(format!("QEMU ended with {status}, the console with:\n{console}").into())
}

fn queued_mail_is_kept_over_a_reboot() -> Result<(), Failed> {
    let mut site = Site::new("mx.example.com")?;
    site.close_next_hop();
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    Sender::connect(guest.port(SMTP)?)?.send("kept", "body")?;
    switch_off(guest)?;
    site.reopen_next_hop()?;
    let (_guest, _) = site.boot_to_greeting(Start::Kernel, LATER)?;
    let received = site.received(DELIVERY_MAX).ok_or("the message did not arrive after the reboot")?;
    match received.header("Subject").as_deref() {
        Some("kept") => Ok(()),
        other => Err(format!("another message arrived: {other:?}").into()),
    }
}

fn cuts_lose_no_acknowledged_message() -> Result<(), Failed> {
    let cuts = cuts()?;
    let site = Site::new("mx.example.com")?;
    // How often each acknowledged message came.
    let mut acknowledged = BTreeMap::new();
    let mut moments = Vec::new();
    for cut in 0..cuts {
        let (guest, _) = site.boot_to_greeting(Start::Kernel, LATER * cut)?;
        let moment = random_moment();
        moments.push(moment.as_millis());
        let subjects = load_until_cut(guest, cut, moment)?;
        acknowledged.extend(subjects.into_iter().map(|subject| (subject, 0_u32)));
    }
    let (_guest, _) = site.boot_to_greeting(Start::Kernel, LATER * cuts)?;
    let outcome = count_arrivals(&site, &mut acknowledged);
    let twice = acknowledged.values().filter(|count| **count > 1).count();
    println!(
        "{cuts} cuts after {moments:?} ms of load: {} acknowledged, {twice} came twice",
        acknowledged.len()
    );
    outcome.map_err(|lost| format!("lost after cuts at {moments:?} ms: {lost:?}"))?;
    if acknowledged.is_empty() {
        return Err("nothing was acknowledged before any cut: there was no load".into());
    }
    // Only what was between the next hop's 250 and our record of it: one message a connection and cut.
    let most = (cuts * CONNECTIONS_TO_NEXT_HOP) as usize;
    if twice > most {
        return Err(
            format!("{twice} messages came twice, more than could be under way at {cuts} cuts").into()
        );
    }
    Ok(())
}

/// The subjects of what was acknowledged before the plug was pulled, `moment` after the first.
fn load_until_cut(guest: Guest, cut: u32, moment: Duration) -> Result<Vec<String>, Failed> {
    let server = guest.port(SMTP)?;
    let acknowledged = Mutex::new(Vec::new());
    let (first, started) = mpsc::channel();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (acknowledged, first) = (&acknowledged, first.clone());
            scope.spawn(move || send_until_broken(server, &format!("{cut}-{sender}"), acknowledged, &first));
        }
        drop(first);
        // An error says that every sender has given up, which the emptiness of the list shows.
        let _ = started.recv_timeout(DELIVERY_MAX);
        // The length of the load is the test's subject: nothing is waited for here.
        thread::sleep(moment);
        guest.cut_power();
    });
    Ok(acknowledged.into_inner()?)
}

fn send_until_broken(
    server: SocketAddr,
    name: &str,
    acknowledged: &Mutex<Vec<String>>,
    first: &mpsc::Sender<()>,
) {
    let body = "0123456789abcdef".repeat(BODY_BYTES / 16);
    let Ok(mut sender) = Sender::connect(server) else { return };
    for number in 0.. {
        let subject = format!("cut-{name}-{number}");
        if sender.send(&subject, &body).is_err() {
            return;
        }
        if let Ok(mut acknowledged) = acknowledged.lock() {
            acknowledged.push(subject);
        }
        // Nobody waits for the second.
        let _ = first.send(());
    }
}

/// Counts until all have come, or nothing comes any more; then those that did not come.
fn count_arrivals(site: &Site, acknowledged: &mut BTreeMap<String, u32>) -> Result<(), Vec<String>> {
    let missing = |counts: &BTreeMap<String, u32>| {
        counts
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(subject, _)| subject.clone())
            .collect::<Vec<_>>()
    };
    while !missing(acknowledged).is_empty() {
        let Some(received) = site.received(DELIVERY_MAX) else { return Err(missing(acknowledged)) };
        if let Some(count) = received.header("Subject").and_then(|subject| acknowledged.get_mut(&subject)) {
            *count += 1;
        }
    }
    Ok(())
}

fn random_moment() -> Duration {
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(random % LOAD_MAX_MS)
}

fn cuts() -> Result<u32, Failed> {
    match env::var("POSTERN_CUTS") {
        Err(_) => Ok(CUTS),
        Ok(text) => Ok(text.parse().map_err(|_| format!("POSTERN_CUTS is no number: {text:?}"))?),
    }
}

/// How often the plug is pulled, unless `POSTERN_CUTS` says otherwise.
const CUTS: u32 = 20;
const SENDERS: u32 = 4;
const LOAD_MAX_MS: u64 = 3000;
const BODY_BYTES: usize = 20_000;
/// How many connections the appliance opens to one destination.
const CONNECTIONS_TO_NEXT_HOP: u32 = 5;
