use smtp::{address::ForwardPath, client::PeerFault, envelope::RcptParameters, reply::Reply as Said};
use store::{DeliveryId, queue::Destination};

use super::*;

fn at(hours: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_795_000_000 + hours * 3_600)
}

fn delivery(recipients: usize) -> Delivery {
    let to = |n| ForwardPath::parse(&format!("<r{n}@ours.example>")).unwrap();
    Delivery {
        id: DeliveryId { message: "1".parse().unwrap(), number: 0 },
        destination: Destination::new("ours.example").unwrap(),
        recipients: (0..recipients).map(|n| Recipient::new(to(n), RcptParameters::default())).collect(),
        attempts: 0,
        queued_at: at(0),
        next_attempt: at(0),
        expires: at(120),
        hold: None,
        last_reply: None,
        delay_notified: false,
    }
}

fn fate(meaning: Option<Meaning>) -> Fate {
    let reply = Reply { code: 550, enhanced: None, text: "why".into(), host: "hop".into(), at: at(0) };
    Fate { meaning, rule: 0, reply, dsn: true, elsewhere: false }
}

fn conclude(meaning: Option<Meaning>, hours: u64, configured: bool, doubted: bool) -> Conclusion {
    let limits = Limits::default();
    let terms = Terms { now: at(hours), limits: &limits, microsoft: false, configured, random: 0 };
    let doubt = if doubted { Doubt::Everybody } else { Doubt::None };
    super::conclude(&delivery(1), &[(0, fate(meaning))], &[(0, doubt)], &terms)
}

/// One letter for each end: d delivered, l later, h held, f failed and told.
fn end(conclusion: &Conclusion) -> char {
    match (&conclusion.record.recipients[0].1, &conclusion.record.hold) {
        (RecipientState::Delivered(_), None) => 'd',
        (RecipientState::Deferred(_), None) => 'l',
        (RecipientState::Deferred(_), Some(_)) => 'h',
        (RecipientState::Failed(_), None) if conclusion.notices == [(Action::Failed, vec![0])] => 'f',
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_meaning_has_its_end() {
    use Meaning::*;
    for (meaning, first, later, expired, foreign) in [
        (None, 'd', 'd', 'd', 'd'),
        (Some(Busy), 'l', 'l', 'f', 'l'),
        (Some(Temporary), 'l', 'l', 'f', 'l'),
        (Some(NotByIpv6), 'l', 'l', 'f', 'l'),
        (Some(TooManyRecipients), 'l', 'l', 'f', 'l'),
        (Some(Patience), 'l', 'f', 'f', 'l'),
        (Some(Configuration), 'h', 'h', 'h', 'f'),
        (Some(Administrator), 'h', 'h', 'h', 'h'),
        (Some(UnknownRecipient), 'f', 'f', 'f', 'f'),
        (Some(Recipient), 'f', 'f', 'f', 'f'),
        (Some(Message), 'f', 'f', 'f', 'f'),
    ] {
        let ends = [(0, true), (30, true), (121, true), (0, false)]
            .map(|(hours, ours)| end(&conclude(meaning, hours, ours, false)));
        assert_eq!(ends, [first, later, expired, foreign], "{meaning:?}");
    }
    let doubted = conclude(Some(UnknownRecipient), 0, true, true);
    assert_eq!(doubted.record.hold.as_ref().map(|hold| hold.reason), Some(HoldReason::Breaker));
    assert!(doubted.blocks.is_some());
    assert!(
        conclude(Some(Administrator), 0, true, false).blocks.is_none(),
        "one message, not the destination"
    );
}

#[test]
fn a_delay_is_told_once_after_four_hours() {
    let late = conclude(Some(Meaning::Temporary), 4, true, false);
    assert!(late.record.delay_notified);
    assert_eq!(late.notices, [(Action::Delayed { until: at(120) }, vec![0])]);
    assert!(conclude(Some(Meaning::Temporary), 3, true, false).notices.is_empty());
    let limits = Limits::default();
    let terms = Terms { now: at(5), limits: &limits, microsoft: false, configured: true, random: 0 };
    let told = Delivery { delay_notified: true, ..delivery(1) };
    let again = super::conclude(&told, &[(0, fate(Some(Meaning::Temporary)))], &[], &terms);
    assert!(again.notices.is_empty() && !again.record.delay_notified);
}

#[test]
fn one_recipient_does_not_decide_for_another() {
    let limits = Limits::default();
    let terms = Terms { now: at(0), limits: &limits, microsoft: false, configured: true, random: 0 };
    let fates: Vec<(usize, Fate)> = [None, Some(Meaning::Recipient), Some(Meaning::Temporary)]
        .map(fate)
        .into_iter()
        .enumerate()
        .collect();
    let conclusion = super::conclude(&delivery(3), &fates, &[], &terms);
    let states: Vec<_> =
        conclusion.record.recipients.iter().map(|(_, state)| std::mem::discriminant(state)).collect();
    let reply = fate(None).reply;
    let expected = [
        RecipientState::Delivered(reply.clone()),
        RecipientState::Failed(reply.clone()),
        RecipientState::Deferred(reply),
    ];
    assert_eq!(states, expected.map(|state| std::mem::discriminant(&state)));
    assert_eq!(conclusion.notices, [(Action::Failed, vec![1])]);
    assert_eq!(conclusion.record.next_attempt, at(0).after(Duration::from_secs(300)));
}

#[test]
fn another_host_is_tried_only_where_no_duplicate_can_come_of_it() {
    let early = |stage| Failure::Peer { stage, fault: PeerFault::Unexpected(Said::new(354, "go")) };
    for (failure, meaning, elsewhere) in [
        (Failure::Timeout(Stage::Greeting), Meaning::Busy, true),
        (Failure::Closed(Stage::Body), Meaning::Busy, true),
        (Failure::Closed(Stage::EndOfData), Meaning::Busy, false),
        (Failure::Timeout(Stage::EndOfData), Meaning::Busy, false),
        (early(Stage::Mail), Meaning::Busy, true),
        (early(Stage::EndOfData), Meaning::Busy, false),
        (Failure::TlsFailed, Meaning::Configuration, true),
        (Failure::TooLarge { limit: 1 }, Meaning::Message, true),
        (Failure::BodyFailed, Meaning::Temporary, false),
        (
            Failure::Refused { stage: Stage::Greeting, reply: Said::new(554, "no") },
            Meaning::Configuration,
            true,
        ),
        (Failure::Refused { stage: Stage::Mail, reply: Said::new(451, "later") }, Meaning::Temporary, true),
        (Failure::Refused { stage: Stage::Mail, reply: Said::new(550, "no") }, Meaning::Configuration, false),
        (
            Failure::Refused { stage: Stage::EndOfData, reply: Said::new(451, "later") },
            Meaning::Temporary,
            false,
        ),
    ] {
        let fate = failed(&failure, "hop", at(0));
        assert_eq!((fate.meaning, fate.elsewhere), (Some(meaning), elsewhere), "{failure}");
    }
}

#[test]
fn who_was_refused_for_himself_is_not_judged_by_the_whole() {
    let outcome = Outcome {
        recipients: vec![
            Some(Said::new(250, "ok")),
            Some(Said::new(550, "no such user").enhanced(5, 1, 1)),
            None,
        ],
        result: Err(Failure::Closed(Stage::EndOfData)),
        dsn: true,
    };
    let meanings: Vec<_> = read(&outcome, "hop", at(0)).into_iter().map(|fate| fate.meaning).collect();
    assert_eq!(meanings, [Some(Meaning::Busy), Some(Meaning::UnknownRecipient), Some(Meaning::Busy)]);
}

#[test]
fn what_is_said_behind_a_refused_mail_is_not_about_recipients() {
    let said = |line: &str| {
        let mut reader = smtp::reply::ReplyReader::default();
        reader.read(&mut format!("{line}\r\n").as_bytes()).unwrap().unwrap()
    };
    let listed = said("550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus");
    let outcome = Outcome {
        recipients: vec![Some(said("503 5.5.2 Need mail command"))],
        result: Err(Failure::Refused { stage: Stage::Mail, reply: listed }),
        dsn: false,
    };
    assert_eq!(super::read(&outcome, "hop", at(0))[0].meaning, Some(Meaning::Configuration));
}
