//! Asks verification servers whether recipients exist, and remembers what they say.
//!
//! Questions, what became of connections, and the time in; connections to open, probes to make and answers out.
//! Every question gets exactly one [`Action::Answer`], at the latest after [`Settings::time`], if
//! [`Input::Timeout`] comes when [`Action::WakeAt`] says. What is refused for good was refused by a server that
//! said so in words that mean just that ([`crate::reply`]); whatever else goes wrong is *not known*, or the last
//! valid answer.

mod answer;
mod memory;
mod recent;
mod remembered;
mod server;
mod settings;
mod via;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use config_schema::ProbeSender;
use smtp::{
    Time,
    address::{Address, Host},
    client::{Failure, Outcome, Stage},
};

pub use answer::{Answer, Because, REPLY_MAX, Said, Trouble};
pub use remembered::Remembered;
pub use settings::{SEEN_VALID, Settings, transaction};
pub use via::Via;

use crate::reply::{Meaning, Recipient};
use memory::Seconds;
use server::Server;

/// An address in the form in which it is compared.
type Key = Arc<str>;

/// Questions that wait at a time.
pub const QUESTIONS_MAX: usize = 10_000;
/// Servers that are remembered at a time.
pub const SERVERS_MAX: usize = 256;
/// Connections to all servers together.
pub const CONNECTIONS_MAX: usize = 64;
/// The number of the rule for whatever is refused before a recipient was named, by no known reason.
const RULE_EARLY: u8 = 28;
/// The number of the rule for unknown words at RCPT.
const RULE_UNKNOWN_WORDS: u8 = 29;

/// A question, by a number of the asker's that no other open question has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuestionId(pub u64);

/// A connection, by a number of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Somebody wants to know whether this recipient exists.
    Ask {
        /// Comes back in the answer.
        question: QuestionId,
        /// Who knows.
        server: Via,
        /// Of whom.
        address: Address,
    },
    /// The connection is open, greeted and protected as deliveries are.
    Connected {
        /// Which.
        connection: ConnectionId,
    },
    /// A probe is over.
    Replies {
        /// Which.
        connection: ConnectionId,
        /// What was said.
        outcome: Outcome,
        /// Whether the connection takes another probe.
        open: bool,
    },
    /// The connection could not be opened, or was lost.
    Failed {
        /// Which.
        connection: ConnectionId,
        /// How.
        why: Lost,
    },
    /// The moment of the last [`Action::WakeAt`] has come. Too early is harmless.
    Timeout,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Lost {
    /// The name has no address, or nobody answers there.
    Unreachable(Box<str>),
    /// The dialogue failed.
    Dialogue(Failure),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a connection in the way of deliveries: same source address, TLS and certificate.
    Connect {
        /// Its number from now on.
        connection: ConnectionId,
        /// To whom.
        server: Via,
        /// The domain of the address that it is opened for; others share it.
        domain: Host,
    },
    /// Make this probe; see [`transaction`].
    Probe {
        /// On which connection.
        connection: ConnectionId,
        /// By whom.
        sender: ProbeSender,
        /// Of whom.
        addresses: Vec<Address>,
    },
    /// The answer to a question.
    Answer {
        /// Which.
        question: QuestionId,
        /// What is known.
        answer: Answer,
    },
    /// Say QUIT if there is time, and close.
    Close {
        /// Which; nothing more is to be told of it.
        connection: ConnectionId,
    },
    /// The administrator should know; given once an hour for each cause.
    Alarm {
        /// Which server.
        server: Via,
        /// What is wrong.
        alarm: Alarm,
    },
    /// Call with [`Input::Timeout`] at this moment; replaces the moment named before.
    WakeAt(Time),
}

/// What is wrong with a server, or with us in its eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// It refuses, and not because of the recipient.
    Refused(Said),
    /// It refuses the null sender; postmaster asks instead.
    NullSender(Said),
}

/// The machine.
#[derive(Debug)]
pub struct Verification {
    settings: Settings,
    memory: Remembered,
    servers: HashMap<Arc<Via>, Server>,
    connections: HashMap<ConnectionId, Arc<Via>>,
    questions: HashMap<QuestionId, Question>,
    deadlines: BTreeSet<(Time, QuestionId)>,
    ids: u64,
    wake: Option<Time>,
}

#[derive(Debug)]
struct Question {
    server: Arc<Via>,
    key: Key,
    deadline: Time,
}

impl Verification {
    /// Nothing remembered yet.
    pub fn new(settings: Settings) -> Verification {
        Verification {
            memory: Remembered::new(&settings),
            settings,
            servers: HashMap::new(),
            connections: HashMap::new(),
            questions: HashMap::new(),
            deadlines: BTreeSet::new(),
            ids: 0,
            wake: None,
        }
    }

    /// Takes other settings, from the next question on; how many addresses are remembered changes at the next start.
    pub fn configure(&mut self, settings: Settings) {
        self.memory.write().configure(&settings);
        self.settings = settings;
    }

    /// Takes what happened; returns what to do, in this order.
    pub fn handle(&mut self, now: Time, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Ask { question, server, address } => self.ask(now, question, server, address, &mut out),
            Input::Connected { connection } => self.opened(now, connection, &mut out),
            Input::Replies { connection, outcome, open } => {
                self.replied(now, connection, &outcome, open, &mut out);
            }
            Input::Failed { connection, why } => self.lost(now, connection, &why, &mut out),
            // Perhaps too early: the moment is named again.
            Input::Timeout => self.wake = None,
        }
        self.expire(now, &mut out);
        self.wake(now, &mut out);
        out
    }

    /// What is remembered; whoever asks there first asks the machine only what nobody knows.
    pub fn memory(&self) -> &Remembered {
        &self.memory
    }

    /// Questions that wait, and connections that are open or being opened.
    pub fn open(&self) -> (usize, usize) {
        (self.questions.len(), self.connections.len())
    }

    fn ask(&mut self, now: Time, question: QuestionId, server: Via, address: Address, out: &mut Vec<Action>) {
        let key: Key = address.key().into();
        let deadline = now + self.settings.time;
        if let Some(answer) = self.memory.recall(&key, now) {
            return out.push(Action::Answer { question, answer });
        }
        if self.questions.len() >= QUESTIONS_MAX || !self.has_room_for(&server) {
            let answer = self.without(&key, now, Trouble::Busy);
            return out.push(Action::Answer { question, answer });
        }
        let server = Arc::new(server);
        let sender = self.settings.sender;
        let state = self.servers.entry(server.clone()).or_insert_with(|| Server::new(sender));
        if let Some(trouble) = state.trouble(now, deadline) {
            let trouble = trouble.clone();
            let answer = self.without(&key, now, trouble);
            return out.push(Action::Answer { question, answer });
        }
        state.join(key.clone(), address, question);
        self.deadlines.insert((deadline, question));
        self.questions.insert(question, Question { server: server.clone(), key, deadline });
        self.go_on(now, &server, out);
    }

    /// What is said when there is no new answer.
    fn without(&self, key: &str, now: Time, trouble: Trouble) -> Answer {
        match self.memory.read().stale(key, seconds(now)) {
            Some(ago) => Answer { recipient: Recipient::Valid, because: Because::Stale { ago, trouble } },
            None => Answer { recipient: Recipient::Unknown, because: Because::Trouble(trouble) },
        }
    }

    fn has_room_for(&mut self, server: &Via) -> bool {
        if self.servers.contains_key(server) || self.servers.len() < SERVERS_MAX {
            return true;
        }
        self.servers.retain(|_, state| !state.is_quiet());
        self.servers.len() < SERVERS_MAX
    }

    fn go_on(&mut self, now: Time, server: &Arc<Via>, out: &mut Vec<Action>) {
        let Some(state) = self.servers.get_mut(server) else { return };
        let room = CONNECTIONS_MAX.saturating_sub(self.connections.len());
        state.go_on((now, server), &self.settings, room, &mut self.ids, out);
        for connection in &state.connections {
            self.connections.entry(connection.id).or_insert_with(|| server.clone());
        }
        self.connections.retain(|id, of| of != server || state.connections.iter().any(|c| c.id == *id));
    }

    fn opened(&mut self, now: Time, connection: ConnectionId, out: &mut Vec<Action>) {
        let Some(server) = self.connections.get(&connection).cloned() else { return };
        if let Some(state) = self.servers.get_mut(&server) {
            state.opened(connection, now);
        }
        self.go_on(now, &server, out);
    }

    fn replied(
        &mut self,
        now: Time,
        connection: ConnectionId,
        outcome: &Outcome,
        open: bool,
        out: &mut Vec<Action>,
    ) {
        let Some(server) = self.connections.get(&connection).cloned() else { return };
        let Some(state) = self.servers.get_mut(&server) else { return };
        let (keys, sender) = state.asked(connection, now, open);
        let mut rest = Vec::new();
        for (at, key) in keys.into_iter().enumerate() {
            match outcome.recipients.get(at).and_then(Option::as_ref) {
                Some(reply) => self.said(now, &server, &key, reply, out),
                None => rest.push(key),
            }
        }
        match &outcome.result {
            Err(failure) => self.failed(now, &server, (&rest, sender), failure, out),
            Ok(_) => {
                let trouble = Trouble::Unreachable("it left out a reply".into());
                rest.iter().for_each(|key| self.give_up(now, &server, key, &trouble, out));
            }
        }
        self.settle(now, &server, out);
        self.go_on(now, &server, out);
    }

    /// A reply to one RCPT.
    fn said(
        &mut self,
        now: Time,
        server: &Arc<Via>,
        key: &Key,
        reply: &smtp::reply::Reply,
        out: &mut Vec<Action>,
    ) {
        let (said, verdict) = Said::at_rcpt(reply);
        let Some(state) = self.servers.get_mut(server) else { return };
        if verdict.meaning == Meaning::TooManyRecipients && state.again(key) {
            return;
        }
        if is_ours(verdict.meaning) || verdict.rule == RULE_UNKNOWN_WORDS {
            out.extend(state.alarm(now, server, Alarm::Refused(said.clone())));
        }
        if verdict.meaning == Meaning::Busy {
            state.failed(now, Trouble::Said(said.clone()));
        }
        let answer = match verdict.recipient {
            Recipient::Unknown => return self.give_up(now, server, key, &Trouble::Said(said), out),
            Recipient::Valid => {
                self.memory.write().valid(key, seconds(now));
                Answer { recipient: Recipient::Valid, because: Because::Said(said) }
            }
            Recipient::Invalid => match self.memory.write().refused(key, seconds(now)) {
                None => Answer { recipient: Recipient::Invalid, because: Because::Said(said) },
                Some(within) => {
                    Answer { recipient: Recipient::Unknown, because: Because::SecondProbe { within } }
                }
            },
        };
        state.succeeded();
        self.answer(server, key, &answer, out);
    }

    /// A dialogue failed before these addresses had their answers.
    fn failed(
        &mut self,
        now: Time,
        server: &Arc<Via>,
        (keys, sender): (&[Key], ProbeSender),
        failure: &Failure,
        out: &mut Vec<Action>,
    ) {
        let Some(state) = self.servers.get_mut(server) else { return };
        let trouble = Trouble::of(failure);
        let again = match failure {
            Failure::Refused { stage, reply } => {
                let (said, verdict) = Said::at(reply, *stage);
                let null = *stage == Stage::Mail && reply.code() >= 500 && verdict.rule == RULE_EARLY;
                if null && state.change_sender(sender) {
                    out.extend(state.alarm(now, server, Alarm::NullSender(said)));
                    true
                } else {
                    if is_ours(verdict.meaning) {
                        out.extend(state.alarm(now, server, Alarm::Refused(said)));
                    }
                    if *stage != Stage::Mail || verdict.meaning == Meaning::Busy {
                        state.failed(now, trouble.clone());
                    }
                    false
                }
            }
            Failure::Closed(_) | Failure::Timeout(_) | Failure::Peer { .. } => {
                state.failed(now, trouble.clone());
                true
            }
            // The dialogue is sound; each address had its reply, or cannot be asked after in it.
            Failure::NoRecipients | Failure::Unsupported(_) => false,
            _ => {
                state.failed(now, trouble.clone());
                false
            }
        };
        for key in keys {
            let waits = again && self.servers.get_mut(server).is_some_and(|state| state.again(key));
            if !waits {
                self.give_up(now, server, key, &trouble, out);
            }
        }
    }

    fn lost(&mut self, now: Time, connection: ConnectionId, why: &Lost, out: &mut Vec<Action>) {
        let Some(server) = self.connections.get(&connection).cloned() else { return };
        let Some(state) = self.servers.get_mut(&server) else { return };
        let idle = state.connections.iter().any(|open| open.id == connection && open.is_ready());
        let (keys, sender) = state.asked(connection, now, false);
        match why {
            // A server may end a connection that nobody uses.
            Lost::Dialogue(Failure::Closed(_) | Failure::Timeout(_)) if idle => {}
            Lost::Dialogue(failure) => self.failed(now, &server, (&keys, sender), failure, out),
            Lost::Unreachable(why) => {
                let why = why.chars().take(REPLY_MAX).collect();
                self.unreachable(now, &server, &keys, Trouble::Unreachable(why), out);
            }
        }
        self.settle(now, &server, out);
        self.go_on(now, &server, out);
    }

    fn unreachable(
        &mut self,
        now: Time,
        server: &Arc<Via>,
        keys: &[Key],
        trouble: Trouble,
        out: &mut Vec<Action>,
    ) {
        let Some(state) = self.servers.get_mut(server) else { return };
        state.failed(now, trouble.clone());
        for key in keys {
            let waits = self.servers.get_mut(server).is_some_and(|state| state.again(key));
            if !waits {
                self.give_up(now, server, key, &trouble, out);
            }
        }
    }

    /// Answers those who wait for a server that will not be asked in time.
    fn settle(&mut self, now: Time, server: &Arc<Via>, out: &mut Vec<Action>) {
        let Some(state) = self.servers.get(server) else { return };
        let Some(trouble) = state.trouble(now, Time::default()).cloned() else { return };
        let questions = &self.questions;
        let deadline = |id: QuestionId| questions.get(&id).map(|question| question.deadline);
        for (key, question) in state.hopeless(deadline) {
            let answer = self.without(&key, now, trouble.clone());
            self.done(question, answer, out);
        }
    }

    fn give_up(&mut self, now: Time, server: &Arc<Via>, key: &Key, trouble: &Trouble, out: &mut Vec<Action>) {
        let answer = self.without(key, now, trouble.clone());
        self.answer(server, key, &answer, out);
    }

    /// Answers everyone who asked after this address.
    fn answer(&mut self, server: &Arc<Via>, key: &Key, answer: &Answer, out: &mut Vec<Action>) {
        let pending = self.servers.get_mut(server).and_then(|state| state.pending.remove(key));
        for question in pending.map(|pending| pending.questions).unwrap_or_default() {
            if let Some(known) = self.questions.remove(&question) {
                self.deadlines.remove(&(known.deadline, question));
                out.push(Action::Answer { question, answer: answer.clone() });
            }
        }
    }

    /// Answers one of those who asked.
    fn done(&mut self, question: QuestionId, answer: Answer, out: &mut Vec<Action>) {
        let Some(known) = self.questions.remove(&question) else { return };
        self.deadlines.remove(&(known.deadline, question));
        if let Some(state) = self.servers.get_mut(&known.server) {
            state.leave(&known.key, question);
        }
        out.push(Action::Answer { question, answer });
    }

    /// Ends what has lasted too long.
    fn expire(&mut self, now: Time, out: &mut Vec<Action>) {
        while let Some((deadline, question)) = self.deadlines.first().copied()
            && deadline <= now
        {
            let key = self.questions.get(&question).map(|question| question.key.clone());
            let answer = self.without(key.as_deref().unwrap_or_default(), now, Trouble::Late);
            self.done(question, answer, out);
            self.deadlines.remove(&(deadline, question));
        }
        let due: Vec<Arc<Via>> = self.due(now).cloned().collect();
        for server in due {
            let expired = self.servers.get(&server).map(|state| state.expired(now)).unwrap_or_default();
            for over in expired {
                out.push(Action::Close { connection: over.id });
                let Some(state) = self.servers.get_mut(&server) else { continue };
                let (keys, _) = state.asked(over.id, now, false);
                if !over.idle {
                    self.unreachable(now, &server, &keys, Trouble::Late, out);
                }
            }
            self.settle(now, &server, out);
            self.go_on(now, &server, out);
        }
    }

    fn due(&self, now: Time) -> impl Iterator<Item = &Arc<Via>> {
        let is_due = move |state: &Server| state.is_waiting() || state.due(now).is_some_and(|at| at <= now);
        self.servers.iter().filter(move |(_, state)| is_due(state)).map(|(server, _)| server)
    }

    fn wake(&mut self, now: Time, out: &mut Vec<Action>) {
        let questions = self.deadlines.first().map(|(at, _)| *at);
        let servers = self.servers.values().filter_map(|state| state.due(now)).min();
        let next = questions.into_iter().chain(servers).min();
        if next != self.wake
            && let Some(at) = next
        {
            out.push(Action::WakeAt(at));
        }
        self.wake = next;
    }
}

/// Whether the fault is ours or the tenant's, so that the administrator must know.
fn is_ours(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Configuration | Meaning::NotByIpv6)
}

fn seconds(now: Time) -> Seconds {
    Seconds::try_from(now.since_start().as_secs()).unwrap_or(Seconds::MAX)
}
