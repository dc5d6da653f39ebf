use std::collections::BTreeMap;

use config_schema::{Config, Mapping};
use proptest::prelude::*;

use super::*;
use crate::{
    answer::LookupAnswer,
    decision::{Rules, Step},
    reply::Recipient,
    verification::{self, Answer, Said},
};

const CONFIG: &str = r#"
version = 1
network = { hostname = "mx.example.net", address = "dhcp" }
[[domain]]
name = "example.com"
route = ["[192.0.2.1]:25"]
verification-server = "[192.0.2.1]:25"
"#;
const UNKNOWN: &str = "550 5.4.1 Recipient address rejected: Access denied. [X 2026 1]";
const BANNED: &str = "550 5.7.606 Access denied, banned sending IP [192.0.2.10]";

/// A server's words by time; the last that has begun holds.
struct World {
    check: Check,
    config: Config,
    replies: BTreeMap<u64, &'static str>,
    lookup: LookupAnswer,
    now: u64,
    random: u64,
    asked: Vec<(u64, Address)>,
    wake: u64,
}

impl World {
    fn new(reply: &'static str, state: State) -> World {
        let domain = DomainName::parse("example.com").unwrap();
        World {
            check: Check::new(domain, state),
            config: Config::parse("test.toml", CONFIG).unwrap(),
            replies: BTreeMap::from([(0, reply)]),
            lookup: LookupAnswer::Unknown,
            now: 1_800_000_000,
            random: 1,
            asked: Vec::new(),
            wake: 0,
        }
    }

    fn and_after(mut self, seconds: u64, reply: &'static str) -> World {
        self.replies.insert(self.now + seconds, reply);
        self
    }

    fn handle(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let random = &mut self.random;
            let mut next = || {
                *random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *random >> 20
            };
            for action in self.check.handle(self.now, input, &mut next) {
                match action {
                    Action::Decide(address) => {
                        self.asked.push((self.now, address.clone()));
                        let verdict = self.decide(&address);
                        inputs.push(Input::Decided { address, verdict });
                    }
                    Action::WakeAt(at) => self.wake = at,
                    Action::Keep => {}
                }
            }
        }
    }

    fn decide(&self, address: &Address) -> Verdict {
        let mut step = Step::first(Rules::of(&self.config, None, address).unwrap(), address);
        loop {
            step = match step {
                Step::AskLookup { then, .. } => then.answer(self.lookup.clone()),
                Step::AskValidRecipients { then, .. } => then.answer(crate::decision::Listing::NotListed),
                Step::AskVerification { then, .. } => then.answer(self.reply()),
                Step::Done(verdict) => return verdict,
            };
        }
    }

    fn reply(&self) -> Answer {
        let line = *self.replies.range(..=self.now).next_back().unwrap().1;
        if line.is_empty() {
            let because = verification::Because::Trouble(verification::Trouble::Late);
            return Answer { recipient: Recipient::Unknown, because };
        }
        let wire = format!("{line}\r\n");
        let reply = smtp::reply::ReplyReader::default().read(&mut wire.as_bytes()).unwrap().unwrap();
        let (said, verdict) = Said::at_rcpt(&reply);
        let because = match verdict.recipient {
            Recipient::Unknown => verification::Because::Trouble(verification::Trouble::Said(said)),
            _ => verification::Because::Said(said),
        };
        Answer { recipient: verdict.recipient, because }
    }

    /// Goes on until the check is over.
    fn finish(&mut self) -> &State {
        while self.check.is_running() {
            self.now = self.wake;
            self.handle(Input::Timeout);
        }
        self.check.state()
    }

    fn reason(&mut self) -> Reason {
        self.finish().finding.clone().unwrap().reason
    }
}

fn validated() -> State {
    let finding = Finding { at: 1, reason: Reason::Validated, dialogue: Vec::new() };
    State { finding: Some(finding), validated: true, doubt: None, next: 1 }
}

#[test]
fn each_kind_of_server_is_named() {
    for (reply, reason) in [
        (UNKNOWN, Reason::Validated),
        ("550 5.1.1 no such user", Reason::Validated),
        ("250 2.1.5 Recipient OK", Reason::AcceptsAll { by: Acceptor::Server }),
        ("252 perhaps", Reason::AcceptsAll { by: Acceptor::Server }),
        (BANNED, Reason::Misconfigured { rule: 14 }),
        (
            "550 5.7.51 TenantInboundAttribution; There is a partner connector",
            Reason::Misconfigured { rule: 9 },
        ),
        ("451 4.4.62 Mail sent to the wrong Office 365 region. ATTR35", Reason::Misconfigured { rule: 2 }),
        ("550 go away", Reason::Misconfigured { rule: 29 }),
        ("451 4.7.500 Server busy. Please try again later", Reason::TemporarilyRefused { rule: 5 }),
        ("450 come again", Reason::TemporarilyRefused { rule: 8 }),
        ("", Reason::Unreachable),
    ] {
        let mut world = World::new(reply, State::default());
        world.handle(Input::Changed);
        assert_eq!(world.reason(), reason, "{reply}");
        let state = world.check.state();
        assert_eq!(state.validated, reason.validates() == Some(true));
        let finding = state.finding.as_ref().unwrap();
        if !reply.is_empty() {
            let said = finding.dialogue.iter().all(|exchange| &*exchange.said == reply);
            assert!(said, "{:?}", finding.dialogue);
        }
        assert!(finding.dialogue.len() >= ADDRESSES && finding.dialogue.len() <= EXCHANGES_MAX);
        assert_eq!(reason.remedy().is_none(), reason == Reason::Validated);
    }
}

#[test]
fn each_rule_that_is_ours_to_mend_has_its_own_remedy() {
    let remedies: std::collections::BTreeSet<_> =
        [2, 3, 4].into_iter().chain(9..=20).map(|rule| Reason::Misconfigured { rule }.remedy()).collect();
    assert_eq!(remedies.len(), 15);
}

#[test]
fn an_accept_all_server_is_found_out_although_it_greylists_first() {
    let mut world = World::new("450 4.7.1 greylisted", State::default()).and_after(300, "250 ok");
    world.handle(Input::Changed);
    assert_eq!(world.reason(), Reason::AcceptsAll { by: Acceptor::Server });
    let addresses: std::collections::BTreeSet<_> = world.asked.iter().map(|(_, address)| address).collect();
    assert_eq!(addresses.len(), ADDRESSES, "the same addresses again");
    let mut silent = World::new("", State::default()).and_after(3_000, "250 ok");
    silent.handle(Input::Changed);
    assert_eq!(silent.reason(), Reason::AcceptsAll { by: Acceptor::Server });
}

#[test]
fn a_directory_validates_and_makes_the_server_redundant() {
    let mut world = World::new("250 ok", State::default());
    world.config.domains[0].mapping = Mapping::Lookup("corp".parse().unwrap());
    world.handle(Input::Changed);
    let by = Directory::Lookup("corp".into());
    let reason = Reason::DirectoryValidates { by, redundant_server: true };
    assert_eq!(world.reason(), reason);
    assert_eq!(reason.remedy(), Some("The verification server entry is redundant: remove it."));
    world.lookup = LookupAnswer::Stream { stream: "x".into(), because: "entry".into() };
    world.handle(Input::Changed);
    assert_eq!(world.reason(), Reason::AcceptsAll { by: Acceptor::Lookup("corp".into()) });
    world.lookup = LookupAnswer::Unavailable { why: "down".into() };
    world.handle(Input::Changed);
    assert_eq!(world.reason(), Reason::Unreachable);
    world.config.domains[0].verification_server = None;
    world.config.domains[0].mapping = Mapping::AsIs;
    world.handle(Input::Changed);
    assert_eq!(world.reason(), Reason::Unchecked);
}

#[test]
fn a_validated_domain_is_downgraded_by_a_second_look_only() {
    let mut world = World::new("250 ok", validated());
    world.handle(Input::Timeout);
    let state = world.finish().clone();
    assert!(state.validated && state.doubt.is_some());
    assert_eq!((state.next, world.wake), (world.now + CONFIRM, world.now + CONFIRM));
    world.now = state.next - 1;
    world.handle(Input::Timeout);
    assert_eq!(world.asked.len(), ADDRESSES, "not yet");
    world.now += 1;
    world.handle(Input::Timeout);
    assert_eq!(world.reason(), Reason::AcceptsAll { by: Acceptor::Server });
    assert_eq!(world.asked.len(), ADDRESSES + 1);
    assert!(!world.check.state().validated && world.check.state().doubt.is_none());
    let mut lapse = World::new("250 ok", validated()).and_after(CONFIRM, UNKNOWN);
    lapse.handle(Input::Requested);
    lapse.finish();
    lapse.now = lapse.wake;
    lapse.handle(Input::Timeout);
    assert_eq!(lapse.reason(), Reason::Validated);
    assert!(lapse.check.state().validated);
    let mut changed = World::new("250 ok", validated());
    changed.handle(Input::Changed);
    assert!(!changed.finish().validated, "another server is another matter");
}

#[test]
fn a_server_that_is_away_ends_no_validation() {
    let mut world = World::new("", validated());
    world.handle(Input::Timeout);
    world.finish();
    world.now = world.wake;
    world.handle(Input::Timeout);
    assert_eq!(world.reason(), Reason::Unreachable);
    assert!(world.check.state().validated);
}

#[test]
fn a_decision_that_never_comes_is_no_answer() {
    let mut check = Check::new(DomainName::parse("example.com").unwrap(), State::default());
    let (mut now, mut number) = (1_800_000_000, 0);
    let mut random = || {
        number += 1;
        number
    };
    let mut input = Input::Changed;
    for _ in 0..20 {
        for action in check.handle(now, input, &mut random) {
            if let Action::WakeAt(at) = action {
                now = at;
            }
        }
        input = Input::Timeout;
        if !check.is_running() {
            break;
        }
    }
    assert_eq!(check.state().finding.as_ref().unwrap().reason, Reason::Unreachable);
}

#[test]
fn it_runs_daily_at_the_domains_own_time() {
    let mut world = World::new(UNKNOWN, State::default());
    world.handle(Input::Timeout);
    world.finish();
    let times: Vec<u64> = (0..30)
        .map(|_| {
            world.now = world.wake;
            world.handle(Input::Timeout);
            world.finish().finding.as_ref().unwrap().at
        })
        .collect();
    assert!(times.windows(2).all(|two| two[1] - two[0] == DAY));
    let spread: std::collections::BTreeSet<u64> =
        (0..200).map(|n| daily(&DomainName::parse(&format!("d{n}.example")).unwrap(), 0) / 3_600).collect();
    assert_eq!(spread.len(), 24, "every hour has its domains");
    world.now -= 400 * DAY;
    world.handle(Input::Timeout);
    let found = world.finish().finding.as_ref().unwrap().at;
    assert_eq!(found, world.now, "a clock set back delays nothing");
}

#[test]
fn the_state_survives_and_fits_a_record() {
    let mut world = World::new("450 come again", State::default());
    world.handle(Input::Changed);
    let state = world.finish();
    let bytes = postcard::to_allocvec(state).unwrap();
    assert_eq!(postcard::from_bytes::<State>(&bytes).as_ref(), Ok(state));
    let domain = ["a", "b", "c", "d"].map(|label| label.repeat(50)).join(".");
    let address = Address::parse(&format!("{}@{domain}.example", "a".repeat(64))).unwrap();
    let longest = Exchange::new(u64::MAX, &address, &"\u{10ffff}".repeat(verification::REPLY_MAX));
    let dialogue = vec![longest; EXCHANGES_MAX];
    let finding = Some(Finding { at: u64::MAX, reason: Reason::Unreachable, dialogue });
    let state = State { doubt: finding.clone(), finding, validated: true, next: u64::MAX };
    assert!(postcard::to_allocvec(&state).unwrap().len() < 30_000);
}

proptest! {
    #[test]
    fn random_addresses_are_nobodys(seed in any::<u64>()) {
        let domain = DomainName::parse("example.com").unwrap();
        let mut number = seed;
        let mut random = || { number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99); number >> 16 };
        let (one, other) = (random_address(&domain, &mut random), random_address(&domain, &mut random));
        prop_assert_ne!(&one, &other);
        let local = one.local().as_str();
        prop_assert!((20..=32).contains(&local.len()));
        prop_assert!(local.bytes().all(|byte| ALPHABET.contains(&byte)));
    }

    /// Whatever servers say and whenever one asks, only refusals as unknown validate, and a round ends.
    #[test]
    fn only_refusals_as_unknown_validate(
        replies in proptest::collection::vec((0_u64..200_000, 0_usize..5), 1..8),
        inputs in proptest::collection::vec((0_u64..100_000, 0_u8..3), 1..12),
    ) {
        let words = [UNKNOWN, "250 ok", BANNED, "450 later", ""];
        let mut world = World::new("250 ok", State::default());
        for (at, word) in replies {
            world = world.and_after(at, words[word]);
        }
        for (wait, input) in inputs {
            world.now += wait;
            world.handle([Input::Changed, Input::Requested, Input::Timeout].into_iter().nth(usize::from(input)).unwrap());
            let state = world.finish();
            if let Some(finding) = &state.finding {
                prop_assert!(finding.dialogue.len() <= EXCHANGES_MAX);
                let refused = finding.dialogue.iter().any(|exchange| &*exchange.said == UNKNOWN);
                prop_assert!(finding.reason != Reason::Validated || refused);
            }
        }
    }
}
