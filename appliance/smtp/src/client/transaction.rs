//! One message, or one probe, on an open connection.

use bytes::{Bytes, BytesMut};

use super::{
    Action, Actions, Extensions, Failure, Need, Outcome, PeerFault, Stage, Transaction,
    opening::unexpected,
    outgoing::{Framing, Outgoing},
};
use crate::{
    address::ForwardPath,
    envelope::BodyKind,
    reply::{Class, Reply},
};

/// Commands that are sent ahead of their replies: neither side's buffers fill with what the other does not read
/// (RFC 2920 §3.1).
const PIPELINE_MAX: usize = 50;
/// Chunks that are sent ahead of their replies.
const CHUNKS_AHEAD_MAX: usize = 4;

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Running {
    transaction: Transaction,
    probe: bool,
    mail: Option<Reply>,
    recipients: Vec<Option<Reply>>,
    phase: Phase,
}

/// What a transaction does next.
#[derive(Debug)]
pub(super) enum Step {
    /// It goes on.
    Go,
    /// It is over and the connection is good for another.
    Done(Outcome),
    /// It is over, and so is the connection.
    Fail(Failure),
}

#[derive(Debug)]
enum Phase {
    /// MAIL and RCPT: how many were sent, how many answered.
    Envelope { sent: usize, answered: usize },
    /// DATA was sent.
    Data,
    /// The body is handed in.
    Body(Sending),
    /// All of the body was sent by DATA.
    EndOfData,
    /// RSET was sent; then this is the result.
    Rset(Result<(), Failure>),
}

#[derive(Debug)]
struct Sending {
    outgoing: Outgoing,
    /// Chunks by BDAT without a reply so far.
    unanswered: usize,
    /// A piece was asked for and has not come.
    wanted: bool,
    /// The last piece was sent.
    finished: bool,
    /// A chunk was refused: no more are sent, the replies to those sent are awaited.
    refused: Option<Failure>,
}

impl Running {
    pub(super) fn deliver(transaction: Transaction) -> Self {
        Self::new(transaction, false)
    }

    pub(super) fn probe(transaction: Transaction) -> Self {
        Self::new(transaction, true)
    }

    fn new(transaction: Transaction, probe: bool) -> Self {
        let recipients = vec![None; transaction.recipients.len()];
        Self { transaction, probe, mail: None, recipients, phase: Phase::Envelope { sent: 0, answered: 0 } }
    }

    /// Checks that the server can take the message, and says MAIL.
    pub(super) fn begin(&mut self, extensions: &Extensions, actions: &mut Actions) -> Step {
        if let Err(failure) = self.check(extensions) {
            return Step::Done(self.failed(failure, extensions));
        }
        self.send_envelope(extensions, actions);
        Step::Go
    }

    /// Takes the reply to the oldest command that has none.
    pub(super) fn reply(&mut self, reply: Reply, extensions: &Extensions, actions: &mut Actions) -> Step {
        match &mut self.phase {
            Phase::Envelope { .. } => self.envelope_reply(reply, extensions, actions),
            Phase::Data if reply.code() == 354 => {
                self.send_body(Framing::Data, extensions, actions);
                Step::Go
            }
            Phase::Data => match unexpected(Stage::Data, reply) {
                failure @ Failure::Refused { .. } => self.reset(Err(failure), actions),
                failure => Step::Fail(failure),
            },
            Phase::Body(_) => self.body_reply(reply, extensions, actions),
            Phase::EndOfData => self.final_reply(reply, extensions),
            Phase::Rset(_) => self.reset_reply(reply, extensions),
        }
    }

    /// Takes the next piece of the body.
    pub(super) fn body(
        &mut self,
        chunk: &Bytes,
        last: bool,
        extensions: &Extensions,
        actions: &mut Actions,
    ) -> Step {
        let Phase::Body(sending) = &mut self.phase else { return Step::Go };
        if !sending.wanted {
            return Step::Fail(Failure::Misuse("a body chunk before WantBody"));
        }
        sending.wanted = false;
        if sending.refused.is_some() {
            return Step::Go;
        }
        let octets = match sending.outgoing.frame(chunk, last) {
            Ok(octets) => octets,
            Err(failure) => return Step::Fail(failure),
        };
        let sent = !octets.is_empty();
        if sent {
            actions.push(Action::Write(octets));
        }
        sending.finished = last;
        match (sending.outgoing.framing(), last) {
            (Framing::Data, true) => self.phase = Phase::EndOfData,
            (Framing::Data, false) => sending.want(1, actions),
            (Framing::Bdat, _) => {
                sending.unanswered += usize::from(sent);
                sending.want(chunks_ahead(extensions), actions);
            }
        }
        Step::Go
    }

    /// The outcome when the transaction ends by `failure`.
    pub(super) fn failed(&mut self, failure: Failure, extensions: &Extensions) -> Outcome {
        self.outcome(Err(failure), extensions)
    }

    /// The outcome of a transaction of which nothing was said.
    pub(super) fn unsent(mut self, failure: Failure) -> Outcome {
        self.outcome(Err(failure), &Extensions::default())
    }

    pub(super) fn stage(&self) -> Stage {
        match &self.phase {
            Phase::Envelope { answered: 0, .. } => Stage::Mail,
            Phase::Envelope { .. } => Stage::Rcpt,
            Phase::Data => Stage::Data,
            Phase::Body(sending) if sending.finished => Stage::EndOfData,
            Phase::Body(_) => Stage::Body,
            Phase::EndOfData => Stage::EndOfData,
            Phase::Rset(_) => Stage::Rset,
        }
    }

    /// What is never downgraded in silence (RFC 6152 §3, RFC 6531 §3.2), and what would be sent in vain.
    fn check(&self, extensions: &Extensions) -> Result<(), Failure> {
        if self.transaction.recipients.is_empty() {
            return Err(Failure::Misuse("a transaction without recipients"));
        }
        if self.needs_smtputf8() && !extensions.smtputf8 {
            return Err(Failure::Unsupported(Need::SmtpUtf8));
        }
        let parameters = &self.transaction.parameters;
        if parameters.body == BodyKind::EightBitMime && !extensions.eight_bit_mime && !self.probe {
            return Err(Failure::Unsupported(Need::EightBitMime));
        }
        match (parameters.size, extensions.size_limit) {
            (Some(size), Some(limit)) if size > limit => Err(Failure::TooLarge { limit }),
            _ => Ok(()),
        }
    }

    fn needs_smtputf8(&self) -> bool {
        let ascii = |path: &ForwardPath| path.address().is_none_or(|address| address.is_ascii());
        self.transaction.parameters.smtputf8
            || self.transaction.from.address().is_some_and(|address| !address.is_ascii())
            || !self.transaction.recipients.iter().all(|recipient| ascii(&recipient.to))
    }

    /// Sends as much of MAIL and RCPT as may go ahead of the replies.
    fn send_envelope(&mut self, extensions: &Extensions, actions: &mut Actions) {
        let all = 1 + self.transaction.recipients.len();
        let ahead = if extensions.pipelining { PIPELINE_MAX } else { 1 };
        let Phase::Envelope { sent, answered } = self.phase else { return };
        let refused = self.mail.as_ref().is_some_and(|reply| !reply.is_positive());
        let until = if refused { sent } else { all.min(answered + ahead).max(sent) };
        let mut out = BytesMut::new();
        for at in sent..until {
            let command = match at.checked_sub(1) {
                None => self.mail_command(extensions),
                Some(recipient) => self.rcpt_command(recipient, extensions),
            };
            out.extend_from_slice(command.as_bytes());
        }
        if !out.is_empty() {
            actions.push(Action::Write(out.freeze()));
        }
        self.phase = Phase::Envelope { sent: until, answered };
    }

    fn mail_command(&self, extensions: &Extensions) -> String {
        let Transaction { from, parameters, .. } = &self.transaction;
        let mut command = format!("MAIL FROM:{from}");
        if let Some(size) = parameters.size.filter(|_| extensions.size) {
            command.push_str(&format!(" SIZE={size}"));
        }
        if parameters.body == BodyKind::EightBitMime && extensions.eight_bit_mime {
            command.push_str(" BODY=8BITMIME");
        }
        if self.needs_smtputf8() {
            command.push_str(" SMTPUTF8");
        }
        if extensions.dsn {
            command.push_str(&parameters.encode_dsn());
        }
        command + "\r\n"
    }

    fn rcpt_command(&self, at: usize, extensions: &Extensions) -> String {
        let recipient = &self.transaction.recipients[at];
        let parameters = if extensions.dsn { recipient.parameters.encode() } else { String::new() };
        format!("RCPT TO:{}{parameters}\r\n", recipient.to)
    }

    fn envelope_reply(&mut self, reply: Reply, extensions: &Extensions, actions: &mut Actions) -> Step {
        let Phase::Envelope { sent, answered } = self.phase else { return Step::Go };
        if answered == sent {
            return Step::Fail(Failure::Peer { stage: self.stage(), fault: PeerFault::Early(reply) });
        }
        if reply.class() == Class::Intermediate {
            return Step::Fail(Failure::Peer { stage: self.stage(), fault: PeerFault::Unexpected(reply) });
        }
        match answered.checked_sub(1) {
            None => self.mail = Some(reply),
            Some(recipient) => self.recipients[recipient] = Some(reply),
        }
        self.phase = Phase::Envelope { sent, answered: answered + 1 };
        self.send_envelope(extensions, actions);
        match self.phase {
            Phase::Envelope { sent, answered } if sent == answered => self.envelope_done(extensions, actions),
            _ => Step::Go,
        }
    }

    fn envelope_done(&mut self, extensions: &Extensions, actions: &mut Actions) -> Step {
        let accepted = self.recipients.iter().flatten().any(Reply::is_positive);
        if let Some(reply) = self.mail.clone().filter(|reply| !reply.is_positive()) {
            let failure = Failure::Refused { stage: Stage::Mail, reply };
            // A server that accepted a recipient without a sender is set straight by RSET.
            return if accepted {
                self.reset(Err(failure), actions)
            } else {
                Step::Done(self.failed(failure, extensions))
            };
        }
        if self.probe {
            return self.reset(Ok(()), actions);
        }
        if !accepted {
            return self.reset(Err(Failure::NoRecipients), actions);
        }
        if extensions.chunking {
            self.send_body(Framing::Bdat, extensions, actions);
        } else {
            self.phase = Phase::Data;
            actions.push(Action::Write(Bytes::from_static(b"DATA\r\n")));
        }
        Step::Go
    }

    fn send_body(&mut self, framing: Framing, extensions: &Extensions, actions: &mut Actions) {
        let outgoing = Outgoing::new(framing, self.transaction.parameters.body, self.needs_smtputf8());
        let mut sending = Sending { outgoing, unanswered: 0, wanted: false, finished: false, refused: None };
        sending.want(chunks_ahead(extensions), actions);
        self.phase = Phase::Body(sending);
    }

    fn body_reply(&mut self, reply: Reply, extensions: &Extensions, actions: &mut Actions) -> Step {
        let stage = self.stage();
        let Phase::Body(sending) = &mut self.phase else { return Step::Go };
        if sending.unanswered == 0 {
            // Between 354 and the dot only a refusal makes sense, and then the connection is of no more use.
            return Step::Fail(match reply.class() {
                Class::Positive | Class::Intermediate => {
                    Failure::Peer { stage, fault: PeerFault::Early(reply) }
                }
                Class::Transient | Class::Permanent => Failure::Refused { stage, reply },
            });
        }
        sending.unanswered -= 1;
        let whole = sending.finished && sending.unanswered == 0;
        if whole && sending.refused.is_none() {
            return self.final_reply(reply, extensions);
        }
        if !reply.is_positive() && sending.refused.is_none() {
            match unexpected(stage, reply) {
                failure @ Failure::Refused { .. } => sending.refused = Some(failure),
                failure => return Step::Fail(failure),
            }
        }
        if sending.refused.is_none() {
            sending.want(chunks_ahead(extensions), actions);
            return Step::Go;
        }
        match sending.refused.take_if(|_| sending.unanswered == 0) {
            Some(failure) => self.reset(Err(failure), actions),
            None => Step::Go,
        }
    }

    /// RFC 5321 §4.1.1.4: after this reply the transaction is over, whatever it says.
    fn final_reply(&mut self, reply: Reply, extensions: &Extensions) -> Step {
        if reply.is_positive() {
            return Step::Done(self.outcome(Ok(reply), extensions));
        }
        match unexpected(Stage::EndOfData, reply) {
            failure @ Failure::Refused { .. } => Step::Done(self.failed(failure, extensions)),
            failure => Step::Fail(failure),
        }
    }

    fn reset(&mut self, result: Result<(), Failure>, actions: &mut Actions) -> Step {
        actions.push(Action::Write(Bytes::from_static(b"RSET\r\n")));
        self.phase = Phase::Rset(result);
        Step::Go
    }

    fn reset_reply(&mut self, reply: Reply, extensions: &Extensions) -> Step {
        if !reply.is_positive() {
            return Step::Fail(unexpected(Stage::Rset, reply));
        }
        let Phase::Rset(result) = &self.phase else { return Step::Go };
        let result = result.clone().map(|()| reply);
        Step::Done(self.outcome(result, extensions))
    }

    fn outcome(&mut self, mut result: Result<Reply, Failure>, extensions: &Extensions) -> Outcome {
        // What failed first is the reason; that RSET failed after it is none.
        if let (Err(_), Phase::Rset(Err(first))) = (&result, &self.phase) {
            result = Err(first.clone());
        }
        Outcome { recipients: std::mem::take(&mut self.recipients), result, dsn: extensions.dsn }
    }
}

impl Sending {
    /// Asks for the next piece, unless enough is on its way.
    fn want(&mut self, ahead: usize, actions: &mut Actions) {
        if !self.wanted && !self.finished && self.refused.is_none() && self.unanswered < ahead {
            self.wanted = true;
            actions.push(Action::WantBody);
        }
    }
}

fn chunks_ahead(extensions: &Extensions) -> usize {
    if extensions.pipelining { CHUNKS_AHEAD_MAX } else { 1 }
}
