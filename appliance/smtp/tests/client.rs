//! The client session against servers that refuse, lie, stall, or speak no SMTP at all.

#[path = "pair/mod.rs"]
mod pair;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use pair::*;
use proptest::prelude::*;
use smtp::{
    body_scanner::Violation,
    client::{Failure, Input, Need, PeerFault, Stage, TlsPolicy},
    envelope::{BodyKind, EnvelopeId},
    reply::{REPLY_LINE_MAX, REPLY_LINES_MAX, Reply, ReplyError},
};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn one() -> smtp::client::Transaction {
    transaction("<a@b.example>", &["<c@example.com>"])
}

/// A client that has sent MAIL and RCPT to a server with PIPELINING.
fn sent(extensions: &[&str], body: &[u8]) -> Client {
    let mut client = Client::ready(&[&["PIPELINING"], extensions].concat());
    client.deliver(one(), body);
    client.written.clear();
    client
}

/// A client whose server has said 354.
fn in_body(pieces: &[&'static [u8]]) -> Client {
    let mut client = sent(&[], b"");
    client.pieces = pieces.iter().map(|piece| Bytes::from_static(piece)).collect();
    assert_eq!(client.hear("250 ok\r\n250 ok\r\n"), "DATA\r\n");
    client.hear("354 go on\r\n");
    client
}

fn result(client: &Client) -> &Result<Reply, Failure> {
    &client.outcomes.last().expect("an outcome").result
}

#[test]
fn a_message_is_sent_step_by_step_without_extensions() {
    let mut client = Client::new(client_config());
    assert_eq!(client.hear("220 old.example\r\n"), "EHLO out.example.org\r\n");
    assert_eq!(client.hear("502 What?\r\n"), "HELO out.example.org\r\n");
    assert_eq!(client.hear("250 old.example\r\n"), "");
    let mut envelope = one();
    envelope.parameters.size = Some(3);
    envelope.parameters.envid = EnvelopeId::new("x");
    client.deliver(envelope, b".a");
    assert_eq!(client.take_text(), "MAIL FROM:<a@b.example>\r\n");
    assert_eq!(client.hear("250 ok\r\n"), "RCPT TO:<c@example.com>\r\n");
    assert_eq!(client.hear("251 forwarded\r\n"), "DATA\r\n");
    assert_eq!(client.hear("354 go\r\n"), "..a\r\n.\r\n");
    client.hear("250 2.0.0 done\r\n");
    assert_eq!(result(&client).as_ref().unwrap().to_string(), "250 2.0.0 done");
    client.input(Input::Quit);
    assert_eq!(client.take_text(), "QUIT\r\n");
    client.hear("221 bye\r\n");
    assert_eq!(client.closed, Some(Ok(())));
}

#[test]
fn only_what_is_offered_is_used() {
    let mut client = Client::ready(&["SIZE 100", "8BITMIME", "SMTPUTF8", "DSN", "PIPELINING"]);
    let mut envelope = transaction("<ü@b.example>", &["<c@example.com>"]);
    envelope.parameters.size = Some(3);
    envelope.parameters.body = BodyKind::EightBitMime;
    envelope.parameters.envid = EnvelopeId::new("x");
    client.deliver(envelope, b"a\r\n");
    assert_eq!(
        client.take_text(),
        "MAIL FROM:<ü@b.example> SIZE=3 BODY=8BITMIME SMTPUTF8 ENVID=x\r\nRCPT TO:<c@example.com>\r\n"
    );
}

#[test]
fn nothing_is_downgraded_in_silence() {
    let mut client = Client::ready(&["SIZE 100"]);
    let mut envelope = one();
    envelope.parameters.body = BodyKind::EightBitMime;
    client.deliver(envelope, b"");
    assert_eq!(result(&client), &Err(Failure::Unsupported(Need::EightBitMime)));
    client.deliver(transaction("<>", &["<ü@example.com>"]), b"");
    assert_eq!(result(&client), &Err(Failure::Unsupported(Need::SmtpUtf8)));
    let mut envelope = one();
    envelope.parameters.size = Some(101);
    client.deliver(envelope, b"");
    assert_eq!(result(&client), &Err(Failure::TooLarge { limit: 100 }));
    assert!(client.ready && client.take_text().is_empty(), "nothing was said, the connection is good");
}

#[test]
fn each_recipient_has_its_own_reply() {
    let mut client = Client::ready(&["PIPELINING"]);
    client.deliver(transaction("<>", &["<a@b.example>", "<b@b.example>", "<c@b.example>"]), b"x\r\n");
    client.hear("250 ok\r\n550 5.1.1 no\r\n250 ok\r\n452 4.2.2 full\r\n");
    client.hear("354 go\r\n");
    client.hear("250 ok\r\n");
    let codes: Vec<_> =
        client.outcomes[0].recipients.iter().map(|reply| reply.as_ref().unwrap().code()).collect();
    assert_eq!(codes, [550, 250, 452]);
    assert!(result(&client).is_ok());
}

#[test]
fn refusals_say_where_and_leave_the_connection_good() {
    let refused = |stage, text: &str| {
        let (code, text) = text.split_once(' ').unwrap();
        Err(Failure::Refused { stage, reply: Reply::new(code.parse().unwrap(), text) })
    };
    let mut client = sent(&[], b"x\r\n");
    client.hear("451 later\r\n503 no sender\r\n");
    assert_eq!(result(&client), &refused(Stage::Mail, "451 later"));
    assert!(client.ready);
    let mut client = sent(&[], b"x\r\n");
    assert_eq!(client.hear("250 ok\r\n550 no\r\n"), "RSET\r\n");
    client.hear("250 ok\r\n");
    assert_eq!(result(&client), &Err(Failure::NoRecipients));
    assert!(client.ready);
    let mut client = sent(&[], b"x\r\n");
    client.hear("250 ok\r\n250 ok\r\n");
    assert_eq!(client.hear("554 no\r\n"), "RSET\r\n");
    client.hear("250 ok\r\n");
    assert_eq!(result(&client), &refused(Stage::Data, "554 no"));
    let mut client = in_body(&[b"x\r\n"]);
    client.hear("554 spam\r\n");
    assert_eq!(result(&client), &refused(Stage::EndOfData, "554 spam"));
    assert!(client.ready && client.closed.is_none());
}

#[test]
fn a_421_ends_the_connection_wherever_it_comes() {
    let mut client = Client::new(client_config());
    client.hear("421 4.3.2 busy\r\n");
    let Some(Err(Failure::Refused { stage: Stage::Greeting, reply })) = &client.closed else { panic!() };
    assert_eq!(reply.to_string(), "421 4.3.2 busy");
    let mut client = Client::ready(&[]);
    client.hear("421 idle\r\n");
    assert!(matches!(client.closed, Some(Err(Failure::Refused { stage: Stage::Idle, .. }))));
    let mut client = sent(&[], b"");
    client.hear("250 ok\r\n421 going\r\n");
    assert!(matches!(result(&client), Err(Failure::Refused { stage: Stage::Rcpt, .. })));
    assert!(client.closed.is_some());
}

#[test]
fn replies_out_of_place_are_the_servers_fault() {
    let fault = |client: &Client, stage| match client.closed.as_ref().unwrap().as_ref().unwrap_err() {
        Failure::Peer { stage: at, fault } if *at == stage => fault.clone(),
        other => panic!("{other}"),
    };
    let mut client = sent(&[], b"");
    client.hear("354 go\r\n");
    assert!(matches!(fault(&client, Stage::Mail), PeerFault::Unexpected(_)), "354 to MAIL");
    let mut client = sent(&[], b"");
    client.hear("250 ok\r\n250 ok\r\n");
    client.hear("250 done\r\n");
    assert!(matches!(fault(&client, Stage::Data), PeerFault::Unexpected(_)), "250 to DATA");
    let mut client = in_body(&[]);
    assert!(client.outcomes.is_empty());
    client.hear("250 done\r\n");
    assert!(matches!(fault(&client, Stage::Body), PeerFault::Early(_)), "250 before the dot");
    assert!(client.outcomes[0].result.is_err());
    let mut client = Client::ready(&[]);
    client.hear("250 and one more\r\n");
    assert!(matches!(fault(&client, Stage::Idle), PeerFault::Early(_)));
    let mut client = Client::new(client_config());
    client.hear("354 go\r\n");
    assert!(matches!(fault(&client, Stage::Greeting), PeerFault::Unexpected(_)));
}

#[test]
fn garbage_is_told_from_a_reply() {
    let garbage = |text: &str| {
        let mut client = Client::new(client_config());
        for piece in text.as_bytes().chunks(997) {
            client.input(Input::Bytes(piece));
        }
        match client.closed {
            Some(Err(Failure::Peer { stage: Stage::Greeting, fault: PeerFault::Garbage(error) })) => {
                Some(error)
            }
            None => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(garbage("HTTP/1.1 400 Bad Request\r\n"), Some(ReplyError::NoCode));
    assert_eq!(garbage("\r\n"), Some(ReplyError::NoCode));
    assert_eq!(garbage("2200 x\r\n"), Some(ReplyError::NoCode));
    assert_eq!(garbage("120 x\r\n"), Some(ReplyError::NoCode));
    assert_eq!(garbage("220-a\r\n221 b\r\n"), Some(ReplyError::CodesDiffer));
    assert_eq!(garbage(&"220-x\r\n".repeat(10_000)), Some(ReplyError::TooManyLines));
    assert_eq!(garbage(&"2".repeat(1_000_000)), Some(ReplyError::LineTooLong(2048)), "no line end");
    assert_eq!(garbage(&format!("220 {}\r\n", "x".repeat(1_000_000))), Some(ReplyError::LineTooLong(2048)));
    assert_eq!(garbage(&format!("220 {}\r\n", "x".repeat(REPLY_LINE_MAX - 6))), None);
    assert_eq!(
        garbage(&format!("220 {}\r\n", "x".repeat(REPLY_LINE_MAX - 5))),
        Some(ReplyError::LineTooLong(2048))
    );
    assert_eq!(garbage(&("220-x\r\n".repeat(REPLY_LINES_MAX - 1) + "220 x\r\n")), None);
    assert_eq!(garbage(&("220-x\r\n".repeat(REPLY_LINES_MAX) + "220 x\r\n")), Some(ReplyError::TooManyLines));
}

fn at_starttls(policy: TlsPolicy) -> Client {
    let mut config = client_config();
    config.tls = policy;
    let mut client = Client::new(config);
    client.hear("220 mx.example.com\r\n");
    assert_eq!(client.hear("250-mx.example.com\r\n250 STARTTLS\r\n"), "STARTTLS\r\n");
    client
}

#[test]
fn plaintext_behind_the_reply_to_starttls_aborts() {
    let wire = "220 go\r\n250-mx.example.com\r\n250 AUTH PLAIN\r\n";
    for at in 0..wire.len() {
        let mut client = at_starttls(TlsPolicy::Opportunistic);
        client.hear(&wire[..at]);
        client.hear(&wire[at..]);
        let Some(Err(Failure::Peer { fault: PeerFault::InjectedPlaintext, .. })) = client.closed else {
            panic!("split at {at}: {:?}", client.closed)
        };
    }
}

#[test]
fn what_was_learnt_before_tls_is_forgotten() {
    let mut client = at_starttls(TlsPolicy::Required);
    client.hear("220 go\r\n");
    assert!(client.tls_started && !client.session.wants_read());
    client.input(Input::TlsDone);
    assert_eq!(client.take_text(), "EHLO out.example.org\r\n");
    client.hear("250-mx.example.com\r\n250 SIZE\r\n");
    assert!(client.ready && client.session.is_tls() && !client.session.extensions().starttls);
}

#[test]
fn tls_that_is_refused_ends_the_attempt_only_if_it_is_required() {
    let mut client = at_starttls(TlsPolicy::Opportunistic);
    client.hear("454 4.7.0 not now\r\n");
    assert!(client.ready && !client.session.is_tls());
    let mut client = at_starttls(TlsPolicy::Required);
    assert_eq!(client.hear("454 4.7.0 not now\r\n"), "QUIT\r\n");
    assert!(matches!(client.closed, Some(Err(Failure::TlsUnavailable(Some(_))))));
    let mut client = at_starttls(TlsPolicy::Opportunistic);
    client.hear("220 go\r\n");
    client.input(Input::TlsFailed);
    assert_eq!(client.closed, Some(Err(Failure::TlsFailed)));
    let mut config = client_config();
    config.tls = TlsPolicy::Off;
    let mut client = Client::new(config);
    client.hear("220 x\r\n250-x\r\n250 STARTTLS\r\n");
    assert!(client.ready);
}

#[test]
fn a_body_that_may_not_be_sent_never_gets_its_final_dot() {
    for (body, violation) in [
        (&b"a\n.\nMAIL"[..], Violation::BareLf),
        (b"a\r.\r\n", Violation::BareCr),
        (b"a\0", Violation::Nul),
        (b"a\r", Violation::BareCr),
    ] {
        for extensions in [&["CHUNKING"][..], &[]] {
            let mut client = sent(extensions, body);
            let mut said = client.hear("250 ok\r\n250 ok\r\n");
            if extensions.is_empty() {
                said = client.hear("354 go\r\n");
            }
            assert_eq!(client.closed, Some(Err(Failure::Body(violation))));
            assert_eq!(said, "");
        }
    }
    let mut client = in_body(&["\u{fc}\r\n".as_bytes()]);
    assert_eq!(client.closed, Some(Err(Failure::NotSevenBit)));
    assert_eq!(client.take_text(), "");
    let mut client = in_body(&[]);
    client.input(Input::BodyFailed);
    assert_eq!((client.closed, client.outcomes.len()), (Some(Err(Failure::BodyFailed)), 1));
}

#[test]
fn chunks_are_framed_and_a_refused_one_is_the_last() {
    let mut client = sent(&["CHUNKING"], b"");
    client.pieces = VecDeque::from([Bytes::from_static(b".a\r"), Bytes::from_static(b"\nb"), Bytes::new()]);
    let said = client.hear("250 ok\r\n250 ok\r\n");
    assert_eq!(said, "BDAT 2\r\n.aBDAT 3\r\n\r\nbBDAT 0 LAST\r\n");
    client.hear("250 ok\r\n250 ok\r\n250 2.0.0 done\r\n");
    assert_eq!(result(&client).as_ref().unwrap().text(), "done");
    let mut client = sent(&["CHUNKING"], b"");
    client.pieces = (0..9).map(|_| Bytes::from_static(b"a\r\n")).collect();
    assert_eq!(client.hear("250 ok\r\n250 ok\r\n").matches("BDAT").count(), 4);
    assert_eq!(client.hear("250 ok\r\n").matches("BDAT").count(), 1);
    assert_eq!(client.hear("552 too much\r\n"), "");
    assert_eq!(client.hear("503 no\r\n503 no\r\n503 no\r\n"), "RSET\r\n");
    client.hear("250 ok\r\n");
    let Err(Failure::Refused { stage: Stage::Body, reply }) = result(&client) else { panic!() };
    assert_eq!(reply.code(), 552);
    assert!(client.ready);
}

#[test]
fn commands_ahead_of_their_replies_are_bounded() {
    let mut client = Client::ready(&["PIPELINING"]);
    let all = vec!["<c@example.com>"; 120];
    client.deliver(transaction("<>", &all), b"x\r\n");
    assert_eq!(client.take_text().matches("\r\n").count(), 50);
    assert_eq!(client.hear("250 ok\r\n").matches("RCPT").count(), 1);
    assert_eq!(client.hear(&"250 ok\r\n".repeat(50)).matches("RCPT").count(), 50);
}

#[test]
fn a_lost_connection_says_where() {
    let mut client = sent(&[], b"");
    client.input(Input::PeerClosed);
    assert_eq!(result(&client), &Err(Failure::Closed(Stage::Mail)));
    let mut client = in_body(&[b"x\r\n"]);
    client.input(Input::PeerClosed);
    assert_eq!(result(&client), &Err(Failure::Closed(Stage::EndOfData)));
    assert_eq!(client.closed, Some(Err(Failure::Closed(Stage::EndOfData))));
}

#[test]
fn every_stage_has_its_time() {
    let expect = |client: &mut Client, time: Duration, stage| {
        client.wait(time - SECOND);
        assert_eq!(client.closed, None, "{stage}");
        client.wait(SECOND);
        assert_eq!(client.closed, Some(Err(Failure::Timeout(stage))));
    };
    expect(&mut Client::new(client_config()), 5 * MINUTE, Stage::Greeting);
    expect(&mut sent(&[], b""), 5 * MINUTE, Stage::Mail);
    let mut client = sent(&[], b"");
    client.hear("250 ok\r\n");
    expect(&mut client, 5 * MINUTE, Stage::Rcpt);
    client = sent(&[], b"");
    client.hear("250 ok\r\n250 ok\r\n");
    expect(&mut client, 2 * MINUTE, Stage::Data);
    expect(&mut in_body(&[]), 3 * MINUTE, Stage::Body);
    expect(&mut in_body(&[b"x\r\n"]), 10 * MINUTE, Stage::EndOfData);
    client = at_starttls(TlsPolicy::Required);
    client.hear("220 go\r\n");
    expect(&mut client, MINUTE, Stage::Tls);
}

#[test]
fn a_server_that_never_answers_quit_is_left() {
    let mut client = Client::ready(&[]);
    client.input(Input::Quit);
    client.wait(10 * SECOND);
    assert_eq!(client.closed, Some(Ok(())));
}

#[test]
fn what_is_handed_in_as_the_server_leaves_has_its_outcome() {
    let now = smtp::Time::default();
    let config = std::sync::Arc::new(client_config());
    let mut actions = smtp::client::Actions::new();
    let mut session = smtp::client::Session::new(config, now, &mut actions);
    session.handle(now, Input::PeerClosed, &mut actions);
    session.handle(now, Input::Deliver(one()), &mut actions);
    let last = actions.drain().last();
    let Some(smtp::client::Action::Done(outcome)) = last else { panic!("{last:?}") };
    assert_eq!((outcome.result, outcome.recipients), (Err(Failure::Closed(Stage::Idle)), vec![None]));
}

#[test]
fn misuse_is_told_and_harmless() {
    let mut client = Client::new(client_config());
    client.input(Input::Deliver(one()));
    assert!(matches!(result(&client), Err(Failure::Misuse(_))));
    client.input(Input::Body { chunk: Bytes::new(), last: true });
    assert_eq!((client.take_text().as_str(), client.closed), ("", None));
    let mut client = Client::ready(&[]);
    client.deliver(transaction("<>", &[]), b"");
    assert!(matches!(result(&client), Err(Failure::Misuse(_))));
    let mut client = in_body(&[]);
    client
        .input(Input::Body { chunk: Bytes::from(vec![b'a'; smtp::client::BODY_CHUNK_MAX + 1]), last: false });
    assert!(matches!(client.closed, Some(Err(Failure::Misuse(_)))));
}

proptest! {
    #[test]
    fn how_replies_are_cut_changes_nothing(cuts in prop::collection::vec(1usize..20, 1..40), tls: bool) {
        let wire = "220 a\r\n250-b\r\n250-PIPELINING\r\n250-SIZE 10\r\n250 DSN\r\n";
        let mut whole = Client::new(client_config());
        let mut cut = Client::new(client_config());
        whole.hear(wire);
        let (mut rest, mut sizes) = (wire, cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            cut.hear(piece);
            rest = tail;
        }
        prop_assert_eq!(whole.ready, cut.ready);
        prop_assert_eq!(whole.session.extensions(), cut.session.extensions());
        prop_assert_eq!(tls && cut.session.is_tls(), false);
    }

    #[test]
    fn no_server_makes_it_panic(octets in prop::collection::vec(any::<u8>(), 0..500), text in "([2345][0-9]{2}[ -][a-z]{0,3}\r\n){0,30}") {
        for wire in [octets.as_slice(), text.as_bytes()] {
            Client::new(client_config()).input(Input::Bytes(wire));
            sent(&["CHUNKING"], b"a\r\n").input(Input::Bytes(wire));
            in_body(&[b"a\r\n"]).input(Input::Bytes(wire));
        }
    }
}
