//! Peers that are silent, slow, or never read. Time is virtual: nothing here waits.

use std::time::Duration;

use tokio::time::Instant;

use crate::world::{World, field};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_silent_peer_is_told_and_closed_after_five_minutes() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    tokio::time::pause();
    let before = Instant::now();
    let replies = client.rest().await;
    assert!(replies.starts_with("421 4.4.2 "), "{replies}");
    assert_eq!(before.elapsed().as_secs() / 60, 5);
}

#[tokio::test]
async fn a_byte_a_minute_does_not_keep_a_command_open() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    tokio::time::pause();
    let before = Instant::now();
    for byte in "MAIL FROM:<someone@example.org>".bytes() {
        client.send([byte]).await;
        tokio::time::sleep(MINUTE).await;
        if world.listener.open() == 0 {
            break;
        }
    }
    assert!(before.elapsed() <= 7 * MINUTE, "{:?}", before.elapsed());
    assert!(client.rest().await.starts_with("421 4.4.2 "));
}

#[tokio::test]
async fn data_may_pause_three_minutes_and_last_an_hour() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    client.up_to_data(&["bob@example.com"]).await;
    tokio::time::pause();
    let before = Instant::now();
    while world.listener.open() > 0 && before.elapsed() < 120 * MINUTE {
        client.send("x\r\n").await;
        tokio::time::sleep(2 * MINUTE).await;
    }
    assert_eq!(before.elapsed().as_secs() / 600, 6, "{:?}", before.elapsed());
    assert!(client.rest().await.starts_with("421 4.4.2 "));
    tokio::time::resume();
    let mut client = world.connect().greeted().await;
    client.up_to_data(&["bob@example.com"]).await;
    tokio::time::pause();
    let before = Instant::now();
    assert!(client.rest().await.starts_with("421 4.4.2 "));
    assert_eq!(before.elapsed().as_secs() / 60, 3);
}

#[tokio::test]
async fn a_handshake_has_thirty_seconds() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    client.expect("STARTTLS", "220").await;
    tokio::time::pause();
    let before = Instant::now();
    client.rest().await;
    // The handshake began a moment before time was stopped.
    assert!((29..=30).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    tokio::time::resume();
    assert!(field(&world.event("smtp.tls-failed").await, "why").contains("too long"));
}

#[tokio::test]
async fn a_peer_that_never_reads_is_given_up() {
    let world = World::new();
    let mut client = world.connect_with("192.0.2.7", 256).greeted().await;
    tokio::time::pause();
    let before = Instant::now();
    // Replies fill the pipe; the peer goes on asking until nobody listens any more.
    while world.listener.open() > 0 {
        let asked = tokio::time::timeout(MINUTE, client.send("NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"));
        let _ = asked.await;
        assert!(before.elapsed() < 15 * MINUTE, "the session holds on");
    }
}

#[tokio::test]
async fn stopping_tells_who_waits_and_waits_for_all() {
    let world = World::new();
    let mut clients = Vec::new();
    for host in 0..50 {
        clients.push(world.connect_from(&format!("192.0.2.{host}")).greeted().await);
    }
    world.listener.stop();
    for client in &mut clients {
        assert!(client.rest().await.starts_with("421 4.3.2 "));
    }
    drop(clients);
    world.listener.ended().await;
    assert_eq!(world.listener.open(), 0);
}
