//! One verification server: its connections, who waits for it, and how it has behaved.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use config_schema::ProbeSender;
use smtp::{Time, address::Address};

use super::{
    Action, Alarm, ConnectionId, Key, QuestionId,
    answer::{Said, Trouble},
    settings::Settings,
    via::Via,
};

/// Addresses asked after in one transaction.
pub(super) const BATCH: usize = 10;
/// How long an open connection is kept for the next question.
const IDLE: Duration = Duration::from_secs(20);
/// The wait after the first failure, doubled up to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// From this many failures on nobody waits for the next try: it is one connection, to see.
const DOWN: u32 = 2;
/// How often an address is sent in a dialogue that breaks off.
const TRIES: u8 = 2;
/// One alarm for a cause in this time.
const ALARM_AGAIN: Duration = Duration::from_secs(3_600);
/// Causes that are told apart; there are 30 rules.
const CAUSES_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) connections: Vec<Connection>,
    waiting: VecDeque<Key>,
    pub(super) pending: HashMap<Key, Pending>,
    failures: u32,
    not_before: Time,
    last_trouble: Trouble,
    sender: ProbeSender,
    alarms: Vec<(Cause, Time)>,
}

/// What is told apart for alarms: a rule, or the refused null sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Rule(u8),
    NullSender,
}

/// An address that somebody waits to know of.
#[derive(Debug)]
pub(super) struct Pending {
    address: Address,
    pub(super) questions: Vec<QuestionId>,
    tries: u8,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    state: State,
    asked: usize,
}

#[derive(Debug)]
enum State {
    Opening { until: Time },
    Ready { until: Time },
    Asking { until: Time, keys: Vec<Key>, sender: ProbeSender },
}

/// A connection whose time is over.
#[derive(Debug)]
pub(super) struct Expired {
    pub(super) id: ConnectionId,
    pub(super) idle: bool,
}

impl Server {
    pub(super) fn new(sender: ProbeSender) -> Server {
        Server {
            connections: Vec::new(),
            waiting: VecDeque::new(),
            pending: HashMap::new(),
            failures: 0,
            not_before: Time::default(),
            last_trouble: Trouble::Late,
            sender,
            alarms: Vec::new(),
        }
    }

    /// Nobody waits, and nothing is open.
    pub(super) fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.connections.is_empty()
    }

    /// Why nobody can be asked now who must be answered by `deadline`.
    pub(super) fn trouble(&self, now: Time, deadline: Time) -> Option<&Trouble> {
        let closed = now < self.not_before && (self.failures >= DOWN || self.not_before >= deadline);
        closed.then_some(&self.last_trouble)
    }

    pub(super) fn join(&mut self, key: Key, address: Address, question: QuestionId) {
        if let Some(pending) = self.pending.get_mut(&key) {
            return pending.questions.push(question);
        }
        self.waiting.push_back(key.clone());
        self.pending.insert(key, Pending { address, questions: vec![question], tries: 0 });
    }

    /// Nobody waits for the question any more; what was sent is still listened to.
    pub(super) fn leave(&mut self, key: &Key, question: QuestionId) {
        let Some(pending) = self.pending.get_mut(key) else { return };
        pending.questions.retain(|waiting| *waiting != question);
        let asking = |connection: &Connection| matches!(&connection.state, State::Asking { keys, .. } if keys.contains(key));
        if pending.questions.is_empty() && !self.connections.iter().any(asking) {
            self.waiting.retain(|waiting| waiting != key);
            self.pending.remove(key);
        }
    }

    /// Those who wait and cannot wait long enough.
    pub(super) fn hopeless(&self, deadline: impl Fn(QuestionId) -> Option<Time>) -> Vec<(Key, QuestionId)> {
        let mut hopeless = Vec::new();
        for key in &self.waiting {
            let questions = self.pending.get(key).map(|pending| pending.questions.as_slice());
            for question in questions.unwrap_or_default() {
                let late = deadline(*question).is_none_or(|deadline| deadline <= self.not_before);
                if self.failures >= DOWN || late {
                    hopeless.push((key.clone(), *question));
                }
            }
        }
        hopeless
    }

    /// Asks what can be asked, and opens a connection if one is missing. `room` is how many may be opened yet.
    pub(super) fn go_on(
        &mut self,
        (now, route): (Time, &Via),
        settings: &Settings,
        room: usize,
        ids: &mut u64,
        out: &mut Vec<Action>,
    ) {
        while let Some(at) = self.connections.iter().position(Connection::is_ready) {
            if self.waiting.is_empty() {
                break;
            }
            if self.connections[at].asked >= settings.questions.max(1) {
                out.push(Action::Close { connection: self.connections.swap_remove(at).id });
                continue;
            }
            self.ask(at, now, settings, out);
        }
        // After a failure one connection, to see.
        let most = if self.failures > 0 { 1 } else { settings.connections.max(1) };
        let opening = self.connections.iter().filter(|connection| connection.is_opening()).count();
        let missing = self.waiting.len().div_ceil(BATCH).saturating_sub(opening);
        let free = most.saturating_sub(self.connections.len()).min(room);
        if now < self.not_before {
            return;
        }
        let waiting = self.waiting.iter().find_map(|key| self.pending.get(key));
        let Some(domain) = waiting.map(|pending| pending.address.host().clone()) else { return };
        for _ in 0..missing.min(free) {
            *ids += 1;
            let id = ConnectionId(*ids);
            let state = State::Opening { until: now + settings.time };
            self.connections.push(Connection { id, state, asked: 0 });
            out.push(Action::Connect { connection: id, server: route.clone(), domain: domain.clone() });
        }
    }

    /// Sends a batch of those who wait: all of them in ASCII, or none, since one that needs SMTPUTF8 would fail the
    /// others where it is not offered.
    fn ask(&mut self, at: usize, now: Time, settings: &Settings, out: &mut Vec<Action>) {
        let connection = &mut self.connections[at];
        let most = BATCH.min(settings.questions.max(1) - connection.asked);
        let (mut keys, mut addresses, mut left) = (Vec::new(), Vec::new(), VecDeque::new());
        let mut ascii = None;
        while let Some(key) = self.waiting.pop_front() {
            let Some(pending) = self.pending.get_mut(&key) else { continue };
            let fits = *ascii.get_or_insert(pending.address.is_ascii()) == pending.address.is_ascii();
            if keys.len() == most || !fits {
                left.push_back(key);
                continue;
            }
            pending.tries += 1;
            addresses.push(pending.address.clone());
            keys.push(key);
        }
        self.waiting = left;
        if keys.is_empty() {
            return;
        }
        connection.asked += keys.len();
        connection.state = State::Asking { until: now + settings.time, keys, sender: self.sender };
        out.push(Action::Probe { connection: connection.id, sender: self.sender, addresses });
    }

    pub(super) fn opened(&mut self, id: ConnectionId, now: Time) {
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) {
            connection.state = State::Ready { until: now + IDLE };
        }
    }

    /// Takes what was asked on a connection, and as whom; it is then ready again, or gone.
    pub(super) fn asked(&mut self, id: ConnectionId, now: Time, open: bool) -> (Vec<Key>, ProbeSender) {
        let Some(at) = self.connections.iter().position(|connection| connection.id == id) else {
            return (Vec::new(), self.sender);
        };
        let ready = State::Ready { until: now + IDLE };
        let state = std::mem::replace(&mut self.connections[at].state, ready);
        if !open {
            self.connections.swap_remove(at);
        }
        match state {
            State::Asking { keys, sender, .. } => (keys, sender),
            _ => (Vec::new(), self.sender),
        }
    }

    /// Puts an address back among those who wait, unless it has been sent often enough.
    pub(super) fn again(&mut self, key: &Key) -> bool {
        let Some(pending) = self.pending.get(key) else { return false };
        if pending.tries >= TRIES || pending.questions.is_empty() {
            return false;
        }
        self.waiting.push_front(key.clone());
        true
    }

    /// This sender was refused: true when the same is to be asked by another.
    pub(super) fn change_sender(&mut self, refused: ProbeSender) -> bool {
        let changes = refused == ProbeSender::Null;
        if changes {
            self.sender = ProbeSender::Postmaster;
            self.pending.values_mut().for_each(|pending| pending.tries = 0);
        }
        changes
    }

    pub(super) fn failed(&mut self, now: Time, trouble: Trouble) {
        let wait = BACK_OFF.0.saturating_mul(1 << self.failures.min(10)).min(BACK_OFF.1);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait;
        self.last_trouble = trouble;
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = Time::default();
    }

    /// The alarm, unless it was given a short while ago.
    pub(super) fn alarm(&mut self, now: Time, route: &Via, alarm: Alarm) -> Option<Action> {
        let cause = match &alarm {
            Alarm::Refused(Said { rule, .. }) => Cause::Rule(*rule),
            Alarm::NullSender(_) => Cause::NullSender,
        };
        self.alarms.retain(|(_, at)| now.since(*at) < ALARM_AGAIN);
        if self.alarms.len() >= CAUSES_MAX || self.alarms.iter().any(|(known, _)| *known == cause) {
            return None;
        }
        self.alarms.push((cause, now));
        Some(Action::Alarm { server: route.clone(), alarm })
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When something is due here.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        let connections = self.connections.iter().map(Connection::until).min();
        let again = (!self.waiting.is_empty() && now < self.not_before).then_some(self.not_before);
        connections.into_iter().chain(again).min()
    }

    pub(super) fn expired(&self, now: Time) -> Vec<Expired> {
        let over = self.connections.iter().filter(|connection| connection.until() <= now);
        over.map(|connection| Expired { id: connection.id, idle: connection.is_ready() }).collect()
    }
}

impl Connection {
    /// Open, and nothing is asked on it.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening { .. })
    }

    fn until(&self) -> Time {
        match self.state {
            State::Opening { until } | State::Ready { until } | State::Asking { until, .. } => until,
        }
    }
}
