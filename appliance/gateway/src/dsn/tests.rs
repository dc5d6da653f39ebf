use proptest::prelude::*;
use smtp::{
    address::ReversePath,
    envelope::{EnvelopeId, MailParameters, OriginalRecipient, RcptParameters},
};
use store::{
    MessageId, SessionId,
    message::{Envelope, Source},
};

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_795_000_000 + seconds)
}

fn message(from: &str) -> Message {
    Message {
        id: "0000000000a".parse::<MessageId>().unwrap(),
        envelope: Envelope {
            from: ReversePath::parse(from).unwrap(),
            parameters: MailParameters { envid: EnvelopeId::new("QQ 1"), ..MailParameters::default() },
        },
        source: Source::Smtp {
            session: SessionId(1),
            peer: "192.0.2.9:1000".parse().unwrap(),
            helo: "client.example".into(),
            tls: false,
        },
        received_at: at(0),
        size: 100,
    }
}

fn recipient(to: &str) -> Recipient {
    let orcpt = OriginalRecipient::new("rfc822", "first@example.org");
    Recipient::new(ForwardPath::parse(to).unwrap(), RcptParameters { notify: None, orcpt })
}

fn reply(text: &str) -> Reply {
    Reply {
        code: 550,
        enhanced: Some((5, 1, 1)),
        text: text.into(),
        host: "mx.example.net".into(),
        at: at(60),
    }
}

fn notice(
    message: &Message,
    action: Action,
    recipient: &Recipient,
    reply: &Reply,
    original: &[u8],
) -> Option<String> {
    let hostname = DomainName::parse("gate.example").unwrap();
    let recipients = [Reported { recipient, reply }];
    let facts = Facts {
        hostname: &hostname,
        name: "abc-0",
        now: at(70),
        message,
        original,
        action,
        recipients: &recipients,
    };
    compose(&facts).map(|notice| String::from_utf8(notice.body).unwrap())
}

const ORIGINAL: &[u8] = b"Subject: hello\r\nX-A: 1\r\n\tfolded\r\n\r\nsecret body\r\n";

#[test]
fn a_failure_says_who_what_and_why_and_returns_no_body() {
    let text = notice(
        &message("<a@b.example>"),
        Action::Failed,
        &recipient("<c@d.example>"),
        &reply("no such user"),
        ORIGINAL,
    )
    .unwrap();
    for line in [
        "To: <a@b.example>",
        "Auto-Submitted: auto-replied",
        "Original-Envelope-Id: QQ 1",
        "Reporting-MTA: dns; gate.example",
        "Original-Recipient: rfc822;first@example.org",
        "Final-Recipient: rfc822; c@d.example",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.example.net",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
        "Subject: hello",
        "\tfolded",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in:\n{text}");
    }
    assert!(!text.contains("secret"));
    assert!(text.contains("\r\nArrival-Date: ") && text.contains(" +0000\r\n"));
}

#[test]
fn a_delay_says_until_when_and_a_relay_that_it_is_gone() {
    let (message, recipient) = (message("<a@b.example>"), recipient("<c@d.example>"));
    let late =
        notice(&message, Action::Delayed { until: at(432_000) }, &recipient, &reply("x"), ORIGINAL).unwrap();
    assert!(
        late.contains("Action: delayed")
            && late.contains("Will-Retry-Until: ")
            && late.contains("Status: 4.0.0")
    );
    let relayed = notice(&message, Action::Relayed, &recipient, &reply("x"), ORIGINAL).unwrap();
    assert!(relayed.contains("Action: relayed") && relayed.contains("Status: 2.0.0"));
}

#[test]
fn a_null_sender_hears_nothing() {
    assert_eq!(
        notice(&message("<>"), Action::Failed, &recipient("<c@d.example>"), &reply("x"), ORIGINAL),
        None
    );
}

#[test]
fn addresses_in_utf8_are_told_in_ascii_to_ascii_senders() {
    let text = notice(
        &message("<a@b.example>"),
        Action::Failed,
        &recipient("<jürgen@d.example>"),
        &reply("x"),
        "Subject: grüße\r\n\r\n".as_bytes(),
    )
    .unwrap();
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("Final-Recipient: utf-8; j\\x{FC}rgen@d.example"));
    assert!(text.contains("Content-Type: message/global-headers"));
}

#[test]
fn notify_is_obeyed() {
    let with = |notify| {
        let mut recipient = recipient("<c@d.example>");
        recipient.parameters.notify = notify;
        [Action::Failed, Action::Delayed { until: at(0) }, Action::Relayed].map(|a| is_wanted(a, &recipient))
    };
    assert_eq!(with(None), [true, true, false]);
    assert_eq!(with(Some(Notify::Never)), [false; 3]);
    assert_eq!(with(Some(Notify::On { success: true, failure: false, delay: false })), [false, false, true]);
    assert_eq!(with(Some(Notify::On { success: false, failure: true, delay: false })), [true, false, false]);
}

#[test]
fn the_returned_header_is_bounded() {
    let long = b"X-Long: 0123456789\r\n".repeat(HEADERS_MAX);
    let text =
        notice(&message("<a@b.example>"), Action::Failed, &recipient("<c@d.example>"), &reply("x"), &long)
            .unwrap();
    assert!(text.len() < HEADERS_MAX + 4096);
}

/// A failure notice about `original` to a sender who asked for it whole.
fn whole(original: &[u8], action: Action) -> String {
    let mut message = message("<a@b.example>");
    message.envelope.parameters.ret = Some(smtp::envelope::Return::Full);
    message.size = original.len() as u64;
    notice(&message, action, &recipient("<c@d.example>"), &reply("x"), original).unwrap()
}

#[test]
fn a_small_message_is_returned_whole_to_whoever_asked_for_it() {
    let text = whole(ORIGINAL, Action::Failed);
    let original = std::str::from_utf8(ORIGINAL).unwrap();
    assert!(text.contains(&format!("\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n--=_")), "{text}");
    let late = whole(ORIGINAL, Action::Delayed { until: at(432_000) });
    assert!(
        late.contains("text/rfc822-headers") && !late.contains("secret"),
        "RFC 3461 §4.3: not of a delay"
    );
}

#[test]
fn what_cannot_stand_in_a_notice_as_it_is_comes_as_its_header() {
    let long = [b"Subject: x\r\n\r\n", &b"y".repeat(999)[..], b"\r\n"].concat();
    for original in [
        &long[..],
        b"Subject: x\r\n\r\nno end",
        b"Subject: x\r\n\r\n\0\r\n",
        b"Subject: x\r\n\r\nbare\nend\r\n",
        b"Subject: x\r\n\r\n--=_abc-0_1795000070000000--\r\n",
    ] {
        let text = whole(original, Action::Failed);
        assert!(text.contains("Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n"), "{text}");
    }
}

#[test]
fn a_message_of_eight_bits_is_returned_in_base64() {
    let text = whole("Subject: x\r\n\r\ngrüße\r\n".as_bytes(), Action::Failed);
    assert!(
        text.is_ascii() && text.contains("Content-Type: message/global\r\nContent-Transfer-Encoding: base64")
    );
}

#[test]
fn a_message_of_64_kib_is_returned_and_one_octet_more_is_not() {
    for (octets, returned) in [(ORIGINAL_MAX - 1, true), (ORIGINAL_MAX, true), (ORIGINAL_MAX + 1, false)] {
        let mut original = b"Subject: x\r\n\r\n".to_vec();
        original.extend(b"0123456789abcd\r\n".iter().cycle().take(octets - original.len() - 2));
        original.truncate(octets - 2);
        if original.ends_with(b"\r") {
            *original.last_mut().unwrap() = b'x';
        }
        original.extend(b"\r\n");
        assert_eq!(original.len(), octets);
        let text = whole(&original, Action::Failed);
        assert_eq!(text.contains("message/rfc822"), returned, "{octets}");
        assert!(text.len() < ORIGINAL_MAX + 4096);
    }
}

proptest! {
    /// However it is asked for, what comes back has lines as a message has.
    #[test]
    fn a_returned_message_breaks_nothing(original in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = whole(&original, Action::Failed);
        let bare = text.replace("\r\n", "");
        prop_assert!(!bare.contains('\r') && !bare.contains('\n'));
        prop_assert!(text.split("\r\n").all(|line| line.len() <= 998));
        prop_assert_eq!(text.matches("\r\n--=_abc-0_").count(), 4);
    }

    /// Whatever a peer said or sent, every line ends in CR LF, none is too long, and the structure stands.
    #[test]
    fn nothing_that_is_quoted_breaks_out(said in ".*", host in ".*", original in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut reply = reply(&said);
        reply.host = host.as_str().into();
        let text = notice(&message("<a@b.example>"), Action::Failed, &recipient("<c@d.example>"), &reply, &original).unwrap();
        let bare = text.replace("\r\n", "");
        prop_assert!(!bare.contains('\r') && !bare.contains('\n'));
        prop_assert!(text.split("\r\n").all(|line| line.len() <= 998));
        prop_assert_eq!(text.matches("\r\n--=_abc-0_").count(), 4);
        prop_assert_eq!(text.matches("\r\nAction: ").count(), 1);
    }
}
