//! Through the image: only real recipients, as a verification server knows them.

use std::time::Duration;

use libtest_mimic::Failed;
use qemu_tests::{DELIVERY_MAX, SMTP, Site, Start, swaks};

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] =
    &[("recipients::are_what_the_verification_server_knows", are_what_the_verification_server_knows)];

fn are_what_the_verification_server_knows() -> Result<(), Failed> {
    let mut site = Site::with_verification_server("mx.example.com", &["alice@example.com"])?;
    let (guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    let server = guest.port(SMTP)?;
    let answered = |to: &str, status: i32, reply: &str| -> Result<(), Failed> {
        let sent = swaks(server, &["--from", "carol@example.org", "--to", to])?;
        if sent.status == Some(status) && sent.dialogue.contains(reply) {
            return Ok(());
        }
        Err(format!("{to}, not {reply}: swaks ended with {:?}:\n{}", sent.status, sent.dialogue).into())
    };
    answered("alice@example.com", TAKEN, "<-  250 2.1.5")?;
    answered("nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1")?;
    let received = site.received(DELIVERY_MAX).ok_or("no message at the next hop")?;
    if received.recipients != ["alice@example.com"] {
        return Err(format!("for {:?}", received.recipients).into());
    }
    site.close_next_hop();
    answered("alice@example.com", TAKEN, "<-  250 2.1.5")?;
    answered("nobody@example.com", NO_RECIPIENT, "<** 550 5.1.1")
}

/// swaks(1).
const TAKEN: i32 = 0;
/// swaks(1): an error after RCPT TO.
const NO_RECIPIENT: i32 = 24;
