//! A second message hidden in the first, and commands hidden behind STARTTLS, seen through the whole listener.

use crate::world::{World, field};

/// What some server somewhere takes for the end of data, and we must not.
const NO_ENDS: [&str; 15] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\r",
    "\r.\n",
    "\n.\r",
    "\r\n.\r\r\n",
    "\r\r\n.\r\r\n",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\n..\r\n",
    "\r\n..\n",
    "a\0b\r\n",
];

const FORGED: &str = "MAIL FROM:<admin@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nforged\r\n.\r\n";

#[tokio::test]
async fn no_variant_of_the_end_of_data_lets_a_second_message_in() {
    let world = World::configured("[limits]\nnew-connections-per-minute = 100000\n");
    for end in NO_ENDS {
        let whole = format!("Subject: first\r\n\r\ntext{end}{FORGED}");
        let variant = "Subject: first\r\n\r\ntext".len();
        // Cut inside the variant, at each octet, and just around it.
        for cut in variant..=variant + end.len() + 1 {
            let mut client = world.connect().greeted().await;
            client.up_to_data(&["bob@example.com"]).await;
            let (first, second) = whole.split_at(cut);
            client.send(first).await;
            tokio::task::yield_now().await;
            client.send(second).await;
            let replies = client.rest().await;
            assert!(replies.starts_with("550 5.6.0 "), "{end:?} cut at {cut}: {replies}");
            assert_eq!(replies.lines().count(), 1, "{end:?} cut at {cut}: {replies}");
        }
    }
    world.emptied().await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test]
async fn the_same_in_headers_and_in_chunks() {
    let world = World::configured("[limits]\nnew-connections-per-minute = 100000\n");
    for end in NO_ENDS {
        let mut client = world.connect().greeted().await;
        client.up_to_data(&["bob@example.com"]).await;
        client.send(format!("Subject: first{end}{FORGED}")).await;
        assert!(client.rest().await.starts_with("550 5.6.0 "), "{end:?} in a header");

        // In a chunk dots mean nothing; bare line ends and NUL are refused all the same.
        if end.contains('\0') || end.replace("\r\n", "").contains(['\r', '\n']) {
            let mut client = world.connect().greeted().await;
            client.expect("MAIL FROM:<ann@example.org>", "250").await;
            client.expect("RCPT TO:<bob@example.com>", "250").await;
            let chunk = format!("Subject: first\r\n\r\ntext{end}more\r\n");
            client.send(format!("BDAT {} LAST\r\n{chunk}{FORGED}", chunk.len())).await;
            let replies = client.rest().await;
            assert!(replies.starts_with("550 5.6.0 "), "{end:?} in a chunk: {replies}");
        }
    }
    world.emptied().await;
    assert_eq!(world.messages(), 0);
}

#[tokio::test]
async fn what_follows_starttls_in_plain_closes_the_connection() {
    for injected in ["RSET\r\n", "EHLO evil\r\nMAIL FROM:<a@example.org>\r\n", "\u{16}\u{3}\u{1}"] {
        let world = World::new();
        let mut client = world.connect().greeted().await;
        client.send(format!("STARTTLS\r\n{injected}")).await;
        let replies = client.rest().await;
        assert!(!replies.contains("250"), "nothing injected is answered: {replies}");
        world.emptied().await;
        let ended = world.event("smtp.ended").await;
        assert_eq!(field(&ended, "why"), "plaintext followed STARTTLS");
    }
}

#[tokio::test]
async fn plaintext_that_comes_after_the_220_is_no_handshake() {
    let world = World::new();
    let mut client = world.connect().greeted().await;
    client.expect("STARTTLS", "220").await;
    client.send("RSET\r\nMAIL FROM:<a@example.org>\r\n").await;
    assert!(!client.rest().await.contains("250"));
    world.emptied().await;
    world.event("smtp.tls-failed").await;
}

#[tokio::test]
async fn who_speaks_before_the_banner_is_turned_away() {
    let world = World::new();
    let (ours, stream) = tokio::io::duplex(4_096);
    let mut client = crate::world::Client::over(ours);
    client.send("EHLO early.example.org\r\nMAIL FROM:<a@example.org>\r\n").await;
    tokio::spawn(world.listener.clone().serve(crate::world::accepted(stream, "192.0.2.7")));
    let replies = client.rest().await;
    assert!(replies.starts_with("554 "), "{replies}");
    assert_eq!(replies.lines().count(), 1, "{replies}");
    assert_eq!(field(&world.event("smtp.ended").await, "why"), "the peer spoke before the banner");
}
