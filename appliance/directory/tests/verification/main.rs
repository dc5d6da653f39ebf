//! The verification against servers of many tempers, in virtual time.

mod world;

use std::time::Duration;

use config_schema::{ProbeSender, RouteTls};
use directory::{
    reply::Recipient::{Invalid, Unknown, Valid},
    verification::{
        Action, Alarm, Because, Input, QUESTIONS_MAX, QuestionId, SERVERS_MAX, Settings, Trouble,
        Verification, Via,
    },
};
use smtp::{Time, address::Address};
use world::{Dice, TEMPERS, Temper, World, server};

const DAY: Duration = Duration::from_secs(86_400);

fn world(temper: Temper) -> World {
    let mut world = World::new(Settings::default());
    world.tempers.insert(server(0), temper);
    world
}

#[test]
fn domains_that_protect_their_mail_otherwise_share_no_connection() {
    let mut machine = Verification::new(Settings::default());
    let mut connects = |n, tls, address: &str| {
        let server = Via { tls, ..server(0) };
        let address = Address::parse(address).unwrap();
        let input = Input::Ask { question: QuestionId(n), server: server.clone(), address };
        let actions = machine.handle(Time::default(), input);
        actions.iter().any(|action| matches!(action, Action::Connect { server: to, .. } if *to == server))
    };
    assert!(connects(1, RouteTls::Opportunistic, "a@welcome.example"));
    assert!(connects(2, RouteTls::Required, "a@required.example"));
}

#[test]
fn an_honest_server_is_asked_once_for_each_address() {
    let mut world = world(Temper::Honest);
    assert_eq!(world.answer(&server(0), "v@example.com").recipient, Valid);
    assert_eq!(world.answer(&server(0), "V@Example.COM").recipient, Valid);
    assert_eq!(world.answer(&server(0), "x@example.com").recipient, Invalid);
    assert_eq!(world.answer(&server(0), "x@example.com").recipient, Invalid);
    assert_eq!(world.probes, [(ProbeSender::Null, 1); 2]);
    world.pass(Duration::from_secs(15 * 60));
    world.answer(&server(0), "x@example.com");
    world.answer(&server(0), "v@example.com");
    assert_eq!(world.probes.len(), 3, "a refusal is short-lived");
    world.pass(7 * DAY);
    world.answer(&server(0), "v@example.com");
    assert_eq!(world.probes.len(), 4);
}

#[test]
fn questions_share_connections_and_probes() {
    let mut world = world(Temper::Honest);
    for n in 0..250 {
        world.ask(&server(0), &format!("v{n}@example.com"));
        world.ask(&server(0), &format!("v{n}@example.com"));
    }
    world.finish();
    assert_eq!(world.probes.iter().map(|(_, addresses)| addresses).sum::<usize>(), 250);
    assert!(world.probes.len() <= 30, "{}", world.probes.len());
    assert!((3..=4).contains(&world.connects), "two at a time, 100 questions each");
}

#[test]
fn an_address_in_utf_8_is_asked_apart() {
    let mut world = world(Temper::Honest);
    for address in ["v1@example.com", "v\u{e9}@example.com", "v2@example.com"] {
        world.ask(&server(0), address);
    }
    world.finish();
    assert_eq!(world.probes.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_refused_null_sender_is_replaced_by_postmaster() {
    let mut world = world(Temper::RefusesNullSender);
    assert_eq!(world.answer(&server(0), "v@example.com").recipient, Valid);
    assert_eq!(world.answer(&server(0), "x@example.com").recipient, Invalid);
    let senders: Vec<_> = world.probes.iter().map(|(sender, _)| *sender).collect();
    assert_eq!(senders, [ProbeSender::Null, ProbeSender::Postmaster, ProbeSender::Postmaster]);
    assert!(matches!(world.alarms[..], [Alarm::NullSender(_)]));
}

#[test]
fn a_server_that_takes_no_sender_knows_nobody() {
    let mut world = world(Temper::RefusesEverySender);
    assert_eq!(world.answer(&server(0), "v@example.com").recipient, Unknown);
    assert_eq!(world.answer(&server(0), "x@example.com").recipient, Unknown);
    assert!(matches!(&world.alarms[..], [Alarm::NullSender(_), Alarm::Refused(said)] if said.rule == 28));
}

#[test]
fn odd_answers_are_read() {
    for code in [251, 252] {
        assert_eq!(world(Temper::OddYes(code)).answer(&server(0), "v@example.com").recipient, Valid);
    }
    let mut grey = world(Temper::Greylists);
    assert_eq!(grey.answer(&server(0), "x@example.com").recipient, Unknown);
    assert_eq!(grey.answer(&server(0), "x@example.com").recipient, Invalid);
    for temper in [Temper::Banned, Temper::Mutters, Temper::Unfriendly] {
        let mut world = world(temper);
        for n in 0..20 {
            assert_eq!(
                world.answer(&server(0), &format!("x{n}@example.com")).recipient,
                Unknown,
                "{temper:?}"
            );
        }
        assert_eq!(world.alarms.len(), 1, "{temper:?}");
    }
    assert_eq!(world(Temper::AcceptsAll).answer(&server(0), "x@example.com").recipient, Valid);
}

#[test]
fn a_slow_server_is_heard_although_too_late_for_the_first() {
    let mut slow = World::new(Settings { connections: 1, ..Settings::default() });
    slow.tempers.insert(server(0), Temper::Tarpit(25));
    let first = slow.ask(&server(0), "v@example.com");
    slow.pass(Duration::from_secs(2));
    let second = slow.ask(&server(0), "v2@example.com");
    slow.finish();
    assert_eq!(slow.answers[&first].recipient, Valid);
    assert_eq!(slow.answers[&second].because, Because::Trouble(Trouble::Late));
    slow.pass(DAY);
    assert!(matches!(slow.answer(&server(0), "v2@example.com").because, Because::Remembered { .. }));
    let mut mute = world(Temper::Mute);
    assert_eq!(mute.answer(&server(0), "v@example.com").because, Because::Trouble(Trouble::Late));
}

#[test]
fn a_server_that_is_away_is_left_alone_for_a_while() {
    let mut world = world(Temper::Away);
    for _ in 0..1_000 {
        assert_eq!(world.answer(&server(0), "v@example.com").recipient, Unknown);
        world.pass(Duration::from_millis(100));
    }
    assert!(world.connects < 12, "{}", world.connects);
    world.tempers.insert(server(0), Temper::Honest);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.answer(&server(0), "v@example.com").recipient, Valid);
}

#[test]
fn what_was_valid_stays_valid_while_nobody_answers() {
    for temper in [Temper::Away, Temper::Mute, Temper::Banned, Temper::Busy, Temper::RefusesEverySender] {
        let mut world = world(Temper::Honest);
        world.answer(&server(0), "v@example.com");
        world.tempers.insert(server(0), temper);
        world.pass(30 * DAY);
        let answer = world.answer(&server(0), "v@example.com");
        assert!(matches!(answer.because, Because::Stale { .. }), "{temper:?}: {answer}");
        assert_eq!(answer.recipient, Valid);
    }
}

#[test]
fn a_sudden_refusal_needs_a_second_probe() {
    let settings = Settings { valid_for: Duration::from_secs(60), ..Settings::default() };
    let mut world = World::new(settings);
    world.tempers.insert(server(0), Temper::Honest);
    assert_eq!(world.answer(&server(0), "v@example.com").recipient, Valid);
    world.tempers.insert(server(0), Temper::OutOfStep);
    world.pass(DAY);
    for _ in 0..9 {
        assert!(matches!(world.answer(&server(0), "v@example.com").because, Because::SecondProbe { .. }));
        world.pass(Duration::from_secs(60));
    }
    assert_eq!(world.probes.len(), 2, "the second comes in its time");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.answer(&server(0), "v@example.com").recipient, Invalid);
}

#[test]
fn waiting_questions_and_servers_are_bounded() {
    let mut verification = Verification::new(Settings::default());
    let mut busy = 0;
    let now = Time::default();
    for n in 0..QUESTIONS_MAX as u64 + 5 {
        let address = format!("v{n}@example.com").parse().unwrap();
        let input = Input::Ask { question: QuestionId(n), server: server(0), address };
        busy += verification.handle(now, input).iter().filter(|action| is_busy(action)).count();
    }
    assert_eq!((busy, verification.open().0), (5, QUESTIONS_MAX));
    let mut verification = Verification::new(Settings::default());
    for n in 0..SERVERS_MAX as u64 + 5 {
        let address = "v@example.com".parse().unwrap();
        let input = Input::Ask { question: QuestionId(n), server: server(n), address };
        busy += verification.handle(now, input).iter().filter(|action| is_busy(action)).count();
    }
    assert_eq!(busy, 10);
}

fn is_busy(action: &Action) -> bool {
    matches!(action, Action::Answer { answer, .. } if answer.because == Because::Trouble(Trouble::Busy))
}

#[test]
fn whatever_the_servers_do_each_question_has_its_answer_in_time() {
    for seed in 0..2_000 {
        one_story(seed);
    }
}

/// Servers change their minds, questions come in bursts, days pass. What must hold is asserted by the world.
fn one_story(seed: u64) {
    let mut dice = Dice(seed);
    let settings = Settings {
        remembered: [40, 1_000][dice.below(2) as usize],
        questions: 1 + dice.below(30) as usize,
        connections: 1 + dice.below(3) as usize,
        valid_for: Duration::from_secs([60, 86_400, 7 * 86_400][dice.below(3) as usize]),
        sender: [ProbeSender::Null, ProbeSender::Postmaster][dice.below(2) as usize],
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let temper = |dice: &mut Dice| TEMPERS[dice.below(TEMPERS.len() as u64) as usize];
    for n in 0..3 {
        world.tempers.insert(server(n), temper(&mut dice));
    }
    for _ in 0..60 {
        match dice.below(8) {
            0 => {
                let new = temper(&mut dice);
                world.tempers.insert(server(dice.below(3)), new);
            }
            1 => world.pass(Duration::from_secs([1, 30, 600, 86_400][dice.below(4) as usize])),
            _ => {
                let n = dice.below(3);
                let kind = ["v", "x"][dice.below(2) as usize];
                for _ in 0..=dice.below(12) {
                    world.ask(&server(n), &format!("{kind}{}@d{n}.example", dice.below(20)));
                }
                world.pass(Duration::from_secs(dice.below(3)));
            }
        }
    }
    world.finish();
}
