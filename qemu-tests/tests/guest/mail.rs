//! A message through the image: our TCP/IP, our SMTP, our store and queue, to its next hop.

use std::time::Duration;

use libtest_mimic::Failed;
use qemu_tests::{DELIVERY_MAX, SMTP, Site, Start, swaks};

use crate::Test;

/// How long a cable may be gone or back before it is noticed: a second, and what a busy machine makes of it.
const NOTICED_MAX: Duration = Duration::from_secs(60);

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("mail::arrives_at_the_next_hop", arrives_at_the_next_hop),
    ("mail::arrives_over_tls", arrives_over_tls),
    ("mail::relaying_is_refused", relaying_is_refused),
    ("mail::goes_on_when_the_cable_is_back", goes_on_when_the_cable_is_back),
];

fn arrives_at_the_next_hop() -> Result<(), Failed> {
    arrives(&[])
}

fn arrives_over_tls() -> Result<(), Failed> {
    arrives(&["--tls"])
}

fn arrives(how: &[&str]) -> Result<(), Failed> {
    let site = Site::new("mx.example.com")?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    let mut arguments = vec!["--from", "bob@example.org", "--to", "alice@example.com"];
    arguments.extend(["--header", "Subject: Through the image", "--body", "first line\n.dot\nlast line"]);
    arguments.extend(how);
    let sent = swaks(guest.port(SMTP)?, &arguments)?;
    if sent.status != Some(0) {
        return Err(format!("swaks ended with {:?}:\n{}", sent.status, sent.dialogue).into());
    }
    let received = site.received(DELIVERY_MAX).ok_or("no message at the next hop")?;
    let text = String::from_utf8_lossy(&received.message);
    let facts = [
        ("sender", received.sender == "bob@example.org"),
        ("recipient", received.recipients == ["alice@example.com"]),
        ("offered TLS taken", received.tls),
        ("subject", received.header("Subject").as_deref() == Some("Through the image")),
        (
            "client's address in Received",
            received.header("Received").is_some_and(|field| field.contains("10.0.2.2")),
        ),
        ("body unchanged", text.contains("\r\n\r\nfirst line\r\n.dot\r\nlast line\r\n")),
    ];
    let wrong: Vec<&str> = facts.iter().filter(|(_, holds)| !holds).map(|(name, _)| *name).collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("not as sent: {}\n{received:?}\n{text}", wrong.join(", ")).into())
    }
}

fn relaying_is_refused() -> Result<(), Failed> {
    let site = Site::new("mx.example.com")?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    let sent = swaks(guest.port(SMTP)?, &["--from", "bob@example.org", "--to", "eve@example.net"])?;
    // swaks(1): 24 is an error after RCPT TO.
    if sent.status == Some(24) && sent.dialogue.contains("<** 550 ") {
        return Ok(());
    }
    Err(format!("swaks ended with {:?}:\n{}", sent.status, sent.dialogue).into())
}

fn goes_on_when_the_cable_is_back() -> Result<(), Failed> {
    let site = Site::new("mx.example.com")?;
    let (mut guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    guest.plug(false)?;
    guest.wait_for_serial("link: down", NOTICED_MAX)?;
    guest.plug(true)?;
    guest.wait_for_banner(SMTP, NOTICED_MAX)?;
    let sent = swaks(guest.port(SMTP)?, &["--from", "bob@example.org", "--to", "alice@example.com"])?;
    if sent.status != Some(0) {
        return Err(format!("swaks ended with {:?}:\n{}", sent.status, sent.dialogue).into());
    }
    Ok(site.received(DELIVERY_MAX).map(drop).ok_or("no message at the next hop")?)
}
