//! Each limit of the listener, met.

use crate::world::{World, field};

#[tokio::test]
async fn one_address_has_fifty_places() {
    let world = World::new();
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(world.connect().greeted().await);
    }
    let mut refused = world.connect();
    let replies = refused.rest().await;
    assert!(replies.starts_with("421 4.7.0 "), "{replies}");
    let event = world.event("smtp.connection-refused").await;
    assert_eq!(field(&event, "why"), "too many connections from this address");
    let neighbour = world.connect_from("192.0.2.8").greeted().await;
    drop((clients, neighbour));
    world.emptied().await;
    world.connect().greeted().await;
}

#[tokio::test]
async fn the_last_places_are_for_known_networks() {
    let world = World::configured(
        "[limits]\nconnections = 10\nconnections-per-network = 10\nconnections-per-address = 10\n",
    );
    let mut clients = Vec::new();
    for host in 0..9 {
        clients.push(world.connect_from(&format!("192.0.2.{host}")).greeted().await);
    }
    let mut refused = world.connect_from("192.0.2.100");
    assert!(refused.rest().await.starts_with("421 4.7.0 "));
    let known = world.connect_from("198.51.100.7").greeted().await;
    let mut refused = world.connect_from("198.51.100.8");
    assert!(refused.rest().await.starts_with("421 4.7.0 "), "full is full");
    drop((clients, known));
}

#[tokio::test]
async fn so_many_connections_a_minute() {
    // Few, so that a slow machine does not earn another one meanwhile: one comes every 30 s.
    let world = World::configured("[limits]\nnew-connections-per-minute = 2\n");
    for _ in 0..2 {
        drop(world.connect().greeted().await);
        world.emptied().await;
    }
    assert!(world.connect().rest().await.starts_with("421 4.7.0 "));
}

#[tokio::test]
async fn asking_after_unknown_recipients_is_slowed_and_banned() {
    let world = World::configured("[limits]\nunknown-recipients = 3\nban = \"1 h\"\n");
    tokio::time::pause();
    for _ in 0..3 {
        let mut client = world.connect().greeted().await;
        client.expect("MAIL FROM:<>", "250").await;
        for n in 0..3 {
            let reply = client.command(&format!("RCPT TO:<u{n}@example.org>")).await;
            assert!(reply.starts_with("550 5.7.1") || reply.starts_with("421"), "{reply}");
        }
    }
    tokio::time::resume();
    assert!(world.connect().rest().await.starts_with("421 4.7.0 Refused, banned"));
    world.event("smtp.banned").await;
    world.connect_from("192.0.2.8").greeted().await;
}

#[tokio::test]
async fn known_and_unknown_recipients_are_answered_equally_late() {
    let world = World::new();
    tokio::time::pause();
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<>", "250").await;
    for n in 0..5 {
        client.expect(&format!("RCPT TO:<u{n}@example.org>"), "550").await;
    }
    let before = tokio::time::Instant::now();
    client.expect("RCPT TO:<bob@example.com>", "250").await;
    let known = before.elapsed();
    let before = tokio::time::Instant::now();
    client.expect("RCPT TO:<u@example.org>", "550").await;
    let unknown = before.elapsed();
    assert_eq!(known.as_secs(), 2);
    assert_eq!(unknown.as_secs(), 2);
}

#[tokio::test]
async fn unknown_recipients_end_the_session_at_their_limit() {
    let world = World::new();
    tokio::time::pause();
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<>", "250").await;
    for n in 0..20 {
        client.expect(&format!("RCPT TO:<u{n}@example.org>"), "550").await;
    }
    client.expect("RCPT TO:<u@example.org>", "421 4.7.0").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_message_has_so_many_recipients_and_a_session_so_many_messages() {
    let world = World::configured("[limits]\nrecipients = 100\nmessages-per-connection = 2\n");
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<>", "250").await;
    for n in 0..100 {
        client.expect(&format!("RCPT TO:<r{n}@example.com>"), "250").await;
    }
    client.expect("RCPT TO:<one-more@example.com>", "452 4.5.3").await;
    client.expect("DATA", "354").await;
    client.expect("Subject: many\r\n\r\n.", "250").await;
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("RSET", "250").await;
    client.expect("MAIL FROM:<>", "421 4.7.0").await;
}

#[tokio::test]
async fn header_sections_and_loops_are_refused_after_the_end_of_data() {
    let world = World::configured("[limits]\nheader-size = \"64 KiB\"\n");
    let mut client = world.connect().greeted().await;
    let fields = "A: b\r\n".repeat(2_001);
    for (head, reply) in [
        (format!("{fields}\r\n"), "552 5.3.4"),
        (format!("A: {}\r\n\r\n", "b".repeat(65_536)), "552 5.3.4"),
        (format!("{}\r\n", "Received: by other.example; x\r\n".repeat(51)), "554 5.4.6"),
        (format!("{}\r\n", "Received: from x by mx.example.com (y); x\r\n".repeat(10)), "554 5.4.6"),
    ] {
        let answer = client.mail(format!("{head}body\r\n")).await;
        assert!(answer.starts_with(reply), "{answer}");
    }
    assert_eq!(world.messages(), 0);
    assert_eq!(world.events("smtp.message-refused").await.len(), 4);
    assert!(client.mail("Subject: fine\r\n\r\n").await.starts_with("250"));
}

#[tokio::test]
async fn a_message_is_no_larger_than_it_may_be() {
    let world = World::configured("[limits]\nmessage-size = \"65536 B\"\n");
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<> SIZE=65537", "552 5.3.4").await;
    let line = format!("{}\r\n", "x".repeat(98));
    let answer = client.mail(format!("Subject: large\r\n\r\n{}", line.repeat(656))).await;
    assert!(answer.starts_with("552 5.3.4"), "{answer}");
    assert_eq!(world.messages(), 0);
    assert!(client.mail("Subject: fine\r\n\r\n").await.starts_with("250"));
}
