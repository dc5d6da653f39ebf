//! The server session, command by command: order, limits, times, and peers that do not behave.

#[path = "pair/mod.rs"]
mod pair;

use std::time::Duration;

use pair::*;
use proptest::prelude::*;
use smtp::{
    body_scanner::Violation,
    reply::Reply,
    server::{Answer, CloseReason, Extensions, Input, Question, READ_MAX, Waiting},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const ENVELOPE: &str = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.com>\r\n";

fn with_tls() -> smtp::server::ServerConfig {
    let mut config = server_config();
    config.extensions.starttls = true;
    config
}

#[test]
fn ehlo_lists_what_is_offered_and_nothing_else() {
    let mut server = Server::new(with_tls(), accept_all);
    assert_eq!(server.take_text(), "220 mx.example.com ESMTP\r\n");
    assert_eq!(
        server.say("EHLO client.example\r\n"),
        "250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 150000000\r\n250-8BITMIME\r\n\
         250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250 HELP\r\n"
    );
    assert_eq!(server.say("HELO client.example\r\n"), "250 mx.example.com\r\n");
    let mut config = server_config();
    config.extensions = Extensions { starttls: false, smtputf8: false, chunking: false, dsn: false };
    let mut server = Server::new(config, accept_all);
    let offered = server.say("EHLO x\r\n");
    assert!(!["STARTTLS", "SMTPUTF8", "CHUNKING", "DSN"].iter().any(|word| offered.contains(word)));
    for line in ["BDAT 1\r\n", "STARTTLS\r\n", "AUTH PLAIN\r\n", "BURL x\r\n"] {
        assert!(["500", "502"].contains(&server.code(line).as_str()), "{line}");
    }
    assert_eq!(server.code("MAIL FROM:<a@b.example> SMTPUTF8\r\n"), "555");
    assert_eq!(server.code("MAIL FROM:<a@b.example> RET=FULL\r\n"), "555");
    assert_eq!(server.code("MAIL FROM:<a@b.example> REQUIRETLS\r\n"), "555");
}

#[test]
fn small_commands_are_answered_as_the_rfc_says() {
    let mut server = Server::greeted(server_config(), accept_all);
    for (line, code) in [
        ("NOOP\r\n", "250"),
        ("noop with an argument\r\n", "250"),
        ("HELP\r\n", "214"),
        ("HELP MAIL\r\n", "214"),
        ("VRFY someone\r\n", "252"),
        ("VRFY\r\n", "501"),
        ("EXPN list\r\n", "502"),
        ("RSET\r\n", "250"),
        ("RSET now\r\n", "501"),
        ("WHAT\r\n", "500"),
        ("\r\n", "500"),
        ("DATA\r\n", "503"),
        ("RCPT TO:<a@b.example>\r\n", "503"),
        ("QUIT\r\n", "221"),
    ] {
        assert_eq!(server.code(line), code, "{line:?}");
    }
    assert_eq!(server.closed, Some(CloseReason::Quit));
}

#[test]
fn addresses_that_are_none_are_refused_and_odd_ones_are_not() {
    let mut config = server_config();
    config.limits.bad_commands = 100;
    let mut server = Server::greeted(config, accept_all);
    for (line, code) in [
        ("MAIL FROM:a@b.example\r\n", "501"),
        ("MAIL FROM:<a@b.example.>\r\n", "501"),
        ("MAIL FROM:<@b.example>\r\n", "501"),
        ("MAIL FROM:<a b@b.example>\r\n", "501"),
        ("MAIL <a@b.example>\r\n", "501"),
        ("MAIL FROM:<a@b.example>SIZE=1\r\n", "501"),
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2\r\n", "501"),
        ("MAIL FROM:<a@b.example> AUTH=<>\r\n", "555"),
        ("MAIL FROM:<\u{fc}@b.example>\r\n", "553"),
        ("MAIL FROM:<a@b.example> SIZE=150000001\r\n", "552"),
        ("MAIL FROM:<@x.example,@y.example:a@b.example> SIZE=150000000 BODY=8BITMIME\r\n", "250"),
        ("MAIL FROM:<a@b.example>\r\n", "503"),
        ("DATA\r\n", "554"),
        ("RCPT TO:<\u{fc}@example.com>\r\n", "553"),
        ("RCPT TO:<>\r\n", "501"),
        ("RCPT TO:<\"a\\\u{7f}\"@example.com>\r\n", "500"),
        ("RCPT TO:<a%b@example.com>\r\n", "250"),
        ("rcpt to: <\"a@b\"@example.com> \r\n", "250"),
        ("RCPT TO:<@x.example:a@example.com> NOTIFY=NEVER\r\n", "250"),
        ("RCPT TO:<a@[192.0.2.1]>\r\n", "250"),
        ("RCPT TO:<PostMaster>\r\n", "250"),
        ("RSET\r\n", "250"),
        ("MAIL FROM:<\u{fc}@b.example> SMTPUTF8\r\n", "250"),
        ("RCPT TO:<\u{fc}@example.com>\r\n", "250"),
    ] {
        assert_eq!(server.code(line), code, "{line:?}");
    }
}

#[test]
fn percent_and_quoted_at_stay_in_our_domain() {
    let mut server = Server::greeted(server_config(), accept_all);
    server.say("MAIL FROM:<>\r\nRCPT TO:<a%b@ours.example>\r\n");
    server.say("RCPT TO:<\"a@b\"@ours.example>\r\nRCPT TO:<@x.example:a@ours.example>\r\n");
    let domains: Vec<_> = server
        .asked
        .iter()
        .filter_map(|q| if let Question::Rcpt(rcpt) = q { rcpt.to.address() } else { None })
        .map(|address| address.domain().unwrap().as_str())
        .collect();
    assert_eq!(domains, ["ours.example"; 3]);
}

#[test]
fn who_speaks_before_the_banner_is_turned_away() {
    let mut server = Server::new(server_config(), |_| None);
    assert!(server.session.wants_read());
    assert_eq!(server.say("EHLO a\r\n"), "554 5.5.0 Wait for the banner\r\n");
    assert_eq!(server.closed, Some(CloseReason::EarlyTalker));
}

#[test]
fn who_does_not_wait_for_ehlo_or_data_is_turned_away() {
    let mut server = Server::new(server_config(), accept_all);
    server.written.clear();
    assert_eq!(server.code("EHLO a.example\r\nMAIL FROM:<>\r\n"), "554");
    assert_eq!(server.closed, Some(CloseReason::Unsynchronised));
    let mut server = Server::greeted(server_config(), accept_all);
    assert_eq!(server.code(&format!("{ENVELOPE}DATA\r\nSubject: a\r\n")), "554");
    assert!(server.messages.is_empty());
}

#[test]
fn plaintext_behind_starttls_closes_the_connection() {
    let wire = "STARTTLS\r\nMAIL FROM:<forged@b.example>\r\n";
    for at in 0..=wire.len() {
        let mut server = Server::greeted(with_tls(), accept_all);
        let questions = server.asked.len();
        server.bytes(&wire.as_bytes()[..at]);
        server.bytes(&wire.as_bytes()[at..]);
        if at == 10 {
            // All that follows came after our 220: it is refused there.
            assert!(server.tls_started);
        }
        assert_eq!(server.closed, Some(CloseReason::InjectedPlaintext), "split at {at}");
        assert_eq!(server.asked.len(), questions);
    }
}

#[test]
fn starttls_forgets_what_was_said() {
    let mut server = Server::greeted(with_tls(), accept_all);
    server.say(ENVELOPE);
    assert_eq!(server.say("STARTTLS\r\n"), "220 2.0.0 Ready to start TLS\r\n");
    assert!(server.tls_started && !server.session.wants_read());
    assert_eq!(server.resets, 1);
    server.input(Input::TlsDone);
    assert!(server.session.is_tls() && server.session.client_name().is_none());
    assert_eq!(server.code("RCPT TO:<c@example.com>\r\n"), "503");
    assert_eq!(server.code("MAIL FROM:<a@b.example>\r\n"), "503");
    assert!(!server.say("EHLO client.example\r\n").contains("STARTTLS"));
    assert_eq!(server.code("STARTTLS\r\n"), "503");
}

#[test]
fn a_failed_or_slow_handshake_ends_the_connection_without_a_word() {
    let mut server = Server::greeted(with_tls(), accept_all);
    server.say("STARTTLS\r\n");
    server.input(Input::TlsFailed);
    assert_eq!(server.closed, Some(CloseReason::TlsFailed));
    let mut server = Server::greeted(with_tls(), accept_all);
    server.say("STARTTLS\r\n");
    server.wait(29 * SECOND);
    assert_eq!(server.closed, None);
    server.wait(SECOND);
    assert_eq!(server.closed, Some(CloseReason::Timeout(Waiting::Tls)));
    assert_eq!(server.take_text(), "");
}

#[test]
fn ehlo_and_rset_forget_a_transaction() {
    for line in ["EHLO again.example\r\n", "HELO again.example\r\n", "RSET\r\n"] {
        let mut server = Server::greeted(server_config(), accept_all);
        server.say(ENVELOPE);
        assert_eq!(server.code(line), "250");
        assert_eq!(server.resets, 1);
        assert_eq!(server.code("DATA\r\n"), "503");
    }
}

#[test]
fn commands_end_with_cr_lf_only() {
    for line in
        ["NOOP\n", "NOOP\r\r\n", "NOOP\rRSET\r\n", "MAIL FROM:<a@b.example>\nRCPT TO:<c@example.com>\r\n"]
    {
        let mut server = Server::greeted(server_config(), accept_all);
        let questions = server.asked.len();
        assert_eq!(server.code(line), "500", "{line:?}");
        assert_eq!(server.closed, Some(CloseReason::BareLineEnd));
        assert_eq!(server.asked.len(), questions);
    }
}

#[test]
fn a_command_line_has_2048_octets() {
    for (length, code) in [(2047, "250"), (2048, "250"), (2049, "500"), (5000, "500")] {
        let mut server = Server::greeted(server_config(), accept_all);
        let line = format!("NOOP {}\r\n", "a".repeat(length - 7));
        assert_eq!(server.code(&line), code, "{length}");
        assert_eq!(server.say("RSET\r\n"), "250 2.0.0 Ok\r\n", "after {length}");
        let mut server = Server::greeted(server_config(), accept_all);
        line.bytes().for_each(|octet| server.bytes(&[octet]));
        assert!(server.take_text().starts_with(code), "{length} octet by octet");
        assert_eq!(server.say("RSET\r\n"), "250 2.0.0 Ok\r\n", "after {length} octet by octet");
    }
}

#[test]
fn a_command_line_without_end_ends_the_connection() {
    let mut server = Server::greeted(server_config(), accept_all);
    server.bytes(&vec![b'a'; 70_000]);
    assert_eq!(server.closed, Some(CloseReason::EndlessLine));
    assert_eq!(server.take_text().matches("\r\n").count(), 2);
}

#[test]
fn ten_bad_commands_are_borne() {
    let mut server = Server::greeted(server_config(), accept_all);
    for _ in 0..10 {
        assert_eq!(server.code("BAD\r\n"), "500");
    }
    assert_eq!(server.code("BAD\r\n"), "421");
    assert_eq!(server.closed, Some(CloseReason::BadCommands));
}

#[test]
fn a_hundred_commands_without_mail_are_borne() {
    for line in ["NOOP\r\n", "RSET\r\n", "HELP\r\n", "VRFY a\r\n", "EXPN a\r\n"] {
        let mut server = Server::greeted(server_config(), accept_all);
        // EHLO was the first.
        for _ in 1..100 {
            assert_ne!(server.code(line), "421");
        }
        assert_eq!(server.code(line), "421");
        assert_eq!(server.closed, Some(CloseReason::IdleCommands));
    }
    let mut server = Server::greeted(server_config(), accept_all);
    for _ in 0..3 {
        (0..90).for_each(|_| assert_eq!(server.code("NOOP\r\n"), "250"));
        server.say(ENVELOPE);
        server.say("DATA\r\n");
        assert_eq!(server.code("a\r\n.\r\n"), "250");
    }
}

#[test]
fn twenty_unknown_recipients_are_borne() {
    let mut server = Server::greeted(server_config(), unknown_recipients);
    server.say("MAIL FROM:<a@b.example>\r\n");
    for _ in 0..20 {
        assert_eq!(server.code("RCPT TO:<c@example.com>\r\n"), "550");
    }
    assert_eq!(server.code("RCPT TO:<c@example.com>\r\n"), "421");
    assert_eq!(server.closed, Some(CloseReason::UnknownRecipients));
}

#[test]
fn a_thousand_recipients_are_accepted() {
    let mut server = Server::greeted(server_config(), accept_all);
    server.say("MAIL FROM:<a@b.example>\r\n");
    for _ in 0..1000 {
        assert_eq!(server.code("RCPT TO:<c@example.com>\r\n"), "250");
    }
    assert_eq!(server.say("RCPT TO:<c@example.com>\r\n"), "452 4.5.3 Too many recipients\r\n");
    assert_eq!(server.code("DATA\r\n"), "354");
}

#[test]
fn a_hundred_messages_are_accepted_on_a_connection() {
    let mut server = Server::greeted(server_config(), accept_all);
    for _ in 0..100 {
        server.say(ENVELOPE);
        server.say("DATA\r\n");
        assert_eq!(server.code(".\r\n"), "250");
    }
    assert_eq!(server.code("MAIL FROM:<a@b.example>\r\n"), "421");
    assert_eq!(server.closed, Some(CloseReason::Messages));
}

#[test]
fn the_size_limit_holds_while_the_body_streams() {
    let mut config = server_config();
    config.limits.message_size = 10;
    for (body, code) in [("12345678\r\n.\r\n", "250"), ("123456789\r\n.\r\n", "552")] {
        let mut server = Server::in_data(config.clone());
        assert_eq!(server.code(body), code, "{body:?}");
        assert_eq!(server.messages.len(), usize::from(code == "250"));
        assert_eq!(server.resets, usize::from(code == "552"));
        assert_eq!(server.code("NOOP\r\n"), "250");
    }
    let mut server = Server::in_data(config);
    for _ in 0..300 {
        server.bytes(&[b'a'; READ_MAX]);
        assert!(server.body.is_empty());
    }
    assert_eq!(server.take_text(), "552 5.3.4 Message too large\r\n");
    assert_eq!(server.closed, Some(CloseReason::EndlessBody));
}

#[test]
fn a_line_of_a_million_octets_is_accepted() {
    for (length, code) in [(1_000_000, "250"), (1_000_001, "550")] {
        let mut server = Server::in_data(server_config());
        assert_eq!(server.code(&format!("{}\r\n.\r\n", "a".repeat(length))), code, "{length}");
        assert_eq!(server.messages.len(), usize::from(code == "250"));
        assert_eq!(server.closed, None);
    }
}

#[test]
fn bdat_counts_and_refuses_by_chunk() {
    let mut config = server_config();
    config.limits.message_size = 10;
    let mut server = Server::greeted(config, accept_all);
    assert_eq!(server.say("BDAT 4\r\nMAIL"), "503 5.5.1 Say MAIL first\r\n");
    server.say("MAIL FROM:<a@b.example>\r\n");
    assert_eq!(server.code("BDAT 4 LAST\r\nRSET"), "554");
    server.say("RCPT TO:<c@example.com>\r\n");
    assert_eq!(server.say("BDAT 5\r\n12345"), "250 2.0.0 5 octets received\r\n");
    for line in ["MAIL FROM:<>\r\n", "RCPT TO:<c@example.com>\r\n", "DATA\r\n"] {
        assert_eq!(server.code(line), "503", "{line}");
    }
    assert_eq!(server.code("BDAT 5 LAST\r\n67890"), "250");
    assert_eq!(server.messages, [b"1234567890".to_vec()]);
    server.say(ENVELOPE);
    assert_eq!(server.code("BDAT 5\r\n12345"), "250");
    assert_eq!(server.code("BDAT 6\r\n123456"), "552");
    // Nothing of a message whose one chunk was refused is taken.
    assert_eq!(server.code("BDAT 1\r\n1"), "552");
    assert_eq!(server.code("BDAT 0 LAST\r\n"), "552");
    assert_eq!((server.messages.len(), server.resets), (1, 1));
    server.say(ENVELOPE);
    assert_eq!(server.code("BDAT 99999999999999999999 LAST\r\n"), "552");
    assert_eq!(server.closed, Some(CloseReason::EndlessBody));
    for line in ["BDAT\r\n", "BDAT x\r\n", "BDAT 1 FIRST\r\n", "BDAT -1\r\n"] {
        let mut server = Server::greeted(server_config(), accept_all);
        assert_eq!(server.code(line), "501");
        assert!(server.closed.is_some(), "{line}: what follows cannot be understood");
    }
}

#[test]
fn a_decision_against_bdat_holds_for_all_its_chunks() {
    let mut server = Server::greeted(server_config(), |question| {
        Some(match question {
            Question::Data => Answer::Refuse(Reply::new(452, "Full").enhanced(4, 3, 1)),
            _ => Answer::Accept,
        })
    });
    server.say(ENVELOPE);
    let replies = server.say("BDAT 2\r\na\nBDAT 1 LAST\r\nb");
    assert!(replies.starts_with("550 5.6.0"), "a bare LF is refused also here: {replies}");
    let mut server = Server::greeted(server_config(), server.policy);
    server.say(ENVELOPE);
    assert_eq!(server.say("BDAT 1\r\naBDAT 1 LAST\r\nb"), "452 4.3.1 Full\r\n452 4.3.1 Full\r\n");
    assert!(server.body.is_empty() && server.messages.is_empty());
}

#[test]
fn decisions_become_replies_in_order() {
    let mut server = Server::greeted(server_config(), |question| match question {
        Question::Rcpt(_) => None,
        Question::EndOfMessage(_) => {
            Some(Answer::AcceptWith(Reply::new(250, "Stored as 7").enhanced(2, 6, 0)))
        }
        _ => Some(Answer::Accept),
    });
    let replies = server.say(&format!("{ENVELOPE}RSET\r\nNOOP\r\n"));
    assert_eq!(replies, "250 2.1.0 Ok\r\n");
    assert!(!server.session.wants_read());
    server.input(Input::Answer(Answer::Refuse(Reply::new(250, "a mistake of ours"))));
    assert_eq!(server.take_text(), "451 4.3.0 Local error\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n");
    assert!(server.session.wants_read());
    server.say(ENVELOPE);
    server.input(Input::Answer(Answer::Accept));
    assert_eq!(server.say("DATA\r\n"), "250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
    assert_eq!(server.say("a\r\n.\r\n"), "250 2.6.0 Stored as 7\r\n");
    server.input(Input::Answer(Answer::Accept));
    assert_eq!(server.take_text(), "", "an answer without a question is ignored");
}

#[test]
fn input_behind_an_open_question_is_bounded() {
    let mut server = Server::greeted(server_config(), |question| {
        (!matches!(question, Question::Rcpt(_))).then_some(Answer::Accept)
    });
    server.say(ENVELOPE);
    server.bytes(&[b'\n'; READ_MAX]);
    server.bytes(&[b'\n'; READ_MAX]);
    assert_eq!(server.closed, None);
    server.bytes(b"\n");
    assert_eq!(server.closed, Some(CloseReason::Overrun));
}

#[test]
fn a_question_without_answer_ends_in_421() {
    let policy =
        |question: &Question| (!matches!(question, Question::EndOfMessage(_))).then_some(Answer::Accept);
    let mut server = Server::in_data(server_config());
    server.policy = policy;
    server.say("a\r\n.\r\n");
    server.wait(9 * MINUTE - SECOND);
    assert_eq!(server.closed, None);
    server.wait(SECOND);
    assert_eq!(server.closed, Some(CloseReason::Unanswered));
    assert!(server.take_text().starts_with("421 4.3.0 mx.example.com "));
    server.input(Input::Answer(Answer::Accept));
}

#[test]
fn half_a_command_does_not_buy_time() {
    let mut server = Server::greeted(server_config(), accept_all);
    for _ in 0..4 {
        server.wait(MINUTE);
        server.bytes(b"N");
    }
    server.wait(MINUTE - SECOND);
    assert_eq!(server.closed, None);
    server.wait(SECOND);
    assert_eq!(server.closed, Some(CloseReason::Timeout(Waiting::Command)));
    assert_eq!(server.take_text(), "421 4.4.2 mx.example.com Too slow\r\n");
}

#[test]
fn data_has_three_minutes_a_block_and_an_hour_in_all() {
    let mut server = Server::in_data(server_config());
    server.wait(3 * MINUTE - SECOND);
    assert_eq!(server.closed, None);
    server.wait(SECOND);
    assert_eq!(server.closed, Some(CloseReason::Timeout(Waiting::DataBlock)));
    let mut server = Server::in_data(server_config());
    for _ in 0..59 {
        server.wait(MINUTE);
        server.bytes(b"a");
    }
    assert_eq!(server.closed, None);
    server.wait(MINUTE);
    assert_eq!(server.closed, Some(CloseReason::Timeout(Waiting::DataEnd)));
}

#[test]
fn a_gigabyte_of_received_fields_is_cut_short() {
    let mut server = Server::in_data(server_config());
    let fields = "Received: from a by b\r\n".repeat(2000);
    let mut sent = 0_u64;
    while server.closed.is_none() {
        server.bytes(fields.as_bytes());
        server.body.clear();
        sent += fields.len() as u64;
        assert!(sent < 200_000_000);
    }
    assert_eq!(server.closed, Some(CloseReason::EndlessBody));
}

#[test]
fn bodies_of_every_violation_are_named() {
    for (body, violation) in
        [("a\rb", Violation::BareCr), ("a\nb", Violation::BareLf), ("a\0b", Violation::Nul)]
    {
        let mut server = Server::in_data(server_config());
        server.say(body);
        assert_eq!(server.closed, Some(CloseReason::Body(violation)));
    }
}

#[test]
fn a_peer_that_goes_is_let_go() {
    let mut server = Server::in_data(server_config());
    server.input(Input::PeerClosed);
    assert_eq!(server.closed, Some(CloseReason::PeerClosed));
    assert_eq!(server.take_text(), "");
}

proptest! {
    #[test]
    fn how_input_is_cut_changes_nothing(
        commands in prop::collection::vec(0usize..12, 1..20),
        cuts in prop::collection::vec(1usize..30, 1..60),
    ) {
        const LINES: [&str; 12] = [
            "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@example.com>\r\n", "RSET\r\n", "NOOP\r\n", "BAD\r\n",
            "BDAT 5\r\n1\r\n.\r", "BDAT 3 LAST\r\n\na\n", "BDAT 4 LAST\r\n\nb\r\n", "VRFY a\r\n",
            "RCPT TO:<broken\r\n", "MAIL FROM:<> SIZE=1\r\n", "HELP\r\n",
        ];
        let wire: String = commands.iter().map(|&at| LINES[at]).collect();
        let mut whole = Server::greeted(server_config(), accept_all);
        whole.bytes(wire.as_bytes());
        let mut cut = Server::greeted(server_config(), accept_all);
        let (mut rest, mut sizes) = (wire.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            cut.bytes(piece);
            rest = tail;
        }
        prop_assert_eq!(whole.take_text(), cut.take_text());
        prop_assert_eq!(whole.asked, cut.asked);
        prop_assert_eq!(whole.messages, cut.messages);
        prop_assert_eq!(whole.closed, cut.closed);
    }

    #[test]
    fn no_input_makes_it_panic(octets in prop::collection::vec(any::<u8>(), 0..3000)) {
        Server::greeted(server_config(), accept_all).bytes(&octets);
        Server::in_data(server_config()).bytes(&octets);
    }
}

#[test]
fn the_banner_is_out_in_time_or_the_connection_ends() {
    for (seconds, closed) in [(9, false), (10, true), (11, true)] {
        let mut config = server_config();
        config.timeouts.banner = 10 * SECOND;
        let mut server = Server::new(config, |_| None);
        server.wait(seconds * SECOND);
        assert_eq!(server.closed.is_some(), closed, "after {seconds} s");
    }
}
