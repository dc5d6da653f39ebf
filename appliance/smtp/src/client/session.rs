//! One connection, from greeting to QUIT.

use std::{mem, sync::Arc};

use bytes::Bytes;

use super::{
    Action, Actions, ClientConfig, Extensions, Failure, Input, PeerFault, Stage,
    opening::Opening,
    transaction::{Running, Step},
};
use crate::{
    Time,
    reply::{Reply, ReplyReader},
};

/// A connection as the client sees it.
#[derive(Debug)]
pub struct Session {
    config: Arc<ClientConfig>,
    state: State,
    extensions: Extensions,
    tls: bool,
    reader: ReplyReader,
    deadline: Option<Time>,
    woken_at: Option<Time>,
}

/// Where a session stands between two inputs.
#[derive(Debug)]
enum State {
    Opening(Opening),
    /// Between the server's 220 to STARTTLS and the end of the handshake.
    Handshake,
    /// Ready for a transaction.
    Idle,
    Running {
        running: Box<Running>,
        /// Whether QUIT follows.
        quit: bool,
    },
    Quitting,
    Closed,
}

impl Session {
    /// A connection that was just established: the server speaks first.
    pub fn new(config: Arc<ClientConfig>, now: Time, actions: &mut Actions) -> Self {
        let reader = ReplyReader::with_lines(config.reply_line);
        let mut session = Self {
            config,
            state: State::Opening(Opening::Greeting),
            extensions: Extensions::default(),
            tls: false,
            reader,
            deadline: None,
            woken_at: None,
        };
        session.arm(now);
        session.wake(actions);
        session
    }

    /// Takes one input and appends what is to be done.
    pub fn handle(&mut self, now: Time, input: Input<'_>, actions: &mut Actions) {
        if self.is_closed() {
            // The end may come between Ready and what was handed in for it: that still gets its outcome.
            if let Input::Deliver(transaction) | Input::Probe(transaction) = input {
                actions
                    .push(Action::Done(Running::deliver(transaction).unsent(Failure::Closed(Stage::Idle))));
            }
            return;
        }
        match input {
            Input::Bytes(octets) => self.bytes(now, octets, actions),
            Input::Timeout => self.timeout(now, actions),
            Input::TlsDone => self.tls_done(now, actions),
            Input::TlsFailed => self.fail(Failure::TlsFailed, actions),
            Input::PeerClosed => self.peer_closed(actions),
            Input::Deliver(transaction) => self.begin(now, Running::deliver(transaction), actions),
            Input::Probe(transaction) => self.begin(now, Running::probe(transaction), actions),
            Input::Body { chunk, last } => self.body(now, &chunk, last, actions),
            Input::BodyFailed => {
                if matches!(self.state, State::Running { .. }) {
                    self.fail(Failure::BodyFailed, actions);
                }
            }
            Input::Quit => self.quit(now, actions),
        }
        self.wake(actions);
    }

    /// Whether octets are to be read: always, but during the handshake and after the end.
    pub fn wants_read(&self) -> bool {
        !matches!(self.state, State::Handshake | State::Closed)
    }

    /// Whether [`Action::Close`] was given.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether a transaction may be handed in.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether TLS is up.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// What the server offers; known once [`Action::Ready`] was given.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn bytes(&mut self, now: Time, octets: &[u8], actions: &mut Actions) {
        let mut input = octets;
        while !input.is_empty() && !self.is_closed() {
            if matches!(self.state, State::Handshake) {
                // RFC 3207 §4.2, NO STARTTLS: what came in plain is not from the server we shake hands with.
                return self.fail(self.peer_fault(PeerFault::InjectedPlaintext), actions);
            }
            match self.reader.read(&mut input) {
                Ok(None) => return,
                Ok(Some(reply)) => self.reply(now, reply, actions),
                Err(error) => return self.fail(self.peer_fault(PeerFault::Garbage(error)), actions),
            }
        }
    }

    fn reply(&mut self, now: Time, reply: Reply, actions: &mut Actions) {
        // RFC 5321 §3.8: 421 says that the server closes, whatever was asked.
        if reply.code() == 421 && !matches!(self.state, State::Quitting) {
            return self.fail_reply(reply, actions);
        }
        match mem::replace(&mut self.state, State::Closed) {
            State::Opening(opening) => {
                let next = opening.reply(reply, self.config.tls, &mut self.extensions, self.tls);
                self.open(now, opening, next, actions);
            }
            State::Running { mut running, quit } => {
                let step = running.reply(reply, &self.extensions, actions);
                self.after(now, running, quit, step, actions);
            }
            // RFC 5321 §4.1.1.10: whatever it says, we are done.
            State::Quitting => self.close(Ok(()), actions),
            state => {
                self.state = state;
                self.fail(self.peer_fault(PeerFault::Early(reply)), actions);
            }
        }
    }

    /// Does what the opening dialogue comes to.
    fn open(
        &mut self,
        now: Time,
        before: Opening,
        next: Result<super::opening::Next, Failure>,
        actions: &mut Actions,
    ) {
        use super::opening::Next;
        match next {
            Ok(Next::Say(opening)) => self.say(now, opening, actions),
            Ok(Next::Handshake) => {
                self.state = State::Handshake;
                self.arm(now);
                actions.push(Action::StartTls);
            }
            Ok(Next::Ready) => self.ready(now, actions),
            Err(failure) => {
                self.state = State::Opening(before);
                self.fail(failure, actions);
            }
        }
    }

    fn say(&mut self, now: Time, opening: Opening, actions: &mut Actions) {
        actions.push(Action::Write(opening.command(&self.config.hostname)));
        self.state = State::Opening(opening);
        self.arm(now);
    }

    fn ready(&mut self, now: Time, actions: &mut Actions) {
        self.state = State::Idle;
        self.arm(now);
        actions.push(Action::Ready);
    }

    fn begin(&mut self, now: Time, mut running: Running, actions: &mut Actions) {
        if !self.is_ready() {
            return actions.push(Action::Done(running.unsent(Failure::Misuse("a transaction before Ready"))));
        }
        let step = running.begin(&self.extensions, actions);
        self.after(now, Box::new(running), false, step, actions);
    }

    fn body(&mut self, now: Time, chunk: &Bytes, last: bool, actions: &mut Actions) {
        match mem::replace(&mut self.state, State::Closed) {
            State::Running { mut running, quit } => {
                let step = running.body(chunk, last, &self.extensions, actions);
                self.after(now, running, quit, step, actions);
            }
            // Too late: the server refused meanwhile.
            state => self.state = state,
        }
    }

    /// Goes on as a step of a transaction says.
    fn after(&mut self, now: Time, running: Box<Running>, quit: bool, step: Step, actions: &mut Actions) {
        match step {
            Step::Go => {
                self.state = State::Running { running, quit };
                self.arm(now);
            }
            Step::Done(outcome) => {
                actions.push(Action::Done(outcome));
                self.state = State::Idle;
                self.arm(now);
                if quit { self.quit(now, actions) } else { actions.push(Action::Ready) }
            }
            Step::Fail(failure) => {
                self.state = State::Running { running, quit };
                self.fail(failure, actions);
            }
        }
    }

    fn tls_done(&mut self, now: Time, actions: &mut Actions) {
        if matches!(self.state, State::Handshake) {
            // RFC 3207 §4.2: what was learnt before is forgotten.
            self.tls = true;
            self.extensions = Extensions::default();
            self.reader = ReplyReader::with_lines(self.config.reply_line);
            self.say(now, Opening::Ehlo, actions);
        }
    }

    fn quit(&mut self, now: Time, actions: &mut Actions) {
        match &mut self.state {
            State::Running { quit, .. } => *quit = true,
            State::Idle => {
                actions.push(Action::Write(Bytes::from_static(b"QUIT\r\n")));
                self.state = State::Quitting;
                self.arm(now);
            }
            State::Opening(_) | State::Handshake => self.close(Ok(()), actions),
            State::Quitting | State::Closed => {}
        }
    }

    fn peer_closed(&mut self, actions: &mut Actions) {
        match self.state {
            State::Quitting => self.close(Ok(()), actions),
            _ => self.fail(Failure::Closed(self.stage()), actions),
        }
    }

    fn timeout(&mut self, now: Time, actions: &mut Actions) {
        self.woken_at = None;
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Idle => self.quit(now, actions),
            // Nothing hangs on the reply to QUIT.
            State::Quitting => self.close(Ok(()), actions),
            _ => self.fail(Failure::Timeout(self.stage()), actions),
        }
    }

    fn fail_reply(&mut self, reply: Reply, actions: &mut Actions) {
        self.fail(Failure::Refused { stage: self.stage(), reply }, actions);
    }

    /// Ends the connection. Inside data nothing may be said, or it would become part of the message.
    fn fail(&mut self, failure: Failure, actions: &mut Actions) {
        if let State::Running { running, .. } = &mut self.state {
            actions.push(Action::Done(running.failed(failure.clone(), &self.extensions)));
        } else if matches!(failure, Failure::TlsUnavailable(_)) {
            actions.push(Action::Write(Bytes::from_static(b"QUIT\r\n")));
        }
        self.close(Err(failure), actions);
    }

    fn close(&mut self, result: Result<(), Failure>, actions: &mut Actions) {
        self.state = State::Closed;
        self.deadline = None;
        actions.push(Action::Close(result));
    }

    fn peer_fault(&self, fault: PeerFault) -> Failure {
        Failure::Peer { stage: self.stage(), fault }
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::Opening(opening) => opening.stage(),
            State::Handshake => Stage::Tls,
            State::Idle => Stage::Idle,
            State::Running { running, .. } => running.stage(),
            State::Quitting | State::Closed => Stage::Quit,
        }
    }

    fn arm(&mut self, now: Time) {
        self.deadline = Some(now + self.config.timeouts.of(self.stage()));
    }

    fn wake(&mut self, actions: &mut Actions) {
        if let Some(at) = self.deadline.filter(|_| self.woken_at != self.deadline) {
            actions.push(Action::WakeAt(at));
            self.woken_at = Some(at);
        }
    }
}
