//! Both sides against each other, over links that cut the stream at every octet.

#[path = "pair/mod.rs"]
mod pair;

use bytes::Bytes;
use pair::*;
use proptest::prelude::*;
use smtp::{
    client::{Failure, Stage, TlsPolicy},
    envelope::{BodyKind, EnvelopeId, Notify, OriginalRecipient, Return},
    server::{Extensions, Protocol, Question},
};

const PIECES: [usize; 6] = [1, 2, 3, 7, 64, 65536];

fn deliver(chunking: bool, tls: bool, piece: usize, body: &[&[u8]]) -> Pair {
    let mut config = server_config();
    config.extensions = Extensions { chunking, starttls: tls, ..Extensions::default() };
    let mut pair = Pair::new(config, client_config(), piece);
    pair.settle();
    assert!(pair.client.ready);
    pair.client.pieces = body.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    let mut envelope = transaction("<a@b.example>", &["<c@example.com>", "<Postmaster>"]);
    envelope.parameters.size = Some(10);
    envelope.parameters.body = BodyKind::EightBitMime;
    envelope.parameters.ret = Some(Return::Headers);
    envelope.parameters.envid = EnvelopeId::new("a b+c");
    envelope.recipients[0].parameters.notify = Some(Notify::Never);
    envelope.recipients[0].parameters.orcpt = OriginalRecipient::new("rfc822", "x+y@z.example");
    pair.client.input(smtp::client::Input::Deliver(envelope));
    pair.settle();
    pair
}

#[test]
fn a_message_arrives_as_it_was_however_the_stream_is_cut() {
    let body: [&[u8]; 3] = [b"Subject: \xc3\xbc\r\n\r\n.\r\n..a", b"\r\n.", b"\r\n\r\nend\r\n"];
    for piece in PIECES {
        for (chunking, tls) in [(false, false), (true, false), (false, true), (true, true)] {
            let pair = deliver(chunking, tls, piece, &body);
            assert_eq!(pair.server.messages, [body.concat()], "{piece} {chunking} {tls}");
            let outcome = &pair.client.outcomes[0];
            assert_eq!(outcome.result.as_ref().unwrap().code(), 250);
            assert!(outcome.recipients.iter().all(|reply| reply.as_ref().unwrap().code() == 250));
            assert!(pair.client.ready && pair.client.session.is_tls() == tls);
            let Some(Question::EndOfMessage(end)) = pair.server.asked.last() else { panic!() };
            assert_eq!(end.protocol, if tls { Protocol::Esmtps } else { Protocol::Esmtp });
            assert_eq!((end.kind, end.size), (BodyKind::EightBitMime, body.concat().len() as u64));
        }
    }
}

#[test]
fn delivery_status_parameters_pass_through() {
    let pair = deliver(true, false, 65536, &[b"a\r\n"]);
    let mail = pair.server.asked.iter().find_map(|q| if let Question::Mail(m) = q { Some(m) } else { None });
    let parameters = &mail.unwrap().parameters;
    assert_eq!(parameters.ret, Some(Return::Headers));
    assert_eq!(parameters.envid.as_ref().unwrap().as_str(), "a b+c");
    let rcpt = pair.server.asked.iter().find_map(|q| if let Question::Rcpt(r) = q { Some(r) } else { None });
    let parameters = &rcpt.unwrap().parameters;
    assert_eq!(parameters.notify, Some(Notify::Never));
    assert_eq!(parameters.orcpt.as_ref().unwrap().address(), "x+y@z.example");
}

#[test]
fn many_messages_go_through_one_connection() {
    let mut pair = deliver(true, false, 65536, &[b"a\r\n"]);
    for n in 1..100 {
        let body = format!("{n}\r\n");
        pair.client.deliver(transaction("<>", &["<c@example.com>"]), body.as_bytes());
        pair.settle();
        assert_eq!(pair.server.messages[n], body.as_bytes());
    }
    // The server's limit of 100: 421, and the client says so with the message still in its hands.
    pair.client.deliver(transaction("<>", &["<c@example.com>"]), b"x\r\n");
    pair.settle();
    let Err(Failure::Refused { stage: Stage::Mail, reply }) = &pair.client.outcomes[100].result else {
        panic!()
    };
    assert_eq!(reply.code(), 421);
}

#[test]
fn a_thousand_recipients_are_accepted_and_one_more_is_put_off() {
    let mut pair = Pair::new(server_config(), client_config(), 65536);
    pair.settle();
    let all: Vec<String> = (0..1001).map(|n| format!("<u{n}@example.com>")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    pair.client.deliver(transaction("<>", &all), b"x\r\n");
    pair.settle();
    let outcome = &pair.client.outcomes[0];
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.recipients[999].as_ref().unwrap().code(), 250);
    assert_eq!(outcome.recipients[1000].as_ref().unwrap().to_string(), "452 4.5.3 Too many recipients");
}

#[test]
fn a_probe_sends_no_message() {
    let mut pair = Pair::new(server_config(), client_config(), 1);
    pair.server.policy = unknown_recipients;
    pair.settle();
    pair.client.input(smtp::client::Input::Probe(transaction("<>", &["<c@example.com>"])));
    pair.settle();
    let outcome = &pair.client.outcomes[0];
    assert_eq!(outcome.recipients[0].as_ref().unwrap().code(), 550);
    assert!(outcome.result.is_ok() && pair.client.ready && pair.server.messages.is_empty());
}

#[test]
fn an_idle_client_says_quit_before_the_server_loses_patience() {
    let mut pair = deliver(true, false, 65536, &[b"a\r\n"]);
    pair.step();
    assert_eq!(pair.client.closed, Some(Ok(())));
    assert_eq!(pair.server.closed, Some(smtp::server::CloseReason::Quit));
}

#[test]
fn required_tls_sends_nothing_without() {
    let mut config = client_config();
    config.tls = TlsPolicy::Required;
    let mut pair = Pair::new(server_config(), config, 65536);
    pair.settle();
    assert_eq!(pair.client.closed, Some(Err(Failure::TlsUnavailable(None))));
    assert!(!pair.server.asked.iter().any(|q| matches!(q, Question::Mail(_))));
}

proptest! {
    #[test]
    fn any_clean_body_arrives_by_both_ways(
        lines in prop::collection::vec("[.a-z\u{80}-\u{ff}]{0,6}", 0..40),
        cut in 0usize..400,
        piece in 1usize..50,
        chunking: bool,
    ) {
        let whole: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let (left, right) = whole.as_bytes().split_at(cut.min(whole.len()));
        let pair = deliver(chunking, false, piece, &[left, right]);
        prop_assert_eq!(&pair.server.messages[0], whole.as_bytes());
    }
}
