use config_schema::{Config, PlusAddresses};
use proptest::prelude::*;

use super::*;
use crate::verification::{Answer, Trouble};

/// How the world answers, and how the domain is set up.
#[derive(Debug, Clone)]
struct Scene {
    mapping: &'static str,
    server: bool,
    only_valid: bool,
    suspended: bool,
    verify_unlisted: bool,
    forced: Option<&'static str>,
    mapped: Option<&'static str>,
    to: &'static str,
    lookup: LookupAnswer,
    /// Entries `stream address`; `None`: it cannot be read.
    listed: Option<Vec<&'static str>>,
    verification: Recipient,
}

fn found(stream: &str) -> LookupAnswer {
    LookupAnswer::Stream { stream: stream.into(), because: "user Ann".into() }
}

fn away() -> LookupAnswer {
    LookupAnswer::Unavailable { why: "no connection".into() }
}

impl Default for Scene {
    fn default() -> Scene {
        Scene {
            mapping: "as-is",
            server: false,
            only_valid: false,
            suspended: false,
            verify_unlisted: false,
            forced: None,
            mapped: None,
            to: "ann@example.com",
            lookup: LookupAnswer::Unknown,
            listed: Some(Vec::new()),
            verification: Recipient::Unknown,
        }
    }
}

impl Scene {
    fn config(&self) -> Config {
        let server = if self.server { "verification-server = \"[192.0.2.1]:25\"" } else { "" };
        let unlisted = if self.verify_unlisted { "verify" } else { "refuse" };
        let (suspended, only_valid) = (self.suspended, self.only_valid);
        let text = format!(
            r#"
version = 1
network = {{ hostname = "mx.example.net", address = "dhcp" }}
[[realm]]
name = "example"
suspended = {suspended}
valid-recipients = ["filed@example.com"]
[[realm.setting]]
id = "S-700"
value = {only_valid}
[[realm.stream]]
name = "quiet@example.com"
[[realm.stream.setting]]
id = "S-700"
value = false
[[realm]]
name = "other"
[[domain]]
name = "example.com"
realm = "example"
route = ["[192.0.2.1]:25"]
unlisted = "{unlisted}"
{server}
[[address-mapping]]
address = "ANN@example.com"
stream = "example:sales"
[[known-network]]
name = "office"
network = ["198.51.100.0/24"]
"#
        );
        let mut config = Config::parse("test.toml", &text).unwrap();
        config.domains[0].mapping = match self.mapping {
            "as-is" => Mapping::AsIs,
            "chop-domain" => Mapping::ChopDomain,
            lookup => Mapping::Lookup(lookup.parse().unwrap()),
        };
        config.known_networks[0].stream = self.forced.map(|stream| stream.parse().unwrap());
        match self.mapped {
            Some(stream) => config.address_mappings[0].stream = stream.parse().unwrap(),
            None => config.address_mappings.clear(),
        }
        config
    }

    /// What was asked, and the verdict.
    fn play(&self) -> (Vec<String>, Verdict) {
        let (config, address) = (self.config(), self.to.parse().unwrap());
        let rules = Rules::of(&config, config.known_networks.first(), &address).unwrap();
        self.run(Step::first(rules, &address))
    }

    fn run(&self, mut step: Step<'_>) -> (Vec<String>, Verdict) {
        let mut asked = Vec::new();
        loop {
            step = match step {
                Step::AskLookup { name, address, then } => {
                    asked.push(format!("{name} {address}"));
                    then.answer(self.lookup.clone())
                }
                Step::AskValidRecipients { stream, address, then } => {
                    let entry = format!("{stream} {address}");
                    let listing = match &self.listed {
                        None => Listing::Unavailable { why: "disk".into() },
                        Some(listed) if listed.contains(&entry.as_str()) => Listing::Listed,
                        Some(_) => Listing::NotListed,
                    };
                    asked.push(entry);
                    then.answer(listing)
                }
                Step::AskVerification { server, address, then } => {
                    asked.push(format!("{server} {address}"));
                    let because = verification::Because::Trouble(Trouble::Late);
                    then.answer(Answer { recipient: self.verification, because })
                }
                Step::Done(verdict) => return (asked, verdict),
            };
        }
    }

    fn outcome(&self) -> String {
        self.play().1.outcome.to_string()
    }
}

#[test]
fn the_stream_in_its_order() {
    let lookup = Scene { mapping: "corp", lookup: found("alee"), ..Scene::default() };
    for (scene, stream) in [
        (Scene::default(), "example:ann@example.com"),
        (Scene { mapping: "chop-domain", ..Scene::default() }, "example:ann"),
        (lookup.clone(), "example:alee"),
        (Scene { mapped: Some("example:sales"), ..Scene::default() }, "example:sales"),
        (
            Scene { mapped: Some("example:sales"), to: "ANN+x@example.com", ..Scene::default() },
            "example:sales",
        ),
        (
            Scene { forced: Some("example:out"), mapped: Some("example:sales"), ..Scene::default() },
            "example:out",
        ),
        (Scene { forced: Some("example:out"), ..lookup.clone() }, "example:out"),
        (Scene { forced: Some("other:out"), ..lookup.clone() }, "example:alee"),
        (Scene { mapped: Some("other:out"), ..lookup.clone() }, "example:alee"),
        (Scene { to: "postmaster@example.com", lookup: away(), ..lookup.clone() }, "example:default"),
        (Scene { to: "postmaster@example.com", ..lookup.clone() }, "example:alee"),
        (
            Scene {
                lookup: LookupAnswer::Unknown,
                verify_unlisted: true,
                server: true,
                verification: Recipient::Valid,
                ..lookup
            },
            "example:default",
        ),
    ] {
        let (_, verdict) = scene.play();
        let Outcome::Accept { stream: found, .. } = &verdict.outcome else { panic!("{scene:?}: {verdict}") };
        assert_eq!(found.to_string(), stream, "{scene:?}: {verdict}");
    }
}

#[test]
fn who_is_asked_and_what_comes_of_it() {
    use Recipient::{Invalid, Unknown, Valid};
    let server = Scene { server: true, ..Scene::default() };
    let lookup = Scene { mapping: "corp", ..server.clone() };
    let table = Scene { only_valid: true, ..server.clone() };
    let own = "example:ann@example.com ann@example.com";
    let inherited = "example:default ann@example.com";
    let asks_server = "[192.0.2.1]:25 ann@example.com";
    let cases: Vec<(Scene, Vec<&str>, &str)> = vec![
        (Scene::default(), vec![], "accepted for stream `example:ann@example.com`: nothing checks"),
        (Scene { suspended: true, ..server.clone() }, vec![], "refused: the realm is suspended"),
        (Scene { suspended: true, to: "PostMaster@example.com", ..server.clone() }, vec![], "accepted"),
        (Scene { verification: Valid, ..server.clone() }, vec![asks_server], "accepted"),
        (
            Scene { verification: Invalid, ..server.clone() },
            vec![asks_server],
            "refused: the verification server",
        ),
        (
            Scene { verification: Unknown, ..server.clone() },
            vec![asks_server],
            "deferred: verification server",
        ),
        (Scene { mapped: Some("example:sales"), ..server.clone() }, vec![], "accepted"),
        (Scene { mapped: Some("example:sales"), ..table.clone() }, vec![], "accepted"),
        (Scene { forced: Some("example:out"), ..server.clone() }, vec![asks_server], "deferred"),
        (Scene { lookup: found("alee"), ..lookup.clone() }, vec!["corp ann@example.com"], "accepted"),
        (
            Scene { lookup: LookupAnswer::Unknown, ..lookup.clone() },
            vec!["corp ann@example.com"],
            "refused: user lookup `corp`",
        ),
        (
            Scene { lookup: away(), verification: Valid, ..lookup.clone() },
            vec!["corp ann@example.com"],
            "deferred: user lookup `corp`",
        ),
        (
            Scene { verify_unlisted: true, verification: Invalid, ..lookup.clone() },
            vec!["corp ann@example.com", asks_server],
            "refused: the verification server",
        ),
        (
            Scene { verify_unlisted: true, server: false, ..lookup.clone() },
            vec!["corp ann@example.com"],
            "refused: user lookup `corp`",
        ),
        (
            Scene { lookup: found("a\nb"), ..lookup.clone() },
            vec!["corp ann@example.com"],
            "refused: it maps to what",
        ),
        (table.clone(), vec![own, inherited], "refused: it is no valid recipient"),
        (Scene { listed: Some(vec![own]), ..table.clone() }, vec![own, asks_server], "accepted"),
        (
            Scene { listed: Some(vec![inherited]), ..table.clone() },
            vec![own, inherited, asks_server],
            "accepted",
        ),
        (
            Scene { listed: Some(vec![own]), verification: Invalid, ..table.clone() },
            vec![own, asks_server],
            "refused: the verification server",
        ),
        (
            Scene { to: "filed@example.com", listed: None, server: false, ..table.clone() },
            vec!["example:filed@example.com filed@example.com"],
            "accepted for stream `example:filed@example.com`: a valid recipient of stream `example:default`",
        ),
        (Scene { to: "quiet@example.com", server: false, ..table.clone() }, vec![], "accepted"),
        (Scene { listed: None, ..table.clone() }, vec![own, inherited], "deferred: the valid recipients"),
        (
            Scene { only_valid: true, lookup: found("ann@example.com"), ..lookup.clone() },
            vec!["corp ann@example.com", own, inherited],
            "refused: it is no valid recipient",
        ),
        (
            Scene { to: "ann+x@example.com", ..table.clone() },
            vec![
                "example:ann@example.com ann+x@example.com",
                own,
                "example:default ann+x@example.com",
                inherited,
            ],
            "refused",
        ),
        (
            Scene { to: "postmaster@example.com", only_valid: true, ..lookup.clone() },
            vec!["corp postmaster@example.com"],
            "accepted",
        ),
    ];
    for (scene, asked, outcome) in cases {
        let (found, verdict) = scene.play();
        assert_eq!(found, asked, "{scene:?}: {verdict}");
        assert!(verdict.outcome.to_string().starts_with(outcome), "{scene:?}: {verdict}");
    }
}

#[test]
fn the_trace_tells_it_all() {
    let scene = Scene {
        mapping: "corp",
        server: true,
        only_valid: true,
        forced: Some("other:out"),
        lookup: found("alee"),
        listed: Some(vec!["example:default ann@example.com"]),
        to: "ann+news@example.com",
        ..Scene::default()
    };
    let expected = "\
known network `office`: passed over, stream `other:out` is of another realm than `example`
domain mapping: user lookup `corp` is asked for ann@example.com
user lookup `corp`: known, user Ann
user lookup `corp`: stream `example:alee`
S-700 of stream `example:alee`: on, from `example:default`
valid recipients of stream `example:alee`: ann+news@example.com is not listed
valid recipients of stream `example:alee`: ann@example.com is not listed
valid recipients of stream `example:default`: ann+news@example.com is not listed
valid recipients of stream `example:default`: ann@example.com is listed
verification server: not asked, the recipient is vouched for
accepted for stream `example:alee`: user lookup `corp`: user Ann";
    assert_eq!(scene.play().1.to_string(), expected);
    let scene = Scene { server: true, to: "Postmaster@example.com", ..Scene::default() };
    let expected = "\
postmaster: always real (RFC 5321 section 4.5.1)
domain mapping `as-is`: stream `example:postmaster@example.com`
S-700 of stream `example:postmaster@example.com`: off, from `example:default`
verification server: not asked, the recipient is vouched for
accepted for stream `example:postmaster@example.com`: postmaster is always real";
    assert_eq!(scene.play().1.to_string(), expected);
}

#[test]
fn only_our_domains_are_decided_on() {
    let config = Scene::default().config();
    for to in ["a@example.org", "a@[192.0.2.1]", "a@sub.example.com"] {
        assert!(Rules::of(&config, None, &to.parse().unwrap()).is_err(), "{to}");
    }
}

#[test]
fn exact_plus_addresses_are_recipients_of_their_own() {
    let scene = Scene { mapping: "corp", lookup: found("alee"), ..Scene::default() };
    let mut config = scene.config();
    config.domains[0].plus_addresses = PlusAddresses::Exact;
    let address = "ann+x@example.com".parse().unwrap();
    let rules = Rules::of(&config, None, &address).unwrap();
    assert_eq!(scene.run(Step::first(rules, &address)).0, ["corp ann+x@example.com"]);
}

fn scenes() -> impl Strategy<Value = Scene> {
    let lookup = prop_oneof![Just(LookupAnswer::Unknown), Just(away()), Just(found("alee"))];
    let listed = prop_oneof![
        Just(None),
        Just(Some(vec![])),
        Just(Some(vec!["example:default ann@example.com"])),
        Just(Some(vec!["example:ann@example.com ann@example.com"])),
    ];
    let recipient = prop_oneof![Just(Recipient::Valid), Just(Recipient::Invalid), Just(Recipient::Unknown)];
    let mapping = prop_oneof![Just("as-is"), Just("chop-domain"), Just("corp")];
    let stream = || prop_oneof![Just(None), Just(Some("example:x")), Just(Some("other:x"))];
    let to = prop_oneof![Just("ann@example.com"), Just("ann+x@example.com"), Just("postmaster@example.com")];
    (mapping, any::<[bool; 4]>(), stream(), stream(), to, lookup, listed, recipient).prop_map(
        |(
            mapping,
            [server, only_valid, suspended, verify_unlisted],
            forced,
            mapped,
            to,
            lookup,
            listed,
            verification,
        )| {
            Scene {
                mapping,
                server,
                only_valid,
                suspended,
                verify_unlisted,
                forced,
                mapped,
                to,
                lookup,
                listed,
                verification,
            }
        },
    )
}

proptest! {
    /// What refuses for good was said by somebody: a directory, a table, a server, or the realm's suspension.
    #[test]
    fn nothing_that_could_not_be_asked_refuses(scene in scenes()) {
        let (asked, verdict) = scene.play();
        let refused = match &verdict.outcome {
            Outcome::Refuse { why } => why,
            _ => return Ok(()),
        };
        prop_assert_ne!(scene.to, "postmaster@example.com", "{}", verdict);
        let by_somebody = match refused {
            Refusal::Suspended => scene.suspended,
            Refusal::UnknownToLookup { .. } => scene.lookup == LookupAnswer::Unknown,
            Refusal::NotListed => scene.listed.is_some() && !asked.is_empty(),
            Refusal::UnknownToServer => scene.verification == Recipient::Invalid,
            Refusal::NoStream => false,
        };
        prop_assert!(by_somebody, "{:?}: {}", scene, verdict);
    }

    #[test]
    fn unavailable_never_refuses(mut scene in scenes(), mapping in prop_oneof![Just("as-is"), Just("corp")]) {
        scene = Scene {
            mapping,
            lookup: away(),
            listed: None,
            verification: Recipient::Unknown,
            suspended: false,
            ..scene
        };
        prop_assert!(!matches!(scene.play().1.outcome, Outcome::Refuse { .. }), "{}", scene.outcome());
    }

    #[test]
    fn the_stream_is_of_the_domains_realm_and_the_questions_are_few(scene in scenes()) {
        let (asked, verdict) = scene.play();
        prop_assert!(asked.len() <= 6, "{:?}", asked);
        if let Outcome::Accept { stream, .. } = &verdict.outcome {
            prop_assert_eq!(stream.realm().as_str(), "example");
        }
    }

    /// Whatever comes in whatever order: who had no answer is not the reason of a refusal.
    #[test]
    fn no_sequence_of_answers_turns_unavailable_into_a_refusal(
        scene in scenes(),
        answers in proptest::collection::vec(0_u8..3, 6),
    ) {
        let mut answers = answers.into_iter();
        let mut next = move || answers.next().unwrap_or(0);
        let scene = Scene { mapping: "corp", ..scene };
        let (config, address) = (scene.config(), scene.to.parse().unwrap());
        let rules = Rules::of(&config, None, &address).unwrap();
        let (mut step, mut lookup_away, mut table_away) = (Step::first(rules, &address), false, false);
        let verdict = loop {
            step = match step {
                Step::AskLookup { then, .. } => {
                    let answer = [away(), LookupAnswer::Unknown, found("alee")][usize::from(next())].clone();
                    lookup_away = answer == away();
                    then.answer(answer)
                }
                Step::AskValidRecipients { then, .. } => {
                    let unavailable = Listing::Unavailable { why: "disk".into() };
                    let listing = [unavailable.clone(), Listing::NotListed, Listing::Listed][usize::from(next())].clone();
                    table_away |= listing == unavailable;
                    then.answer(listing)
                }
                Step::AskVerification { then, .. } => {
                    let recipient = [Recipient::Unknown, Recipient::Invalid, Recipient::Valid][usize::from(next())];
                    let because = verification::Because::Trouble(Trouble::Late);
                    then.answer(Answer { recipient, because })
                }
                Step::Done(verdict) => break verdict,
            };
        };
        if let Outcome::Refuse { why } = &verdict.outcome {
            prop_assert!(!lookup_away, "{}", verdict);
            prop_assert!(*why != Refusal::NotListed || !table_away, "{}", verdict);
        }
    }
}
