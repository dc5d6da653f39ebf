//! The store in trouble: each fault has one reply and one event, and what was not answered 250 is not there.

use store::log::FaultClass;
use store::testing::{Fault, Operation};

use crate::world::{CONFIG, World, id_in};

#[tokio::test]
async fn a_full_store_says_452_before_anything_is_sent() {
    // As much is kept in reserve as there is.
    let limits = store::Limits { reserve_percent: 100, ..store::Limits::default() };
    let world = World::with(CONFIG, limits);
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<>", "452 4.3.1").await;
    let event = world.event("smtp.sender-refused").await;
    assert_eq!(event.fault, Some(FaultClass::Resource));
}

#[tokio::test]
async fn a_declared_size_that_does_not_fit_is_refused() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    client.expect("MAIL FROM:<> SIZE=140000000", "452 4.3.1").await;
    client.expect("MAIL FROM:<> SIZE=1000", "250").await;
}

#[tokio::test]
async fn a_disk_that_fails_defers_the_message_and_works_again() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    let first = id_in(&client.mail("Subject: before\r\n\r\n").await);
    client.up_to_data(&["bob@example.com"]).await;
    world.disk.set_fault(Some(Fault { kind: Operation::Sync, after: 0, count: u64::MAX }));
    client.send("Subject: during\r\n\r\n.\r\n").await;
    let reply = client.reply().await;
    assert!(reply.starts_with("451 4.3.0 "), "{reply}");
    world.disk.set_fault(None);
    // The store opens its disk again by itself; clients are put off until it has.
    let after = loop {
        let mut client = world.connect_from("198.51.100.1").greeted().await;
        client.expect("MAIL FROM:<ann@example.org>", "250").await;
        client.expect("RCPT TO:<bob@example.com>", "250").await;
        if !client.command("DATA").await.starts_with("354") {
            continue;
        }
        let reply = client.command("Subject: after\r\n\r\n.").await;
        if reply.starts_with("250") {
            break id_in(&reply);
        }
        assert!(reply.starts_with("45"), "{reply}");
    };
    assert!(world.body(first).ends_with(b"Subject: before\r\n\r\n"));
    assert!(world.body(after).ends_with(b"Subject: after\r\n\r\n"));
    assert_eq!(world.messages(), 2, "what was answered 451 is not there");
    let refused = world.event("smtp.message-refused").await;
    assert_eq!(refused.fault, Some(FaultClass::Resource));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let world = World::new();
    let line = format!("{}\r\n", "x".repeat(98));
    for part in [
        "",
        "Subject: a\r\n",
        "Subject: a\r\n\r\nbody",
        &format!("Subject: a\r\n\r\n{}", line.repeat(20_000)),
    ] {
        let mut client = world.connect().greeted().await;
        client.up_to_data(&["bob@example.com"]).await;
        client.send(part).await;
        drop(client);
        world.emptied().await;
    }
    assert_eq!(world.messages(), 0);
    world.store.flush_events().await.unwrap();
    assert_eq!(world.store.usage().spool_bytes, 0);
}
