use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::exchange::Shown;
use crate::exchange::organisation::{Connector, Recipients, Script, Tenant};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn known() -> BTreeSet<String> {
    BTreeSet::from(["alice@example.com".to_owned()])
}

fn tenant(recipients: Recipients) -> Tenant {
    Tenant { domains: vec!["example.com".into()], recipients }
}

fn playing(script: Script) -> Session {
    with(Organisation::new(tenant(Recipients::Listed(known())), script))
}

fn with(organisation: Organisation) -> Session {
    Session::new(Arc::new(organisation), "192.0.2.1:1025".parse().unwrap(), NOW).0
}

fn session() -> Session {
    playing(Script::default())
}

/// What is written in answer to `input`, and what is delivered.
fn exchange(session: &mut Session, input: &str) -> (String, Vec<Received>) {
    let (mut text, mut delivered) = (String::new(), Vec::new());
    for action in session.receive(input.as_bytes(), NOW) {
        match action {
            Action::Write(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Action::Deliver(received) => delivered.push(*received),
            Action::SendOut(_) => text.push_str("(sent out)"),
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
    let organisation = Organisation::new(tenant(Recipients::Everybody), Script::default());
    let greeting = Session::new(Arc::new(organisation), "192.0.2.1:1025".parse().unwrap(), NOW).1;
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

/// The reply to RCPT for alice, from `sender`.
fn rcpt(session: &mut Session, sender: &str) -> String {
    let text = answer(
        session,
        &format!("EHLO mx\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<alice@example.com>\r\nRSET\r\n"),
    );
    let replies: Vec<&str> = text.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).collect();
    replies[replies.len() - 2].to_owned()
}

#[test]
fn the_older_words_and_a_directory_out_of_step_are_by_switch() {
    let mut session = playing(Script { out_of_step: true, older_text: true, ..Script::default() });
    let reply = rcpt(&mut session, "bob@example.org");
    assert!(
        reply.starts_with("550 5.4.1 Recipient address rejected: Access denied. AS(201806281) ["),
        "{reply}"
    );
}

#[test]
fn a_domain_changes_with_delay_and_differently_on_two_front_ends() {
    let late = NOW + Duration::from_secs(1_800);
    let [prompt, slow] = [Some(tenant(Recipients::Everybody)), None].map(|change| {
        let organisation = Organisation::new(tenant(Recipients::Listed(known())), Script::default());
        change.into_iter().for_each(|tenant| organisation.become_at(late, tenant));
        Arc::new(organisation)
    });
    let reply = |organisation: &Arc<Organisation>, now| {
        let mut session = Session::new(organisation.clone(), "192.0.2.1:1".parse().unwrap(), now).0;
        let actions = session.receive(b"EHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<new@example.com>\r\n", now);
        let Some(Action::Write(last)) = actions.last() else { panic!("no reply") };
        String::from_utf8_lossy(&last[..3]).into_owned()
    };
    assert_eq!(reply(&prompt, late - Duration::from_secs(1)), "550");
    assert_eq!((reply(&prompt, late), reply(&slow, late)), ("250".to_owned(), "550".to_owned()));
}

#[test]
fn a_connector_matches_by_address_or_by_certificate() {
    let restricting = |addresses: &[&str], certificate: Option<&str>| Script {
        connector: Some(Connector {
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            certificate: certificate.map(ToOwned::to_owned),
            meant_for_clients: true,
            restricts: true,
        }),
        ..Script::default()
    };
    let other = restricting(&["192.0.2.99"], Some("gate.example"));
    let reply = rcpt(&mut playing(other.clone()), "");
    assert!(
        reply.starts_with("550 5.7.51 TenantInboundAttribution; There is a partner connector"),
        "{reply}"
    );
    let names = vec!["gate.example".to_owned()];
    let shown = Shown { names, meant_for_clients: true };
    let mut for_servers = playing(other.clone());
    assert_eq!(for_servers.tls_done(Shown { meant_for_clients: false, ..shown.clone() }, NOW), []);
    assert!(rcpt(&mut for_servers, "").starts_with("550 5.7.51"));
    let mut for_clients = playing(other);
    assert_eq!(for_clients.tls_done(shown, NOW), []);
    assert_eq!(rcpt(&mut for_clients, ""), "250 2.1.5 Recipient OK");
    assert_eq!(rcpt(&mut playing(restricting(&["192.0.2.1"], None)), ""), "250 2.1.5 Recipient OK");
}

#[test]
fn direct_send_is_refused_only_for_its_own_domains() {
    let script = Script { reject_direct_send: true, ..Script::default() };
    let reply = rcpt(&mut playing(script.clone()), "boss@EXAMPLE.com");
    assert!(reply.starts_with("550 5.7.68 TenantInboundAttribution; Direct Send not allowed"), "{reply}");
    assert_eq!(rcpt(&mut playing(script.clone()), "bob@example.org"), "250 2.1.5 Recipient OK");
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    let matched = Script { connector: Some(Connector { addresses, ..Connector::default() }), ..script };
    assert_eq!(rcpt(&mut playing(matched), "boss@example.com"), "250 2.1.5 Recipient OK");
}

#[test]
fn each_refusal_comes_where_it_does_and_with_its_code() {
    for (refusal, begins) in [
        (Refusal::BannedAddress, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]."),
        (Refusal::WrongRegion, "451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35"),
        (Refusal::NoSubscription, "451 4.4.4 Mail received as unauthenticated"),
        (Refusal::BadConnector, "550 5.7.711 Access denied, bad inbound connector. AS(2204)"),
        (Refusal::TenantAttribution, "550 5.7.64 TenantAttribution; Relay Access Denied"),
        (Refusal::Busy, "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77714)"),
    ] {
        let reply = rcpt(&mut playing(Script { refuses: Some(refusal), ..Script::default() }), "");
        assert!(reply.starts_with(begins), "{reply}");
    }
    let mut listed = playing(Script { refuses: Some(Refusal::Spamhaus), ..Script::default() });
    let text = answer(&mut listed, "HELO mx\r\nMAIL FROM:<>\r\n");
    assert!(
        text.contains("\r\n550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus")
    );
}

#[test]
fn without_a_connector_it_is_busy_after_so_many_messages() {
    let mut session = playing(Script { busy_after: Some(1), ..Script::default() });
    let message = "EHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\nBDAT 2 LAST\r\n\r\n";
    assert_eq!(exchange(&mut session, message).1.len(), 1);
    let (text, delivered) = exchange(&mut session, message);
    assert!(text.contains("451 4.7.500 Server busy.") && delivered.is_empty(), "{text}");
}

#[test]
fn an_internal_relay_sends_strangers_back_until_twenty_hops() {
    let organisation = Organisation::new(tenant(Recipients::Elsewhere(known())), Script::default());
    let mut session = with(organisation);
    let message = |hops: usize| {
        let fields = "Received: from a by b\r\n".repeat(hops);
        let to = "RCPT TO:<alice@example.com>\r\nRCPT TO:<gone@example.com>\r\n";
        format!("EHLO mx\r\nMAIL FROM:<x@y>\r\n{to}DATA\r\n{fields}\r\n.\r\n")
    };
    let mut actions = session.receive(message(19).as_bytes(), NOW).into_iter();
    let sent = actions.find_map(|action| match action {
        Action::SendOut(outgoing) => Some(*outgoing),
        _ => None,
    });
    let sent = sent.unwrap();
    assert_eq!((sent.sender.as_str(), sent.recipient.as_str()), ("x@y", "gone@example.com"));
    assert!(sent.message.starts_with(b"Received: from mx ([192.0.2.1])\r\n by DB1"));
    assert_eq!(actions.filter(|action| matches!(action, Action::SendOut(_))).count(), 0);
    let text = answer(&mut session, &message(20));
    assert!(text.contains("554 5.4.14 Hop count exceeded - possible mail loop ATTR34 ["), "{text}");
}

#[test]
fn what_is_reported_later_is_taken_now() {
    let script = Script { reported_later: known(), ..Script::default() };
    let message = |sender| {
        format!("EHLO mx\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<alice@example.com>\r\nBDAT 2 LAST\r\n\r\n")
    };
    let mut session = playing(script);
    let report = session
        .receive(message("bob@example.org").as_bytes(), NOW)
        .into_iter()
        .find_map(|action| if let Action::SendOut(report) = action { Some(*report) } else { None });
    let report = report.unwrap();
    assert_eq!((report.sender.as_str(), report.recipient.as_str()), ("", "bob@example.org"));
    assert!(String::from_utf8(report.message).unwrap().contains("Final-Recipient: rfc822;alice@example.com"));
    let (text, delivered) = exchange(&mut session, &message(""));
    assert!(!text.contains("(sent out)") && delivered.len() == 1, "nobody is told what nobody sent");
}

#[test]
fn connections_break_where_they_are_told_to() {
    let breaking = |at| playing(Script { breaks: Some(at), ..Script::default() });
    assert_eq!(breaking(Break::AfterTls).tls_done(Shown::default(), NOW), [Action::Close]);
    let envelope = "EHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n";
    for (at, data) in [(Break::MidData, "a line\r\n"), (Break::BeforeFinalReply, "a line\r\n.\r\n")] {
        let mut session = breaking(at);
        answer(&mut session, envelope);
        assert_eq!(exchange(&mut session, data), ("(closed)".to_owned(), vec![]), "{at:?}");
    }
}

#[test]
fn two_hundred_recipients_are_counted_by_domain() {
    let two =
        Tenant { domains: vec!["a.example".into(), "b.example".into()], recipients: Recipients::Everybody };
    let mut session = with(Organisation::new(two, Script::default()));
    answer(&mut session, "EHLO mx\r\nMAIL FROM:<>\r\n");
    for domain in ["a.example", "b.example"] {
        for _ in 0..RECIPIENTS_MAX {
            assert!(answer(&mut session, &format!("RCPT TO:<x@{domain}>\r\n")).starts_with("250 "));
        }
        assert!(answer(&mut session, &format!("RCPT TO:<x@{domain}>\r\n")).starts_with("452 4.5.3 "));
    }
}

#[test]
fn what_is_stored_tells_the_source_behind_the_gateway() {
    let mut session = after_rcpt();
    let message = "DATA\r\nReceived: from client ([203.0.113.7]) by mx.example.com\r\n\tfor x\r\n\r\n.\r\n";
    let received = exchange(&mut session, message).1.remove(0);
    let stored = String::from_utf8(received.stored()).unwrap();
    let field = "X-MS-Exchange-SkipListedInternetSender: ip=[203.0.113.7];domain=example.org\r\n";
    assert!(stored.starts_with(field) && stored.len() == field.len() + received.message.len(), "{stored}");
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
