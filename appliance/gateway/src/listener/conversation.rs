//! Drives one [`Session`]: moves octets, keeps its deadlines, does its handshake, and brings it the answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use smtp::Time;
use smtp::server::{Action, Actions, CloseReason, Input, Question, Session};
use store::log::FaultClass;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout_at};

use super::policy::Policy;
use super::wire::Wire;
use super::{Accepted, Bulk, Shared};

/// RFC 5321 §4.5.3.2.7: how long a peer may take to read our replies when no deadline of the session is nearer.
const WRITE_TIME: Duration = Duration::from_secs(5 * 60);
/// RFC 3463 §3.4, X.3.2: said to whoever is connected when the appliance stops.
const STOPPING: &[u8] = b"421 4.3.2 Shutting down, try again later\r\n";

/// One connection with everything that belongs to it.
pub(super) struct Conversation<S> {
    wire: Wire<S>,
    session: Session,
    policy: Policy,
    actions: Actions,
    /// Replies not yet written.
    replies: Vec<u8>,
    deadline: Option<Time>,
    shared: Arc<Shared>,
    /// Held to the end: who stops the listener waits until all of them are gone.
    stop: watch::Receiver<bool>,
    bulk: Bulk,
}

/// What waits until all actions at hand are done.
enum Next {
    Read,
    Answer(Question),
    Handshake,
    Close(CloseReason),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    pub(super) fn new(accepted: Accepted<S>, shared: Arc<Shared>) -> Conversation<S> {
        let settings = shared.session_settings();
        let mut actions = Actions::new();
        let session = Session::new(settings, shared.appliance.clock.elapsed(), &mut actions);
        let policy = Policy::new(shared.clone(), accepted.peer, accepted.local);
        let stop = shared.stop.subscribe();
        Conversation {
            wire: Wire::Plain(accepted.stream),
            session,
            policy,
            actions,
            replies: Vec::new(),
            deadline: None,
            shared,
            stop,
            bulk: accepted.bulk,
        }
    }

    /// Talks until the session is over and the connection closed.
    pub(super) async fn run(mut self) {
        let reason = loop {
            match self.work().await {
                Next::Read => self.read().await,
                Next::Answer(question) => self.answer(question).await,
                Next::Handshake => self.handshake().await,
                Next::Close(reason) => break reason,
            }
        };
        let Conversation { wire, policy, replies, shared, stop: _stop, .. } = self;
        // Before the farewell: a place is not held by who lingers.
        policy.ended(reason);
        let linger = shared.lingering.try_acquire();
        wire.close(&replies, linger.is_ok()).await;
    }

    /// Does what the session wants done, and says what is next.
    async fn work(&mut self) -> Next {
        let mut next = Next::Read;
        while let Some(action) = self.actions.pop() {
            match action {
                Action::Write(octets) => self.replies.extend_from_slice(&octets),
                Action::Body(octets) => self.policy.body(&octets).await,
                Action::Reset => {
                    self.policy.reset();
                    self.bulk.set(false);
                }
                Action::WakeAt(time) => self.deadline = Some(time),
                Action::Ask(question) => next = Next::Answer(question),
                Action::StartTls => next = Next::Handshake,
                Action::Close(reason) => next = Next::Close(reason),
            }
        }
        next
    }

    fn handle(&mut self, input: Input<'_>) {
        self.session.handle(self.shared.appliance.clock.elapsed(), input, &mut self.actions);
    }

    async fn read(&mut self) {
        if !self.session.wants_read() {
            // A session that waits for nothing would wait for ever.
            return self.handle(Input::PeerClosed);
        }
        if !self.flush().await {
            return;
        }
        let deadline = self.deadline_or(WRITE_TIME);
        let Conversation { wire, session, actions, shared, stop, .. } = self;
        let clock = &shared.appliance.clock;
        let take = |octets: &[u8]| {
            let input = if octets.is_empty() { Input::PeerClosed } else { Input::Bytes(octets) };
            session.handle(clock.elapsed(), input, actions);
        };
        let read = timeout_at(clock.instant(deadline), wire.read(take));
        let read = tokio::select! {
            biased;
            read = read => Some(read),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        match read {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(_))) => self.handle(Input::PeerClosed),
            Some(Err(_)) => self.handle(Input::Timeout),
            None => {
                self.replies.extend_from_slice(STOPPING);
                self.handle(Input::PeerClosed);
            }
        }
    }

    async fn answer(&mut self, question: Question) {
        if question == Question::Connect && !self.is_silent().await {
            return;
        }
        let delay = self.policy.delay(&question);
        let slow = !delay.is_zero() || matches!(question, Question::EndOfMessage(_));
        if slow && !self.flush().await {
            return;
        }
        self.bulk.set(matches!(question, Question::Data));
        let deadline = self.shared.appliance.clock.instant(self.deadline_or(WRITE_TIME));
        let policy = &mut self.policy;
        let answer = timeout_at(deadline, async {
            // A sleep of nothing would last until the timer's next tick, a millisecond.
            if !delay.is_zero() {
                sleep(delay).await;
            }
            policy.answer(question).await
        });
        match answer.await {
            Ok(answer) => self.handle(Input::Answer(answer)),
            Err(_) => self.handle(Input::Timeout),
        }
    }

    /// RFC 5321 §3.1: a client waits for the banner. What has come before it is shown to the session, which
    /// turns such a client away.
    async fn is_silent(&mut self) -> bool {
        let Conversation { wire, session, actions, shared, .. } = self;
        let now = shared.appliance.clock.elapsed();
        let early = wire.read_ready(|octets| {
            let input = if octets.is_empty() { Input::PeerClosed } else { Input::Bytes(octets) };
            session.handle(now, input, actions);
        });
        match early.await {
            None => true,
            Some(Ok(())) => false,
            Some(Err(_)) => {
                self.handle(Input::PeerClosed);
                false
            }
        }
    }

    /// The 220 goes out in plain; every octet after it belongs to the handshake.
    async fn handshake(&mut self) {
        if !self.flush().await {
            return;
        }
        let Some(handshake) = self.shared.tls.handshake(self.shared.appliance.clock.elapsed()) else {
            self.policy.tls_failed(&"too many handshakes in a second", FaultClass::Resource);
            return self.handle(Input::TlsFailed);
        };
        match self.wire.start_tls(handshake).await {
            Ok(facts) => {
                self.policy.tls_established(facts);
                self.handle(Input::TlsDone);
            }
            Err(error) => {
                self.policy.tls_failed(&error, FaultClass::Peer);
                self.handle(Input::TlsFailed);
            }
        }
    }

    /// Writes the replies that wait. False if the peer is gone or does not read: the session knows then.
    async fn flush(&mut self) -> bool {
        if self.replies.is_empty() {
            return true;
        }
        let deadline = self.shared.appliance.clock.instant(self.deadline_or(WRITE_TIME));
        let written = timeout_at(deadline, self.wire.write(&self.replies)).await;
        // An idle session keeps no buffer.
        self.replies = Vec::new();
        match written {
            Ok(Ok(())) => return true,
            Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => self.handle(Input::PeerClosed),
            _ => self.handle(Input::Timeout),
        }
        // A deadline that was not the session's own does not end it; a peer that reads nothing is gone.
        if !self.session.is_closed() {
            self.handle(Input::PeerClosed);
        }
        false
    }

    /// The session's deadline, or `wait` from now if it has none.
    fn deadline_or(&self, wait: Duration) -> Time {
        self.deadline.unwrap_or_else(|| self.shared.appliance.clock.elapsed() + wait)
    }
}
