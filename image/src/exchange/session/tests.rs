use super::*;
use proptest::prelude::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn tenant() -> Arc<Tenant> {
    let known = BTreeSet::from(["alice@example.com".to_owned()]);
    Arc::new(Tenant { domains: vec!["example.com".into()], recipients: Recipients::Listed(known) })
}

fn session() -> Session {
    Session::new(tenant(), "192.0.2.1:1025".parse().unwrap(), NOW).0
}

/// What is written in answer to `input`, and what is delivered.
fn exchange(session: &mut Session, input: &str) -> (String, Vec<Received>) {
    let (mut text, mut delivered) = (String::new(), Vec::new());
    for action in session.receive(input.as_bytes(), NOW) {
        match action {
            Action::Write(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Action::Deliver(received) => delivered.push(*received),
            Action::StartTls => text.push_str("(TLS)"),
            Action::Close => text.push_str("(closed)"),
        }
    }
    (text, delivered)
}

fn answer(session: &mut Session, input: &str) -> String {
    exchange(session, input).0
}

fn after_rcpt() -> Session {
    let mut session = session();
    let text =
        answer(&mut session, "EHLO mx\r\nMAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@example.com>\r\n");
    assert!(text.ends_with("250 2.1.5 Recipient OK\r\n"), "{text}");
    session
}

#[test]
fn the_greeting_is_exchange_online_s() {
    let greeting = Session::new(tenant(), "192.0.2.1:1025".parse().unwrap(), NOW).1;
    assert_eq!(
        String::from_utf8(greeting).unwrap(),
        format!(
            "220 {HOST} Microsoft ESMTP MAIL Service ready at Thu, 01 Jan 1970 00:00:00 +0000 [08DD000000000001]\r\n"
        )
    );
}

#[test]
fn ehlo_offers_starttls_once() {
    let mut session = session();
    assert!(answer(&mut session, "EHLO mx\r\n").contains("250-STARTTLS\r\n"));
    assert_eq!(answer(&mut session, "STARTTLS\r\n"), "220 2.0.0 SMTP server ready\r\n(TLS)");
    let again = answer(&mut session, "EHLO mx\r\n");
    assert!(!again.contains("STARTTLS") && again.ends_with("250 SMTPUTF8\r\n"), "{again}");
}

#[test]
fn commands_behind_starttls_close() {
    let mut session = session();
    let text = answer(&mut session, "EHLO mx\r\nSTARTTLS\r\nMAIL FROM:<>\r\n");
    assert!(text.ends_with("(closed)") && !text.contains("(TLS)"), "{text}");
}

#[test]
fn an_unknown_recipient_is_refused_as_dbeb_does() {
    let mut session = after_rcpt();
    let text = answer(&mut session, "RCPT TO:<nobody@example.com>\r\n");
    assert!(
        text.starts_with("550 5.4.1 Recipient address rejected: Access denied. For more information see "),
        "{text}"
    );
    assert!(text.ends_with(" 1970-01-01T00:00:00.000Z 08DD000000000001]\r\n"), "{text}");
}

#[test]
fn a_foreign_domain_is_relaying() {
    let mut session = after_rcpt();
    assert!(answer(&mut session, "RCPT TO:<x@example.org>\r\n").starts_with("550 5.7.64 "));
}

#[test]
fn data_is_delivered_without_its_stuffing() {
    let mut session = after_rcpt();
    assert!(answer(&mut session, "DATA\r\n").starts_with("354 "));
    let (text, delivered) = exchange(&mut session, "Message-ID:\r\n <1@x>\r\n\r\n..dot\r\n.\r\n");
    assert!(text.starts_with("250 2.6.0 <1@x> [InternalId=1, Hostname="), "{text}");
    assert!(text.ends_with("Queued mail for delivery\r\n"), "{text}");
    assert_eq!(delivered[0].message, b"Message-ID:\r\n <1@x>\r\n\r\n.dot\r\n");
    assert_eq!(delivered[0].sender, "bob@example.org");
}

#[test]
fn chunks_are_put_together() {
    let mut session = after_rcpt();
    let (text, delivered) = exchange(&mut session, "BDAT 3\r\na\r\nBDAT 2 LAST\r\n.\r");
    assert!(text.starts_with("250 2.6.0 3 octets received\r\n250 2.6.0 <"), "{text}");
    assert_eq!(delivered[0].message, b"a\r\n.\r");
}

#[test]
fn a_chunk_without_an_envelope_is_swallowed() {
    let mut session = session();
    assert_eq!(answer(&mut session, "BDAT 6 LAST\r\nQUIT\r\n"), "503 5.5.2 Need mail command\r\n");
}

#[test]
fn two_hundred_recipients_and_no_more() {
    let mut session = after_rcpt();
    for _ in 1..RECIPIENTS_MAX {
        assert!(answer(&mut session, "RCPT TO:<alice@example.com>\r\n").starts_with("250 "));
    }
    assert_eq!(answer(&mut session, "RCPT TO:<alice@example.com>\r\n"), "452 4.5.3 Too many recipients\r\n");
}

#[test]
fn an_endless_command_closes() {
    let mut session = session();
    let text = answer(&mut session, &"x".repeat(COMMAND_LINE_MAX + 1));
    assert_eq!(text, "500 5.5.1 Line too long\r\n(closed)");
    assert_eq!(answer(&mut session, "NOOP\r\n"), "");
}

#[test]
fn a_message_beyond_the_size_is_refused_at_its_end() {
    let mut session = after_rcpt();
    let mut text = answer(&mut session, &format!("BDAT {} LAST\r\n", MESSAGE_MAX + 1));
    let block = "x".repeat(1 << 20);
    for _ in 0..MESSAGE_MAX >> 20 {
        text += &answer(&mut session, &block);
    }
    text += &answer(&mut session, "x");
    assert!(text.starts_with("552 5.3.4 "), "{text}");
}

proptest! {
    #[test]
    fn cutting_the_input_anywhere_changes_nothing(cuts in proptest::collection::vec(1usize..9, 1..60)) {
        let input = "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nx\r\n..\r\n.\r\n\
                     MAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\nBDAT 4\r\n\r\n.\rBDAT 1 LAST\r\n\nQUIT\r\n";
        let whole = exchange(&mut session(), input);
        prop_assert_eq!(whole.1.len(), 2);
        let mut pieces = session();
        let (mut text, mut delivered, mut rest) = (String::new(), Vec::new(), input);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            let (more, messages) = exchange(&mut pieces, piece);
            text += &more;
            delivered.extend(messages);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!((text, delivered), whole);
    }

    #[test]
    fn no_input_breaks_it(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        session().receive(&input, NOW);
    }
}
