//! Real mail from swaks to a next hop.

use crate::{
    configuration::configuration,
    control::control,
    lab::{Lab, text},
    next_hop::{NextHop, listen},
    requirements::available,
    swaks::swaks,
};

#[test]
fn a_message_goes_through_and_carries_the_true_client_address() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, 2526));
    let appliance = lab.start(&configuration(2526));
    let sent =
        swaks(&lab, &["--to", "user@example.com", "--from", "sender@example.net", "--body", "Hello.\n.dot"]);
    assert!(sent.status.success(), "{}", text(&sent));
    let received = next_hop.take();
    assert_eq!(received.sender, "sender@example.net");
    assert_eq!(received.recipients, ["user@example.com"]);
    assert!(received.text.starts_with("Received: from client.example.net"), "{}", received.text);
    assert!(received.text.contains("[10.77.0.1]"), "{}", received.text);
    assert!(received.text.contains("\r\n.dot"), "{}", received.text);
    assert!(appliance.stop().success());
}

#[test]
fn a_recipient_in_a_foreign_domain_is_refused() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, 2526));
    let _appliance = lab.start(&configuration(2526));
    let sent = swaks(&lab, &["--to", "user@example.org", "--from", "sender@example.net"]);
    assert!(!sent.status.success());
    assert!(text(&sent).contains("550 5.7.1"), "{}", text(&sent));
    assert!(next_hop.try_take().is_none());
}

#[test]
fn what_was_accepted_survives_a_cut_while_the_next_hop_is_away() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    let appliance = lab.start(&configuration(2526));
    let sent = swaks(&lab, &["--to", "user@example.com", "--from", "sender@example.net", "--body", "kept"]);
    assert!(sent.status.success(), "{}", text(&sent));
    drop(appliance);

    let next_hop = NextHop::start(listen(&lab, 2526));
    let _appliance = lab.start(&configuration(2526));
    let retried = control(&lab, &["queue", "retry", "--all"]);
    assert!(retried.status.success(), "{}", text(&retried));
    assert!(next_hop.take().text.contains("kept"));
}
