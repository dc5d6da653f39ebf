//! Both sides in one thread, under virtual time, over a link that cuts the stream into pieces.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test program uses a part"
)]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use config_schema::name::DomainName;
use smtp::{
    Time,
    client::{self, ClientConfig, Outcome, Transaction},
    envelope::{MailParameters, RcptParameters},
    reply::Reply,
    server::{self, Answer, CloseReason, Question, ServerConfig},
};

pub fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub fn server_config() -> ServerConfig {
    ServerConfig::new(name("mx.example.com"))
}

pub fn client_config() -> ClientConfig {
    ClientConfig::new(name("out.example.org"))
}

/// A server session with what it said and did, for tests that play the client by hand.
pub struct Server {
    pub session: server::Session,
    pub now: Time,
    pub written: Vec<u8>,
    pub body: Vec<u8>,
    pub asked: Vec<Question>,
    pub resets: usize,
    pub wake: Option<Time>,
    pub closed: Option<CloseReason>,
    pub tls_started: bool,
    pub messages: Vec<Vec<u8>>,
    /// What is answered; `None` leaves the question open.
    pub policy: fn(&Question) -> Option<Answer>,
}

pub fn accept_all(_: &Question) -> Option<Answer> {
    Some(Answer::Accept)
}

pub fn unknown_recipients(question: &Question) -> Option<Answer> {
    Some(match question {
        Question::Rcpt(_) => Answer::UnknownRecipient(Reply::new(550, "No such user").enhanced(5, 1, 1)),
        _ => Answer::Accept,
    })
}

impl Server {
    pub fn new(config: ServerConfig, policy: fn(&Question) -> Option<Answer>) -> Self {
        let now = Time::default();
        let mut actions = server::Actions::new();
        let session = server::Session::new(Arc::new(config), now, &mut actions);
        let mut server = Self {
            session,
            now,
            written: Vec::new(),
            body: Vec::new(),
            asked: Vec::new(),
            resets: 0,
            wake: None,
            closed: None,
            tls_started: false,
            messages: Vec::new(),
            policy,
        };
        server.perform(&mut actions);
        server
    }

    /// With the greeting done.
    pub fn greeted(config: ServerConfig, policy: fn(&Question) -> Option<Answer>) -> Self {
        let mut server = Self::new(config, policy);
        server.say("EHLO client.example\r\n");
        server.written.clear();
        server
    }

    /// With a transaction up to `354`.
    pub fn in_data(config: ServerConfig) -> Self {
        let mut server = Self::greeted(config, accept_all);
        let replies = server.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n");
        assert!(replies.ends_with("354 End data with <CR><LF>.<CR><LF>\r\n"), "{replies}");
        server
    }

    pub fn input(&mut self, input: server::Input<'_>) {
        let mut actions = server::Actions::new();
        self.session.handle(self.now, input, &mut actions);
        self.perform(&mut actions);
    }

    pub fn bytes(&mut self, octets: &[u8]) {
        for piece in octets.chunks(server::READ_MAX) {
            self.input(server::Input::Bytes(piece));
        }
    }

    pub fn say(&mut self, text: &str) -> String {
        self.bytes(text.as_bytes());
        self.take_text()
    }

    /// The code of the last reply line to `text`.
    pub fn code(&mut self, text: &str) -> String {
        let replies = self.say(text);
        replies.lines().last().unwrap_or_default().chars().take(3).collect()
    }

    pub fn take_text(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.written)).unwrap()
    }

    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.input(server::Input::Timeout);
    }

    fn perform(&mut self, actions: &mut server::Actions) {
        while let Some(action) = actions.pop() {
            assert_eq!(self.closed, None, "{action:?} after the end");
            match action {
                server::Action::Write(octets) => self.written.extend_from_slice(&octets),
                server::Action::StartTls => self.tls_started = true,
                server::Action::Body(octets) => self.body.extend_from_slice(&octets),
                server::Action::Reset => {
                    self.resets += 1;
                    self.body.clear();
                }
                server::Action::WakeAt(at) => self.wake = Some(at),
                server::Action::Close(reason) => self.closed = Some(reason),
                server::Action::Ask(question) => self.answer(question, actions),
            }
        }
    }

    fn answer(&mut self, question: Question, actions: &mut server::Actions) {
        let answer = (self.policy)(&question);
        if matches!(question, Question::EndOfMessage(_)) {
            let body = std::mem::take(&mut self.body);
            if answer.is_some() {
                self.messages.push(body);
            }
        }
        self.asked.push(question);
        if let Some(answer) = answer {
            self.session.handle(self.now, server::Input::Answer(answer), actions);
        }
    }
}

/// A client session with what it said and did, for tests that play the server by hand.
pub struct Client {
    pub session: client::Session,
    pub now: Time,
    pub written: Vec<u8>,
    pub outcomes: Vec<Outcome>,
    pub ready: bool,
    pub tls_started: bool,
    pub wake: Option<Time>,
    pub closed: Option<Result<(), client::Failure>>,
    /// Pieces of the body that are handed in as asked for; the last one ends it.
    pub pieces: VecDeque<Bytes>,
}

impl Client {
    pub fn new(config: ClientConfig) -> Self {
        let now = Time::default();
        let mut actions = client::Actions::new();
        let session = client::Session::new(Arc::new(config), now, &mut actions);
        let mut client = Self {
            session,
            now,
            written: Vec::new(),
            outcomes: Vec::new(),
            ready: false,
            tls_started: false,
            wake: None,
            closed: None,
            pieces: VecDeque::new(),
        };
        client.perform(&mut actions);
        client
    }

    /// Ready for a transaction with a server that offers `extensions`.
    pub fn ready(extensions: &[&str]) -> Self {
        let mut client = Self::new(client_config());
        client.hear("220 mx.example.com ESMTP\r\n");
        let lines: String = extensions.iter().map(|line| format!("250-{line}\r\n")).collect();
        client.hear(&format!("250-mx.example.com\r\n{lines}250 HELP\r\n"));
        assert!(client.ready);
        client.written.clear();
        client
    }

    pub fn deliver(&mut self, transaction: Transaction, body: &[u8]) {
        self.pieces = VecDeque::from([Bytes::copy_from_slice(body)]);
        self.input(client::Input::Deliver(transaction));
    }

    pub fn input(&mut self, input: client::Input<'_>) {
        let mut actions = client::Actions::new();
        self.session.handle(self.now, input, &mut actions);
        self.perform(&mut actions);
    }

    /// What it says to what the server says.
    pub fn hear(&mut self, text: &str) -> String {
        self.input(client::Input::Bytes(text.as_bytes()));
        self.take_text()
    }

    pub fn take_text(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.written)).into_owned()
    }

    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.input(client::Input::Timeout);
    }

    fn perform(&mut self, actions: &mut client::Actions) {
        while let Some(action) = actions.pop() {
            assert_eq!(self.closed, None, "{action:?} after the end");
            match action {
                client::Action::Write(octets) => self.written.extend_from_slice(&octets),
                client::Action::StartTls => self.tls_started = true,
                client::Action::Ready => self.ready = true,
                client::Action::WantBody => {
                    if let Some(chunk) = self.pieces.pop_front() {
                        let last = self.pieces.is_empty();
                        self.session.handle(self.now, client::Input::Body { chunk, last }, actions);
                    }
                }
                client::Action::Done(outcome) => {
                    self.ready = false;
                    self.outcomes.push(outcome);
                }
                client::Action::WakeAt(at) => self.wake = Some(at),
                client::Action::Close(result) => self.closed = Some(result),
            }
        }
    }
}

pub fn transaction(from: &str, to: &[&str]) -> Transaction {
    Transaction {
        from: from.parse().unwrap(),
        parameters: MailParameters::default(),
        recipients: to
            .iter()
            .map(|to| client::Recipient { to: to.parse().unwrap(), parameters: RcptParameters::default() })
            .collect(),
    }
}

/// A client and a server with a link between them that passes at most `piece` octets at a time.
pub struct Pair {
    pub server: Server,
    pub client: Client,
    pub piece: usize,
}

impl Pair {
    pub fn new(server: ServerConfig, client: ClientConfig, piece: usize) -> Self {
        Self { server: Server::new(server, accept_all), client: Client::new(client), piece }
    }

    /// Passes octets and handshakes until neither side has more to say.
    pub fn settle(&mut self) {
        loop {
            let (down, up) =
                (take(&mut self.server.written, self.piece), take(&mut self.client.written, self.piece));
            let idle = down.is_empty() && up.is_empty();
            if !down.is_empty() && self.client.closed.is_none() {
                self.client.input(client::Input::Bytes(&down));
            }
            if !up.is_empty() && self.server.closed.is_none() {
                self.server.input(server::Input::Bytes(&up));
            }
            let quiet = self.server.written.is_empty() && self.client.written.is_empty();
            if quiet && self.server.tls_started && self.client.tls_started {
                self.server.tls_started = false;
                self.client.tls_started = false;
                self.server.input(server::Input::TlsDone);
                self.client.input(client::Input::TlsDone);
            } else if idle {
                return;
            }
        }
    }

    /// Moves the clock to the next deadline of either side.
    pub fn step(&mut self) {
        let next = self.server.wake.into_iter().chain(self.client.wake).min().unwrap();
        self.server.now = next;
        self.client.now = next;
        if self.server.closed.is_none() {
            self.server.input(server::Input::Timeout);
        }
        if self.client.closed.is_none() {
            self.client.input(client::Input::Timeout);
        }
        self.settle();
    }
}

fn take(from: &mut Vec<u8>, piece: usize) -> Vec<u8> {
    let count = from.len().min(piece);
    from.drain(..count).collect()
}
