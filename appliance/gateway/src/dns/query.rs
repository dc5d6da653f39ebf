//! One question on its way: which resolver is asked, how long it is waited for, and which answer counts.
//!
//! Deterministic: packets, failures and the time come in; packets to send, a wake-up time or the result go out.

use std::time::Duration;

use super::{
    answer::{self, Answer, Reading},
    question::{self, Asked, Question},
};

/// How patient a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Packets sent for it, by UDP and TCP together.
    pub tries: u32,
    /// How long each of them is waited for.
    pub time: Duration,
}

impl Default for Patience {
    /// Three tries of 5 s, so that the whole question ends after 15 s.
    fn default() -> Patience {
        Patience { tries: 3, time: Duration::from_secs(5) }
    }
}

/// Datagrams that do not fit the question before we stop listening to any and ask by TCP (RFC 5452 §9.2).
pub(super) const STRAYS_MAX: u32 = 50;

/// Fresh random bits for one packet; from the system's generator in the appliance.
#[derive(Debug, Clone, Copy)]
pub struct Entropy {
    pub id: u16,
    /// One bit for each letter's case.
    pub case: [u8; 32],
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A datagram came on the flow opened last.
    Datagram(&'a [u8]),
    /// A message came on the stream opened last, without its length field.
    Message(&'a [u8]),
    /// The flow or stream opened last failed or ended.
    Failed,
    /// The wake-up time has come.
    Tick,
}

/// What to do next. `until` is on the clock that [`Query::handle`] is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a fresh flow to this resolver, send, listen.
    Udp { server: usize, packet: Vec<u8>, until: Duration },
    /// Open a stream to this resolver, send with a length field, read one message.
    Tcp { server: usize, packet: Vec<u8>, until: Duration },
    /// Go on listening where we are.
    Listen { until: Duration },
    /// The end.
    Done(Result<Answer, &'static str>),
}

/// A question on its way.
#[derive(Debug)]
pub struct Query {
    question: Question,
    servers: usize,
    patience: Patience,
    server: usize,
    tries: u32,
    edns: bool,
    tcp: bool,
    strays: u32,
    until: Duration,
    asked: Option<Asked>,
    /// The last thing that went wrong, for the final word.
    reason: &'static str,
}

impl Query {
    /// A question to `servers` resolvers, beginning with number `first`.
    pub fn new(question: Question, servers: usize, first: usize, patience: Patience) -> Query {
        Query {
            question,
            servers,
            patience,
            server: first.checked_rem(servers).unwrap_or(0),
            tries: 0,
            edns: true,
            tcp: false,
            strays: 0,
            until: Duration::ZERO,
            asked: None,
            reason: "no resolver is configured",
        }
    }

    /// Sends the first packet.
    pub fn start(&mut self, now: Duration, fresh: Entropy) -> Action {
        self.send(now, fresh)
    }

    /// Takes what happened at `now`.
    pub fn handle(&mut self, now: Duration, event: Event<'_>, fresh: Entropy) -> Action {
        match event {
            Event::Datagram(packet) if !self.tcp => self.read(now, packet, fresh),
            Event::Message(packet) if self.tcp => self.read(now, packet, fresh),
            Event::Datagram(_) | Event::Message(_) => Action::Listen { until: self.until },
            Event::Failed => self.next(now, "the resolver cannot be reached", fresh),
            Event::Tick if now >= self.until => self.next(now, "the resolver did not answer", fresh),
            Event::Tick => Action::Listen { until: self.until },
        }
    }

    fn read(&mut self, now: Duration, packet: &[u8], fresh: Entropy) -> Action {
        let Some(asked) = &self.asked else {
            return Action::Listen { until: self.until };
        };
        match answer::read(packet, &self.question, asked) {
            Reading::Answer(answer) => Action::Done(Ok(answer)),
            // A stream cannot be forged from outside: a message on it that does not fit is the resolver's fault.
            Reading::NotOurs | Reading::Truncated if self.tcp => {
                self.next(now, "the resolver answered something else", fresh)
            }
            Reading::CaseChanged if self.tcp => self.accept_any_case(now, packet, fresh),
            Reading::NotOurs if self.strays < STRAYS_MAX => {
                self.strays += 1;
                Action::Listen { until: self.until }
            }
            Reading::NotOurs | Reading::CaseChanged | Reading::Truncated => {
                self.tcp = true;
                self.send(now, fresh)
            }
            Reading::Refused { reason, plain } => {
                self.edns &= !plain;
                self.next(now, reason, fresh)
            }
        }
    }

    /// By TCP the case proves nothing, and some resolvers write the name in lower case.
    fn accept_any_case(&mut self, now: Duration, packet: &[u8], fresh: Entropy) -> Action {
        let echoed = hickory_proto::op::Message::from_vec(packet).ok();
        let name = echoed.and_then(|m| m.queries.first().map(|q| q.name.clone()));
        if let (Some(name), Some(asked)) = (name, &mut self.asked)
            && !name.eq_case(&asked.name)
        {
            asked.name = name;
            return self.read(now, packet, fresh);
        }
        self.next(now, "the resolver answered something else", fresh)
    }

    /// Gives up on this resolver and asks the next.
    fn next(&mut self, now: Duration, reason: &'static str, fresh: Entropy) -> Action {
        self.reason = reason;
        self.server = (self.server + 1).checked_rem(self.servers).unwrap_or(0);
        self.tcp = false;
        self.send(now, fresh)
    }

    fn send(&mut self, now: Duration, fresh: Entropy) -> Action {
        if self.servers == 0 || self.tries >= self.patience.tries {
            self.asked = None;
            return Action::Done(Err(self.reason));
        }
        self.tries += 1;
        self.strays = 0;
        self.until = now + self.patience.time;
        let Some((asked, packet)) = question::encode(&self.question, fresh.id, &fresh.case, self.edns) else {
            return Action::Done(Err("the name does not fit into a question"));
        };
        self.asked = Some(asked);
        let (server, until) = (self.server, self.until);
        if self.tcp { Action::Tcp { server, packet, until } } else { Action::Udp { server, packet, until } }
    }
}

#[cfg(test)]
mod tests;
