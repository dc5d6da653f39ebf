//! Whole MTAs that send to the appliance, as most mail of the Internet comes.

use std::collections::BTreeSet;

use crate::{
    configuration::{ROOMY, with_domains},
    exim::Exim,
    lab::{GUEST, HOST, Lab, text},
    next_hop::{NextHop, listen},
    postfix::Postfix,
    requirements::available,
};

/// What the MTAs are given to relay.
const MESSAGES: usize = 200;

/// Hands messages to the MTA on `port`, each to a recipient of its own.
fn submit(lab: &Lab, port: u16) {
    let sent = lab
        .command("smtp-source")
        .args(["-N", "-s", "10", "-m", &MESSAGES.to_string(), "-l", "5000"])
        .args(["-f", "sender@example.net", "-t", "user@example.com", &format!("{HOST}:{port}")])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
}

/// Every message came once.
fn assert_all_arrive(next_hop: &NextHop) {
    let recipients: BTreeSet<String> =
        (0..MESSAGES).map(|_| next_hop.take()).flat_map(|received| received.recipients).collect();
    assert_eq!(recipients.len(), MESSAGES);
    assert!(next_hop.try_take().is_none());
}

#[test]
fn postfix_empties_its_queue() {
    if !available(&["postfix", "smtp-source"]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, 2526));
    let _appliance = lab.start(&with_domains(&[("example.com", 2526)], ROOMY));
    let relay = format!("relayhost = [{GUEST}]\nsmtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1");
    let postfix = Postfix::start(&lab, 2700, &relay);
    submit(&lab, 2700);
    assert_all_arrive(&next_hop);
    postfix.wait_until_empty();
    let log = std::fs::read_to_string(postfix.folder.join("log")).unwrap();
    assert!(log.contains("TLSv1.3"), "{log}");
    assert_eq!(log.matches("status=sent (250 2.0.0 Ok, queued as").count(), MESSAGES, "{log}");
    assert!(!log.contains("warning"), "{log}");
}

#[test]
fn exim_sends_its_messages_in_chunks() {
    if !available(&["exim4", "smtp-source"]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, 2526));
    let _appliance = lab.start(&with_domains(&[("example.com", 2526)], ROOMY));
    let accept = "acl_smtp_rcpt = accept\ntls_advertise_hosts =";
    let relay = format!(
        "begin routers\n\
         out:\n  driver = manualroute\n  route_list = * {GUEST}\n  transport = out\n\
         begin transports\n\
         out:\n  driver = smtp\n  hosts_try_chunking = *\n"
    );
    let exim = Exim::start(&lab, 2701, accept, &relay);
    submit(&lab, 2701);
    assert_all_arrive(&next_hop);
    // A `K` says that CHUNKING was used, an `X` that TLS was.
    let delivered = exim.wait_for_log("C=\"250 2.0.0 Ok", MESSAGES);
    let chunked = |line: &&String| line.contains(" K ") && line.contains(" X=TLS1.3");
    assert_eq!(delivered.iter().filter(chunked).count(), MESSAGES, "{delivered:#?}");
}
