//! Real mail from swaks to a next hop.

use crate::{
    configuration::configuration,
    control::control,
    lab::{HOST, Lab, PATIENCE, text},
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

#[test]
fn what_is_given_up_by_hand_is_reported_to_its_sender() {
    if !available(&["swaks"]) {
        return;
    }
    let lab = Lab::new();
    let next_hop = NextHop::start(listen(&lab, 2526));
    // Where example.com's mail should go nobody listens; its senders are at example.net.
    let senders =
        format!("\n[[domain]]\nname = \"example.net\"\nrealm = \"example\"\nroute = [\"[{HOST}]:2526\"]\n");
    let appliance = lab.start(&(configuration(2527) + &senders));
    for sender in ["sender@example.net", "<>"] {
        let sent = swaks(&lab, &["--to", "user@example.com", "--from", sender, "--header", "Subject: lost"]);
        assert!(sent.status.success(), "{}", text(&sent));
    }
    // An attempt that is under way decides first.
    let given_up = || {
        let bounced = control(&lab, &["queue", "bounce", "--destination", "example.com"]);
        assert!(bounced.status.success(), "{}", text(&bounced));
        let left = text(&control(&lab, &["queue", "list", "--destination", "example.com"]));
        left.contains(r#""deliveries": []"#)
    };
    let end = std::time::Instant::now() + PATIENCE;
    while !given_up() {
        assert!(std::time::Instant::now() < end, "both are given up");
    }
    let notice = next_hop.take();
    assert_eq!(
        (notice.sender.as_str(), notice.recipients.as_slice()),
        ("", &["sender@example.net".to_owned()][..])
    );
    assert!(
        notice.text.contains("Action: failed") && notice.text.contains("Subject: lost"),
        "{}",
        notice.text
    );
    assert!(next_hop.try_take().is_none(), "nobody hears of what nobody sent");
    assert!(appliance.stop().success());
}
