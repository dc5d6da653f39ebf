//! What every command may do: reply, ask, count, close.

use bytes::{Bytes, BytesMut};

use super::{Action, Actions, ClientName, CloseReason, Protocol, Question, ServerConfig, state::State};
use crate::{Time, reply::Reply};

/// One turn of a session: what its functions share while they handle one input.
#[derive(Debug)]
pub(super) struct Dialogue<'a> {
    pub(super) now: Time,
    pub(super) config: &'a ServerConfig,
    pub(super) peer: &'a mut Peer,
    /// Whether more input had come behind the command being handled.
    pub(super) more_input: bool,
    actions: &'a mut Actions,
    /// Replies not yet written: pipelined commands are answered in one piece (RFC 2920 §3.2).
    replies: BytesMut,
}

/// What a session remembers of its peer beyond a transaction.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) name: Option<ClientName>,
    pub(super) extended: bool,
    pub(super) tls: bool,
    pub(super) bad_commands: u32,
    pub(super) idle_commands: u32,
    pub(super) unknown_recipients: u32,
    pub(super) messages: u32,
}

impl<'a> Dialogue<'a> {
    pub(super) fn new(
        now: Time,
        config: &'a ServerConfig,
        peer: &'a mut Peer,
        actions: &'a mut Actions,
    ) -> Self {
        Self { now, config, peer, more_input: false, actions, replies: BytesMut::new() }
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        self.replies.extend_from_slice(reply.to_wire().as_bytes());
    }

    /// A reply with its enhanced code, in one line.
    pub(super) fn say(&mut self, code: u16, enhanced: (u8, u16, u16), text: &str) {
        self.reply(&Reply::new(code, text).enhanced(enhanced.0, enhanced.1, enhanced.2));
    }

    /// Refuses a command that is unknown, malformed or out of order, and counts it.
    pub(super) fn bad(&mut self, state: State, code: u16, enhanced: (u8, u16, u16), text: &str) -> State {
        self.peer.bad_commands += 1;
        if self.peer.bad_commands > self.config.limits.bad_commands {
            return self.close_421("4.7.0 Too many errors", CloseReason::BadCommands);
        }
        self.say(code, enhanced, text);
        state
    }

    /// Counts a command that carries no mail; false when there were too many.
    pub(super) fn idle_command(&mut self) -> bool {
        self.peer.idle_commands += 1;
        self.peer.idle_commands <= self.config.limits.idle_commands
    }

    /// The end for a peer that sends commands without mail for ever.
    pub(super) fn too_idle(&mut self) -> State {
        self.close_421("4.7.0 Too many commands without a message", CloseReason::IdleCommands)
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.act(Action::Ask(question));
    }

    /// RFC 5321 §3.8: 421 may come at any time and says that the connection closes.
    pub(super) fn close_421(&mut self, text: &str, reason: CloseReason) -> State {
        let (enhanced, text) = text.split_once(' ').unwrap_or(("4.3.0", text));
        let line = format!("421 {enhanced} {} {text}\r\n", self.config.hostname);
        self.replies.extend_from_slice(line.as_bytes());
        self.close(reason)
    }

    pub(super) fn close(&mut self, reason: CloseReason) -> State {
        self.act(Action::Close(reason));
        State::Closing
    }

    /// Leaves whatever transaction there is.
    pub(super) fn forget(&mut self, state: &State) {
        if state.in_transaction() {
            self.act(Action::Reset);
        }
    }

    /// Adds an action behind the replies that were made before it.
    pub(super) fn act(&mut self, action: Action) {
        self.flush();
        self.actions.push(action);
    }

    pub(super) fn body(&mut self, octets: Bytes) {
        if !octets.is_empty() {
            self.act(Action::Body(octets));
        }
    }

    /// Writes the replies that wait.
    pub(super) fn flush(&mut self) {
        if !self.replies.is_empty() {
            let replies = self.replies.split().freeze();
            self.actions.push(Action::Write(replies));
        }
    }

    /// RFC 3848, RFC 6531 §4.3.
    pub(super) fn protocol(&self, smtputf8: bool) -> Protocol {
        match (self.peer.extended, smtputf8, self.peer.tls) {
            (true, true, true) => Protocol::Utf8Smtps,
            (true, true, false) => Protocol::Utf8Smtp,
            (true, false, true) => Protocol::Esmtps,
            (true, false, false) => Protocol::Esmtp,
            (false, _, _) => Protocol::Smtp,
        }
    }
}
