//! One connection, from banner to close.

use std::{mem, sync::Arc};

use bytes::{Buf, BytesMut};

use super::{
    Action, Actions, Answer, ClientName, CloseReason, Input, Question, READ_MAX, ServerConfig, body,
    dialogue::{Dialogue, Peer},
    line::{self, Line},
    state::{Asked, State},
    verb,
};
use crate::Time;

/// Octets that may wait while a question is open: what was read before it was asked, and one read after.
const PENDING_MAX: usize = 2 * READ_MAX;
/// Octets of a command line beyond its limit that are skipped before the connection is closed.
const SKIP_MAX: usize = 64 * 1024;

/// A connection as the server sees it.
#[derive(Debug)]
pub struct Session {
    config: Arc<ServerConfig>,
    state: State,
    peer: Peer,
    /// Octets that came and were not yet looked at, or are not yet a whole line.
    pending: BytesMut,
    /// Octets skipped of a line that is too long.
    skipped: Option<usize>,
    deadline: Option<Time>,
    woken_at: Option<Time>,
}

impl Session {
    /// A connection that was just accepted. Asks [`Question::Connect`]; the banner follows its answer.
    pub fn new(config: Arc<ServerConfig>, now: Time, actions: &mut Actions) -> Self {
        let mut session = Self {
            config,
            state: State::Asked(Asked::Connect),
            peer: Peer::default(),
            pending: BytesMut::new(),
            skipped: None,
            deadline: None,
            woken_at: None,
        };
        actions.push(Action::Ask(Question::Connect));
        session.arm(now);
        session.wake(actions);
        session
    }

    /// Takes one input and appends what is to be done.
    pub fn handle(&mut self, now: Time, input: Input<'_>, actions: &mut Actions) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Bytes(octets) => self.bytes(now, octets, actions),
            Input::Timeout => self.timeout(now, actions),
            Input::Answer(answer) => {
                if matches!(self.state, State::Asked(_)) {
                    self.turn(now, actions, |turn, state| answered(turn, state, answer));
                    self.arm(now);
                    self.bytes(now, &[], actions);
                }
            }
            Input::TlsDone => self.tls_done(now),
            Input::TlsFailed => self.turn(now, actions, |turn, _| turn.close(CloseReason::TlsFailed)),
            Input::PeerClosed => self.turn(now, actions, |turn, _| turn.close(CloseReason::PeerClosed)),
        }
        if self.is_closed() {
            self.pending = BytesMut::new();
            self.deadline = None;
        } else {
            self.wake(actions);
        }
    }

    /// Whether octets are to be read. Before the banner they are, since a peer that speaks then is turned away;
    /// while another question is open they are not, and TCP makes the peer wait.
    pub fn wants_read(&self) -> bool {
        match self.state {
            State::Asked(Asked::Connect) => true,
            State::Asked(_) | State::TlsPending | State::Closing => false,
            _ => true,
        }
    }

    /// Whether [`Action::Close`] was given.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closing)
    }

    /// Whether TLS is up.
    pub fn is_tls(&self) -> bool {
        self.peer.tls
    }

    /// The name that the client gave itself last, once it was accepted.
    pub fn client_name(&self) -> Option<&ClientName> {
        self.peer.name.as_ref()
    }

    /// Runs `step` on the state with everything that a command may use.
    fn turn(
        &mut self,
        now: Time,
        actions: &mut Actions,
        step: impl FnOnce(&mut Dialogue<'_>, State) -> State,
    ) {
        let mut turn = Dialogue::new(now, &self.config, &mut self.peer, actions);
        let state = mem::replace(&mut self.state, State::Closing);
        self.state = step(&mut turn, state);
        turn.flush();
    }

    fn bytes(&mut self, now: Time, octets: &[u8], actions: &mut Actions) {
        let closed = match self.state {
            State::Asked(Asked::Connect) if octets.is_empty() => None,
            State::Asked(Asked::Connect) => Some(CloseReason::EarlyTalker),
            // RFC 3207 §4.1.1 and NO STARTTLS: nothing in plain may follow the command.
            State::TlsPending if octets.is_empty() => None,
            State::TlsPending => Some(CloseReason::InjectedPlaintext),
            _ if self.pending.len() + octets.len() > PENDING_MAX => Some(CloseReason::Overrun),
            _ => None,
        };
        if let Some(reason) = closed {
            return self.turn(now, actions, |turn, _| refuse_input(turn, reason));
        }
        // Octets are copied only if they must wait.
        if self.pending.is_empty() {
            let left = self.run(now, octets, actions);
            self.pending.extend_from_slice(&octets[octets.len() - left..]);
        } else {
            self.pending.extend_from_slice(octets);
            let mut waiting = mem::take(&mut self.pending);
            let left = self.run(now, &waiting, actions);
            waiting.advance(waiting.len() - left);
            self.pending = waiting;
        }
    }

    /// Interprets octets until they, or our turn, end; returns how many are left.
    fn run(&mut self, now: Time, octets: &[u8], actions: &mut Actions) -> usize {
        let config = Arc::clone(&self.config);
        let mut turn = Dialogue::new(now, &config, &mut self.peer, actions);
        let mut state = mem::replace(&mut self.state, State::Closing);
        let mut input = octets;
        let mut progress = false;
        while !matches!(state, State::Asked(_) | State::TlsPending | State::Closing) {
            if state.takes_body() {
                if input.is_empty() && !body::is_complete(&state) {
                    break;
                }
                state = body::take(&mut turn, state, &mut input);
                progress = true;
                continue;
            }
            match command(&mut turn, state, &mut input, &mut self.skipped) {
                Step::Next(next) => (state, progress) = (next, true),
                Step::Wait(same) => {
                    state = same;
                    break;
                }
            }
        }
        self.state = state;
        turn.flush();
        if progress {
            self.arm(now);
        }
        input.len()
    }

    fn tls_done(&mut self, now: Time) {
        if matches!(self.state, State::TlsPending) {
            // RFC 3207 §4.2: what was said before TLS is forgotten; the counts against the peer are not.
            self.peer.tls = true;
            self.peer.name = None;
            self.peer.extended = false;
            self.state = State::Ready;
            self.arm(now);
        }
    }

    fn timeout(&mut self, now: Time, actions: &mut Actions) {
        self.woken_at = None;
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let waiting = self.state.waiting(&self.config, now);
        self.turn(now, actions, |turn, _| match waiting {
            // Inside a half-done handshake nothing can be said.
            Some(waiting @ super::Waiting::Tls) => turn.close(CloseReason::Timeout(waiting)),
            Some(waiting) => turn.close_421("4.4.2 Too slow", CloseReason::Timeout(waiting)),
            None => turn.close_421("4.3.0 No decision in time, try again later", CloseReason::Unanswered),
        });
    }

    fn arm(&mut self, now: Time) {
        self.deadline = self.state.deadline(&self.config, now);
    }

    fn wake(&mut self, actions: &mut Actions) {
        if let Some(at) = self.deadline.filter(|_| self.woken_at != self.deadline) {
            actions.push(Action::WakeAt(at));
            self.woken_at = Some(at);
        }
    }
}

/// What became of an attempt to take a command off the input.
enum Step {
    Next(State),
    /// More input is needed.
    Wait(State),
}

fn command(turn: &mut Dialogue<'_>, state: State, input: &mut &[u8], skipped: &mut Option<usize>) -> Step {
    if let Some(count) = *skipped {
        return skip(turn, state, input, skipped, count);
    }
    match line::next(input, turn.config.limits.command_line) {
        Line::Whole(text, rest) => {
            *input = rest;
            turn.more_input = !rest.is_empty();
            Step::Next(verb::execute(turn, state, text))
        }
        Line::Partial => Step::Wait(state),
        Line::TooLong => {
            *skipped = Some(0);
            Step::Next(turn.bad(state, 500, (5, 5, 2), "Line too long"))
        }
        Line::BareLineEnd => {
            turn.say(500, (5, 5, 2), "Commands end with CR LF and with nothing else");
            Step::Next(turn.close(CloseReason::BareLineEnd))
        }
    }
}

fn skip(
    turn: &mut Dialogue<'_>,
    state: State,
    input: &mut &[u8],
    skipped: &mut Option<usize>,
    count: usize,
) -> Step {
    let before = input.len();
    match line::skip(input) {
        Line::Whole(_, rest) => {
            *input = rest;
            *skipped = None;
            return Step::Next(state);
        }
        Line::Partial | Line::TooLong => {
            let kept = usize::from(input.ends_with(b"\r"));
            *input = &input[before - kept..];
        }
        Line::BareLineEnd => return Step::Next(turn.close(CloseReason::BareLineEnd)),
    }
    let count = count + before - input.len();
    if count > SKIP_MAX {
        return Step::Next(turn.close_421("4.7.0 Line without end", CloseReason::EndlessLine));
    }
    *skipped = Some(count);
    Step::Wait(state)
}

fn refuse_input(turn: &mut Dialogue<'_>, reason: CloseReason) -> State {
    match reason {
        CloseReason::EarlyTalker => {
            turn.say(554, (5, 5, 0), "Wait for the banner");
            turn.close(reason)
        }
        CloseReason::Overrun => turn.close_421("4.3.0 Too much input", reason),
        _ => turn.close(reason),
    }
}

fn answered(turn: &mut Dialogue<'_>, state: State, answer: Answer) -> State {
    let State::Asked(asked) = state else { return state };
    if let Answer::Close(reply) = &answer {
        let reply = verb::refusal(reply);
        turn.reply(&reply);
        return turn.close(CloseReason::Decision);
    }
    match asked {
        Asked::Connect => verb::connected(turn, answer),
        Asked::Helo(helo) => verb::greeted(turn, helo, answer),
        Asked::Mail(transaction) => verb::mail::answered(turn, transaction, answer),
        Asked::Rcpt(transaction) => verb::rcpt::answered(turn, transaction, answer),
        Asked::Data(transaction, None) => verb::data::answered(turn, transaction, answer),
        Asked::Data(transaction, Some(chunk)) => verb::bdat::answered(turn, transaction, chunk, answer),
        Asked::EndOfMessage => body::answered(turn, answer),
    }
}
