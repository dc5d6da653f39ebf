//! Verification servers of many tempers in virtual time, and what must hold whatever they do.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use config_schema::{ProbeSender, RouteTls};
use directory::{
    reply::Recipient,
    verification::{
        Action, Alarm, Answer, CONNECTIONS_MAX, ConnectionId, Input, Lost, QuestionId, SEEN_VALID, Settings,
        Verification, Via,
    },
};
use smtp::{
    Time,
    address::Address,
    client::{Failure, Outcome, Stage},
    reply::Reply,
};

/// How a server behaves. Addresses that begin with `v` exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    Honest,
    RefusesNullSender,
    RefusesEverySender,
    Greylists,
    /// Each dialogue takes this many seconds.
    Tarpit(u64),
    /// Honest, but its yes is 251 or 252.
    OddYes(u16),
    /// Answers half of a probe and breaks off.
    BreaksOff,
    AcceptsAll,
    /// Refuses everybody as unknown.
    OutOfStep,
    /// Refuses us at RCPT.
    Banned,
    /// Refuses at RCPT in words that nobody knows.
    Mutters,
    /// Refuses at the greeting.
    Unfriendly,
    /// Connects to nothing.
    Away,
    /// Connects and never says a word.
    Mute,
    Busy,
}

pub(crate) const TEMPERS: [Temper; 16] = [
    Temper::Honest,
    Temper::RefusesNullSender,
    Temper::RefusesEverySender,
    Temper::Greylists,
    Temper::Tarpit(5),
    Temper::Tarpit(45),
    Temper::OddYes(251),
    Temper::OddYes(252),
    Temper::BreaksOff,
    Temper::AcceptsAll,
    Temper::OutOfStep,
    Temper::Banned,
    Temper::Mutters,
    Temper::Away,
    Temper::Mute,
    Temper::Busy,
];

/// A small generator of numbers (SplitMix64), so that a seed tells the whole story.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % most
    }
}

#[derive(Default)]
struct History {
    valid: Option<Time>,
    /// The first refusal since then, and the last.
    refused: Option<(Time, Time)>,
}

pub(crate) struct World {
    pub(crate) verification: Verification,
    settings: Settings,
    pub(crate) now: Time,
    pub(crate) tempers: HashMap<Via, Temper>,
    later: BTreeMap<(Time, u64), Input>,
    order: u64,
    wake: Option<Time>,
    open: HashMap<ConnectionId, (Via, usize, Vec<Address>)>,
    asked: HashMap<QuestionId, (Time, Address)>,
    greylisted: HashSet<String>,
    histories: HashMap<String, History>,
    pub(crate) answers: HashMap<QuestionId, Answer>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) probes: Vec<(ProbeSender, usize)>,
    pub(crate) connects: usize,
    next: u64,
}

impl World {
    pub(crate) fn new(settings: Settings) -> World {
        World {
            verification: Verification::new(settings.clone()),
            settings,
            now: Time::from_start(Duration::from_secs(1)),
            tempers: HashMap::new(),
            later: BTreeMap::new(),
            order: 0,
            wake: None,
            open: HashMap::new(),
            asked: HashMap::new(),
            greylisted: HashSet::new(),
            histories: HashMap::new(),
            answers: HashMap::new(),
            alarms: Vec::new(),
            probes: Vec::new(),
            connects: 0,
            next: 0,
        }
    }

    pub(crate) fn ask(&mut self, server: &Via, address: &str) -> QuestionId {
        let address: Address = address.parse().expect("an address");
        self.next += 1;
        let question = QuestionId(self.next);
        self.asked.insert(question, (self.now, address.clone()));
        self.handle(Input::Ask { question, server: server.clone(), address });
        question
    }

    /// Asks, and lets the time pass until the answer is there.
    pub(crate) fn answer(&mut self, server: &Via, address: &str) -> Answer {
        let question = self.ask(server, address);
        while !self.answers.contains_key(&question) {
            assert!(self.step(), "no answer, and nothing to wait for");
        }
        self.answers[&question].clone()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.next_moment().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    pub(crate) fn finish(&mut self) {
        while !self.asked.is_empty() {
            assert!(self.step(), "questions without an answer");
        }
    }

    fn next_moment(&self) -> Option<Time> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        later.into_iter().chain(self.wake).min()
    }

    /// Goes on to the next thing that happens.
    fn step(&mut self) -> bool {
        let Some(at) = self.next_moment() else { return false };
        self.now = self.now.max(at);
        let due = self.later.first_key_value().is_some_and(|((later, _), _)| *later <= at);
        let input = if due {
            self.later.pop_first().expect("looked at before").1
        } else {
            self.wake = None;
            Input::Timeout
        };
        let mut heard = Vec::new();
        match &input {
            Input::Connected { connection } if !self.open.contains_key(connection) => return true,
            Input::Replies { connection, open, .. } => match self.open.get_mut(connection) {
                Some((.., asked)) => {
                    heard = std::mem::take(asked);
                    if !open {
                        self.open.remove(connection);
                    }
                }
                None => return true,
            },
            Input::Failed { connection, .. } if self.open.remove(connection).is_none() => return true,
            _ => {}
        }
        if let Input::Replies { outcome, .. } = &input {
            let replies = heard.iter().zip(&outcome.recipients);
            replies.for_each(|(address, reply)| self.note(address, reply.as_ref()));
        }
        self.handle(input);
        true
    }

    fn handle(&mut self, input: Input) {
        for action in self.verification.handle(self.now, input) {
            self.act(action);
        }
        let (questions, connections) = self.verification.open();
        assert_eq!(questions, self.asked.len());
        assert_eq!(connections, self.open.len());
        assert!(connections <= CONNECTIONS_MAX);
        assert!(self.verification.memory().len() <= self.settings.remembered);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { connection, server, .. } => self.connect(connection, server),
            Action::Probe { connection, sender, addresses } => self.probe(connection, sender, &addresses),
            Action::Answer { question, answer } => self.check(question, answer),
            Action::Close { connection } => assert!(self.open.remove(&connection).is_some()),
            Action::Alarm { alarm, .. } => self.alarms.push(alarm),
            Action::WakeAt(at) => self.wake = Some(at),
        }
    }

    fn after(&mut self, seconds: u64, input: Input) {
        self.order += 1;
        self.later.insert((self.now + Duration::from_secs(seconds), self.order), input);
    }

    fn connect(&mut self, connection: ConnectionId, server: Via) {
        self.connects += 1;
        let temper = self.tempers[&server];
        assert!(self.open.insert(connection, (server.clone(), 0, Vec::new())).is_none());
        let there = self.open.values().filter(|(other, ..)| *other == server).count();
        assert!(there <= self.settings.connections, "{there} connections to one server");
        match temper {
            Temper::Away => {
                let why = Lost::Unreachable("connection refused".into());
                self.after(1, Input::Failed { connection, why });
            }
            Temper::Unfriendly => {
                let reply = Reply::new(554, "go away");
                let why = Lost::Dialogue(Failure::Refused { stage: Stage::Greeting, reply });
                self.after(1, Input::Failed { connection, why });
            }
            Temper::Mute => {}
            _ => self.after(1, Input::Connected { connection }),
        }
    }

    fn probe(&mut self, connection: ConnectionId, sender: ProbeSender, addresses: &[Address]) {
        let (server, count, asked) = self.open.get_mut(&connection).expect("an open connection");
        assert!(asked.is_empty() && !addresses.is_empty());
        asked.extend_from_slice(addresses);
        *count += addresses.len();
        assert!(*count <= self.settings.questions);
        let temper = self.tempers[server];
        self.probes.push((sender, addresses.len()));
        let mut recipients: Vec<Option<Reply>> =
            addresses.iter().map(|address| Some(self.reply(temper, address))).collect();
        let mut result = Ok(Reply::new(250, "reset").enhanced(2, 0, 0));
        let null = sender == ProbeSender::Null;
        match temper {
            Temper::RefusesNullSender | Temper::RefusesEverySender
                if null || temper == Temper::RefusesEverySender =>
            {
                recipients.fill(None);
                let reply = Reply::new(550, "we take no mail from you");
                result = Err(Failure::Refused { stage: Stage::Mail, reply });
            }
            Temper::BreaksOff => {
                let half = recipients.len() / 2;
                recipients[half..].fill(None);
                result = Err(Failure::Closed(Stage::Rcpt));
            }
            Temper::Away | Temper::Mute => return,
            _ => {}
        }
        let open = temper != Temper::BreaksOff;
        let outcome = Outcome { recipients, result, dsn: false };
        let wait = if let Temper::Tarpit(seconds) = temper { seconds } else { 1 };
        self.after(wait, Input::Replies { connection, outcome, open });
    }

    fn reply(&mut self, temper: Temper, address: &Address) -> Reply {
        let exists = address.local().as_str().starts_with('v');
        let unknown = Reply::new(550, "Recipient address rejected: Access denied").enhanced(5, 4, 1);
        let known = Reply::new(250, "Recipient OK").enhanced(2, 1, 5);
        match temper {
            Temper::AcceptsAll => known,
            Temper::OutOfStep => unknown,
            Temper::OddYes(code) if exists => Reply::new(code, "well"),
            Temper::Banned => Reply::new(550, "Access denied, banned sending IP").enhanced(5, 7, 606),
            Temper::Mutters => Reply::new(550, "no"),
            Temper::Busy => Reply::new(451, "Server busy. Please try again later").enhanced(4, 7, 500),
            Temper::Greylists if self.greylisted.insert(address.key()) => Reply::new(450, "come again"),
            _ if exists => known,
            _ => unknown,
        }
    }

    /// What has been heard of an address.
    fn note(&mut self, address: &Address, reply: Option<&Reply>) {
        let Some(reply) = reply else { return };
        let history = self.histories.entry(address.key()).or_default();
        if reply.is_positive() {
            *history = History { valid: Some(self.now), refused: None };
        } else if reply.text().contains("Recipient address rejected") {
            let first = history.refused.map_or(self.now, |(first, _)| first);
            history.refused = Some((first, self.now));
        }
    }

    fn check(&mut self, question: QuestionId, answer: Answer) {
        let (at, address) = self.asked.remove(&question).expect("asked once, answered once");
        assert!(self.now.since(at) <= self.settings.time, "late");
        let history = self.histories.entry(address.key()).or_default();
        // What had to be forgotten for want of room is worth nothing.
        let remembers = self.settings.remembered >= 1_000;
        match answer.recipient {
            Recipient::Valid => assert!(history.valid.is_some(), "nobody said that {address} exists"),
            Recipient::Invalid => {
                let (first, last) = history.refused.expect("nobody refused it");
                let lately = history.valid.is_some_and(|valid| last.since(valid) <= SEEN_VALID);
                let apart = last.since(first) >= self.settings.second_probe;
                assert!(!lately || apart || !remembers, "{address} was valid lately");
            }
            Recipient::Unknown => {
                let stands = history.valid.is_some() && history.refused.is_none();
                assert!(!stands || !remembers, "{address} was valid: {answer}");
            }
        }
        self.answers.insert(question, answer);
    }
}

pub(crate) fn server(n: u64) -> Via {
    let server = format!("mx{n}.example.net:25").parse().expect("a route");
    Via { server, tls: RouteTls::Opportunistic, shown: None }
}
