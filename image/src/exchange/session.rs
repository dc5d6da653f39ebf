//! The dialogue: bytes and the time in, actions out. It opens nothing and reads no clock.
//!
//! Texts and order are those that Exchange Online was seen to use; RFC 5321 where nothing was seen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::organisation::{Break, Client, Organisation, State, domain};
use super::outbound::Outgoing;
use super::received::Received;
use super::refusal::Refusal;
use super::tls::Shown;

/// The name in greeting and replies.
pub const HOST: &str = "DB1PEPF0003922F.mail.protection.outlook.com";

/// What one connection too many is told before it is closed.
pub const TOO_MANY_CONNECTIONS: &str = "421 4.3.2 The maximum number of concurrent connections per resource \
                                        forest has exceeded a limit, closing transmission channel\r\n";

/// What the connection is to do, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes.
    Write(Vec<u8>),
    /// Begin the handshake as server; what follows on the connection belongs to it.
    StartTls,
    /// A message is complete.
    Deliver(Box<Received>),
    /// A message is to be sent by the recipient's MX.
    SendOut(Box<Outgoing>),
    /// Close the connection.
    Close,
}

/// One connection's dialogue.
#[derive(Debug)]
pub struct Session {
    organisation: Arc<Organisation>,
    peer: SocketAddr,
    tls: bool,
    shown: Shown,
    helo: Option<String>,
    envelope: Option<Envelope>,
    input: Vec<u8>,
    reading: Reading,
}

#[derive(Debug, Default)]
struct Envelope {
    sender: String,
    recipients: Vec<String>,
    message: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Commands,
    Data,
    Chunk {
        size: usize,
        left: usize,
        last: bool,
    },
    /// Nothing more is read.
    Closed,
}

impl Session {
    /// A new connection, and the greeting to send.
    pub fn new(organisation: Arc<Organisation>, peer: SocketAddr, now: SystemTime) -> (Self, Vec<u8>) {
        let session = Session {
            organisation,
            peer,
            tls: false,
            shown: Shown::default(),
            helo: None,
            envelope: None,
            input: Vec::new(),
            reading: Reading::Commands,
        };
        let greeting =
            format!("220 {HOST} Microsoft ESMTP MAIL Service ready at {} [08DD000000000001]\r\n", date(now));
        (session, greeting.into_bytes())
    }

    /// TLS is on, and the client showed such a certificate.
    pub fn tls_done(&mut self, shown: Shown, now: SystemTime) -> Vec<Action> {
        self.shown = shown;
        if self.breaks(now) == Some(Break::AfterTls) {
            self.reading = Reading::Closed;
            return vec![Action::Close];
        }
        Vec::new()
    }

    /// Takes what came from the client.
    pub fn receive(&mut self, bytes: &[u8], now: SystemTime) -> Vec<Action> {
        self.input.extend_from_slice(bytes);
        let mut actions = Vec::new();
        while self.step(now, &mut actions) {}
        actions
    }

    /// Whether there was enough input for a step.
    fn step(&mut self, now: SystemTime, out: &mut Vec<Action>) -> bool {
        match self.reading {
            Reading::Closed => return false,
            Reading::Chunk { size, left, last } => return self.chunk(size, left, last, now, out),
            Reading::Commands | Reading::Data => {}
        }
        let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") else {
            let max = if self.reading == Reading::Data { MESSAGE_MAX } else { COMMAND_LINE_MAX };
            if self.input.len() > max {
                self.close(out, "500 5.5.1 Line too long");
            }
            return false;
        };
        let line: Vec<u8> = self.input.drain(..end + 2).collect();
        match self.reading {
            Reading::Data => self.data_line(&line, now, out),
            _ if line.len() > COMMAND_LINE_MAX => self.close(out, "500 5.5.1 Line too long"),
            _ => self.command(String::from_utf8_lossy(&line[..end]).trim(), now, out),
        }
        true
    }

    fn command(&mut self, line: &str, now: SystemTime, out: &mut Vec<Action>) {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.ehlo(argument, now, out),
            "HELO" => {
                self.helo = Some(argument.to_owned());
                reply(out, &format!("250 {HOST} Hello [{}]", self.peer.ip()));
            }
            "STARTTLS" if !self.tls && !self.organisation.at(now).script.without_tls => self.start_tls(out),
            "MAIL" => self.mail(argument, now, out),
            "RCPT" => self.rcpt(argument, now, out),
            "DATA" => self.data(out),
            "BDAT" => self.bdat(argument, out),
            "RSET" => {
                self.envelope = None;
                reply(out, "250 2.0.0 Resetting");
            }
            "NOOP" => reply(out, "250 2.0.0 OK"),
            "QUIT" => self.close(out, "221 2.0.0 Service closing transmission channel"),
            _ => reply(out, "500 5.3.3 Unrecognized command"),
        }
    }

    fn ehlo(&mut self, name: &str, now: SystemTime, out: &mut Vec<Action>) {
        self.helo = Some(name.to_owned());
        self.envelope = None;
        let mut lines = vec![format!("{HOST} Hello [{}]", self.peer.ip()), format!("SIZE {MESSAGE_MAX}")];
        lines.extend(["PIPELINING", "DSN", "ENHANCEDSTATUSCODES"].map(String::from));
        if !self.tls && !self.organisation.at(now).script.without_tls {
            lines.push("STARTTLS".into());
        }
        lines.extend(["8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"].map(String::from));
        let last = lines.len() - 1;
        let text: String = lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}\r\n", if index == last { ' ' } else { '-' }))
            .collect();
        out.push(Action::Write(text.into_bytes()));
    }

    fn start_tls(&mut self, out: &mut Vec<Action>) {
        // RFC 3207 §5: what was sent before the handshake is not a command; a client that sends it is lost.
        if !self.input.is_empty() {
            return self.close(out, "554 5.7.0 Commands after STARTTLS");
        }
        reply(out, "220 2.0.0 SMTP server ready");
        out.push(Action::StartTls);
        self.tls = true;
        self.helo = None;
        self.envelope = None;
    }

    fn mail(&mut self, argument: &str, now: SystemTime, out: &mut Vec<Action>) {
        if self.helo.is_none() {
            return reply(out, "503 5.5.1 Send hello first");
        }
        if self.envelope.is_some() {
            return reply(out, "503 5.5.2 Sender already specified");
        }
        let Some(sender) = path(argument, "FROM:") else {
            return reply(out, "501 5.5.4 Invalid arguments");
        };
        let refusal = self.organisation.at(now).refuses_sender();
        if let Some(refusal) = refusal {
            return self.refuse(refusal, now, out);
        }
        self.envelope = Some(Envelope { sender: sender.to_owned(), ..Envelope::default() });
        reply(out, "250 2.1.0 Sender OK");
    }

    fn rcpt(&mut self, argument: &str, now: SystemTime, out: &mut Vec<Action>) {
        let Some(envelope) = &self.envelope else {
            return reply(out, "503 5.5.2 Need mail command");
        };
        let Some(recipient) = path(argument, "TO:").filter(|path| !path.is_empty()) else {
            return reply(out, "501 5.5.4 Invalid arguments");
        };
        let address = recipient.to_ascii_lowercase();
        let client = Client { address: self.peer.ip(), shown: &self.shown };
        let state = self.organisation.at(now);
        let refusal = state.refuses_recipient(client, &envelope.sender, &address);
        drop(state);
        let same = |other: &&String| domain(&other.to_ascii_lowercase()) == domain(&address);
        let full = envelope.recipients.iter().filter(same).count() >= RECIPIENTS_MAX;
        if let Some(refusal) = refusal.or(full.then_some(Refusal::TooManyRecipients)) {
            return self.refuse(refusal, now, out);
        }
        if let Some(envelope) = &mut self.envelope {
            envelope.recipients.push(recipient.to_owned());
        }
        reply(out, "250 2.1.5 Recipient OK");
    }

    fn refuse(&self, refusal: Refusal, now: SystemTime, out: &mut Vec<Action>) {
        reply(out, &refusal.reply(self.peer.ip(), &stamp(now)));
    }

    fn breaks(&self, now: SystemTime) -> Option<Break> {
        self.organisation.at(now).script.breaks
    }

    /// Ends the connection without a word.
    fn hang_up(&mut self, out: &mut Vec<Action>) {
        out.push(Action::Close);
        self.reading = Reading::Closed;
        self.input.clear();
    }

    fn data(&mut self, out: &mut Vec<Action>) {
        if self.envelope.as_ref().is_none_or(|envelope| envelope.recipients.is_empty()) {
            return reply(out, "503 5.5.2 Need rcpt command");
        }
        self.reading = Reading::Data;
        reply(out, "354 Start mail input; end with <CRLF>.<CRLF>");
    }

    fn data_line(&mut self, line: &[u8], now: SystemTime, out: &mut Vec<Action>) {
        if line == b".\r\n" {
            self.reading = Reading::Commands;
            return self.complete(now, out);
        }
        if self.breaks(now) == Some(Break::MidData) {
            return self.hang_up(out);
        }
        // RFC 5321 §4.5.2.
        self.append(line.strip_prefix(b".").unwrap_or(line));
    }

    fn bdat(&mut self, argument: &str, out: &mut Vec<Action>) {
        let (size, last) = match argument.split_once(' ') {
            Some((size, last)) if last.eq_ignore_ascii_case("LAST") => (size, true),
            Some(_) => return self.close(out, "501 5.5.4 Invalid arguments"),
            None => (argument, false),
        };
        match size.parse() {
            Ok(size) => self.reading = Reading::Chunk { size, left: size, last },
            // How much is not a command cannot be known: RFC 3030 §2 leaves only closing.
            Err(_) => self.close(out, "501 5.5.4 Invalid arguments"),
        }
    }

    fn chunk(
        &mut self,
        size: usize,
        left: usize,
        last: bool,
        now: SystemTime,
        out: &mut Vec<Action>,
    ) -> bool {
        let count = left.min(self.input.len());
        let bytes: Vec<u8> = self.input.drain(..count).collect();
        self.append(&bytes);
        if count > 0 && self.breaks(now) == Some(Break::MidData) {
            self.hang_up(out);
            return false;
        }
        if count < left {
            self.reading = Reading::Chunk { size, left: left - count, last };
            return false;
        }
        self.reading = Reading::Commands;
        match (&self.envelope, last) {
            (Some(envelope), _) if envelope.recipients.is_empty() => {
                reply(out, "503 5.5.2 Need rcpt command")
            }
            (None, _) => reply(out, "503 5.5.2 Need mail command"),
            (Some(_), true) => self.complete(now, out),
            (Some(_), false) => reply(out, &format!("250 2.6.0 {size} octets received")),
        }
        true
    }

    fn append(&mut self, bytes: &[u8]) {
        let Some(envelope) = &mut self.envelope else { return };
        // One byte more than allowed is kept, so that the end knows.
        let room = (MESSAGE_MAX + 1).saturating_sub(envelope.message.len());
        envelope.message.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn complete(&mut self, now: SystemTime, out: &mut Vec<Action>) {
        let Some(envelope) = self.envelope.take() else { return };
        if envelope.message.len() > MESSAGE_MAX {
            return reply(out, "552 5.3.4 Message size exceeds fixed maximum message size");
        }
        if self.breaks(now) == Some(Break::BeforeFinalReply) {
            return self.hang_up(out);
        }
        let received = Received {
            peer: self.peer,
            tls: self.tls,
            certificate_names: self.shown.names.clone(),
            helo: self.helo.clone().unwrap_or_default(),
            sender: envelope.sender,
            recipients: envelope.recipients,
            message: envelope.message,
        };
        if received.hops() >= HOPS_MAX {
            return self.refuse(Refusal::Loop, now, out);
        }
        let mut state = self.organisation.at(now);
        state.taken += 1;
        let count = state.taken;
        out.extend(onward(&state, &received, now).map(|outgoing| Action::SendOut(Box::new(outgoing))));
        drop(state);
        let id = received.header("Message-ID").unwrap_or_else(|| format!("<{}@{HOST}>", seconds(now)));
        let text = format!(
            "250 2.6.0 {id} [InternalId={count}, Hostname={HOST}] {} bytes in 0.100, 100.0 KB/sec Queued mail for delivery",
            received.message.len(),
        );
        // Before the reply: whoever has read the 250 finds the message delivered.
        out.push(Action::Deliver(Box::new(received)));
        reply(out, &text);
    }

    fn close(&mut self, out: &mut Vec<Action>, text: &str) {
        reply(out, text);
        out.push(Action::Close);
        self.reading = Reading::Closed;
        self.input.clear();
    }
}

/// What the mail system sends out because of a message: mail for those who are elsewhere, reports about others.
fn onward<'a>(
    state: &'a State,
    received: &'a Received,
    now: SystemTime,
) -> impl Iterator<Item = Outgoing> + 'a {
    received.recipients.iter().filter_map(move |recipient| {
        let address = recipient.to_ascii_lowercase();
        if state.is_elsewhere(&address) {
            Some(Outgoing::passed_on(received, recipient, now))
        } else if state.script.reported_later.contains(&address) {
            Outgoing::report(received, recipient, now)
        } else {
            None
        }
    })
}

fn reply(out: &mut Vec<Action>, text: &str) {
    out.push(Action::Write(format!("{text}\r\n").into_bytes()));
}

/// `FROM:<a@b> SIZE=1` → `a@b`.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (start, rest) = argument.split_at_checked(keyword.len())?;
    let rest = rest.trim_start().strip_prefix('<').filter(|_| start.eq_ignore_ascii_case(keyword))?;
    rest.split_once('>').map(|(path, _)| path)
}

/// What ends a refusal: who said it, when, and a number for support.
fn stamp(now: SystemTime) -> String {
    let time =
        jiff::Timestamp::try_from(now).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    format!(" [DB1PEPF0003922F.eurprd02.prod.outlook.com {time} 08DD000000000001]")
}

pub(super) fn date(now: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(now).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What Exchange Online announces: 150 MiB.
const MESSAGE_MAX: usize = 157_286_400;
/// RFC 5321 §4.5.3.1.4 gives 512, to which extensions add.
const COMMAND_LINE_MAX: usize = 2048;
/// Exchange Online takes so many of one domain in a message.
const RECIPIENTS_MAX: usize = 200;
/// A message with so many `Received` fields goes round.
const HOPS_MAX: usize = 20;

#[cfg(test)]
mod tests;
