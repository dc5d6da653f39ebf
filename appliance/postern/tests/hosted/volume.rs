//! A thousand connections at once.

use std::collections::BTreeSet;

use crate::{
    configuration::{ROOMY, with_domains},
    control::queued,
    lab::{self, GUEST, Lab, text},
    next_hop::{NextHop, listen},
    requirements::available,
};

const CONNECTIONS: usize = 1_000;
const MESSAGES: usize = 4_000;

#[test]
fn smtp_source_sends_over_a_thousand_connections() {
    if !available(&["smtp-source"]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, 2526));
    let _appliance = lab.start(&with_domains(&[("example.com", 2526)], ROOMY));
    let sent = lab
        .command("sh")
        .args(["-c", "ulimit -n 4096 && exec smtp-source \"$@\"", "smtp-source"])
        .args(["-N", "-s", &CONNECTIONS.to_string(), "-m", &MESSAGES.to_string(), "-l", "2000"])
        .args(["-f", "sender@example.net", "-t", "user@example.com", &GUEST.to_string()])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
    let recipients: BTreeSet<String> =
        (0..MESSAGES).map(|_| next_hop.take()).flat_map(|received| received.recipients).collect();
    assert_eq!(recipients.len(), MESSAGES, "each came once");
    assert_eq!(lab::wait_for("the queue is empty", || (queued(&lab) == 0).then_some(0)), 0);
    assert!(next_hop.try_take().is_none());
}
