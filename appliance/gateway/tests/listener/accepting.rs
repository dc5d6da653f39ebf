//! From MAIL to a durable message.

use store::SessionId;
use store::message::Source;

use crate::world::{CONFIG, World, field, id_in};

#[tokio::test]
async fn a_message_answered_250_is_in_the_store_with_its_envelope_and_event() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    let text = "Subject: one\r\n\r\nbody\r\n";
    let id = id_in(&client.mail(text).await);
    let message = world.store.message(id).unwrap();
    assert_eq!(message.envelope.from.to_string(), "<ann@example.org>");
    let Source::Smtp { session, peer, helo, tls } = message.source else { panic!("a message of our own") };
    assert_eq!((peer.ip().to_string().as_str(), &*helo, tls), ("192.0.2.7", "client.example.org", false));
    let body = String::from_utf8(world.body(id)).unwrap();
    let (trace, rest) = body.split_at(body.find("Subject").unwrap());
    assert_eq!(
        trace,
        format!(
            "Received: from client.example.org ([192.0.2.7])\r\n\tby mx.example.com with ESMTP id {id}\r\n\
             \tfor <bob@example.com>;\r\n\tTue, 24 Nov 2026 00:04:13 +0000\r\n"
        )
    );
    assert_eq!(rest, text);
    let event = world.event("smtp.accepted").await;
    assert_eq!((event.message, event.session), (Some(id), Some(session)));
    assert_eq!(field(&event, "recipients"), "<bob@example.com>");
    client.expect("QUIT", "221").await;
    world.emptied().await;
    assert_eq!(field(&world.event("smtp.ended").await, "accepted"), "1");
    let sessions: Vec<Option<SessionId>> = world.events("smtp").await.iter().map(|e| e.session).collect();
    assert!(sessions.iter().all(|&of| of == Some(session)), "one id for all events of a session");
}

#[tokio::test]
async fn recipients_of_two_domains_are_two_deliveries() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    client.up_to_data(&["a@example.com", "b@example.net", "c@EXAMPLE.com"]).await;
    client.send("Subject: one\r\n\r\n.\r\n").await;
    let id = id_in(&client.reply().await);
    let deliveries = world.deliveries(id);
    let shape: Vec<_> = deliveries.iter().map(|d| (d.destination.as_str(), d.recipients.len())).collect();
    assert_eq!(shape, [("example.com", 2), ("example.net", 1)]);
    assert!(!String::from_utf8(world.body(id)).unwrap().contains("\tfor "));
}

#[tokio::test]
async fn only_our_domains_unless_the_network_may_relay() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<ann@example.org>", "250").await;
    client.expect("RCPT TO:<x@example.org>", "550 5.7.1").await;
    client.expect("RCPT TO:<x@sub.example.com>", "550 5.7.1").await;
    client.expect("RCPT TO:<@example.com:x@example.org>", "550 5.7.1").await;
    client.expect("DATA", "554 5.5.1").await;
    client.expect("RCPT TO:<Postmaster>", "250").await;
    client.expect("RCPT TO:<x%example.org@example.com>", "250").await;
    client.expect("RCPT TO:<\"x@example.org\"@example.com>", "250").await;
    let event = world.event("smtp.recipient-refused").await;
    assert_eq!(field(&event, "peer"), "192.0.2.7:40000");
    let mut office = world.connect_from("198.51.100.3").greeted().await;
    office.up_to_data(&["x@example.org"]).await;
    office.send("Subject: out\r\n\r\n.\r\n").await;
    let id = id_in(&office.reply().await);
    assert_eq!(world.deliveries(id)[0].destination.as_str(), "example.org");
}

#[tokio::test]
async fn headers_that_only_we_may_set_are_gone_and_the_body_is_untouched() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    let body = "..dots\r\n.leading\r\n\r\nX-Spam-Score: 1\r\nend \t \r\n";
    let head = "From: a@example.org\r\nx-postern-STREAM: base:x\r\nX-Spam-Score:\r\n -100\r\n\
                Authentication-Results: (c) MX.example.com; spf=pass\r\nSubject: s\r\n\r\n";
    let stuffed: String = body
        .split_inclusive("\r\n")
        .map(|l| if l.starts_with('.') { format!(".{l}") } else { l.into() })
        .collect();
    let id = id_in(&client.mail(format!("{head}{stuffed}")).await);
    let stored = String::from_utf8(world.body(id)).unwrap();
    assert!(
        stored.ends_with(&format!("+0000\r\nFrom: a@example.org\r\nSubject: s\r\n\r\n{body}")),
        "{stored}"
    );
}

#[tokio::test]
async fn a_large_message_and_one_by_bdat_arrive_octet_by_octet() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    let line = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz\r\n";
    let large = format!("Subject: large\r\n\r\n{}", line.repeat(60_000));
    let id = id_in(&client.mail(&large).await);
    assert!(world.body(id).ends_with(large.as_bytes()));

    client.expect("MAIL FROM:<> BODY=8BITMIME", "250").await;
    client.expect("RCPT TO:<bob@example.com>", "250").await;
    let (first, second) = ("Subject: ", "chunks\r\n\r\n.\r\n\u{e9}\r\n");
    client.send(format!("BDAT {}\r\n{first}", first.len())).await;
    assert!(client.reply().await.starts_with("250"));
    client.send(format!("BDAT {} LAST\r\n{second}", second.len())).await;
    let id = id_in(&client.reply().await);
    assert!(world.body(id).ends_with(format!("{first}{second}").as_bytes()));
    assert_eq!(
        world.store.message(id).unwrap().envelope.parameters.body,
        smtp::envelope::BodyKind::EightBitMime
    );
}

#[tokio::test]
async fn a_changed_configuration_holds_from_the_next_message_on() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("RCPT TO:<a@example.edu>", "550").await;
    world.reconfigure(&CONFIG.replace("example.net", "example.edu"));
    client.expect("RCPT TO:<a@example.edu>", "550").await;
    client.expect("RSET", "250").await;
    client.expect("MAIL FROM:<>", "250").await;
    client.expect("RCPT TO:<a@example.edu>", "250").await;
    client.expect("RCPT TO:<a@example.net>", "550").await;
}

#[tokio::test]
async fn a_peer_cannot_write_into_the_log() {
    let world = World::new();
    let mut client = world.connect();
    client.reply().await;
    client.expect("EHLO x\u{202e}y", "5").await;
    client.expect("EHLO [a\\b]", "250").await;
    client.expect("MAIL FROM:<\"a\\\\b\"@example.org>", "250").await;
    client.expect("RCPT TO:<\"c\\\\d\"@example.org>", "550").await;
    let event = world.event("smtp.recipient-refused").await;
    for (_, value) in &event.fields {
        assert!(!value.chars().any(|c| c.is_control() || c == '\u{202e}'), "{value}");
    }
}
