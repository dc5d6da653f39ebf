//! The answers to what a session asks: a step of product policy each, with its event.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config_schema::Config;
use directory::decision::{NotOurs, Outcome};
use jiff::tz::TimeZone;
use smtp::message::received::{Received, Tls};
use smtp::reply::Reply;
use smtp::server::{Answer, ClientName, CloseReason, EndOfMessage, Helo, Mail, Protocol, Question, Rcpt};
use store::log::{Event, FaultClass};
use store::message::{NewMessage, Source};
use store::{MessageId, SessionId, Timestamp};

use super::Shared;
use super::fault::{MessageFault, no_room};
use super::gate::Place;
use super::intake::Intake;
use super::settings;
use super::sources::Offence;
use super::transaction::Transaction;
use crate::event::{Kind, escaped};
use crate::message::Incoming;
use crate::provisioning::cycle;
use crate::recipient::{self, Recipient, RecipientFault, Streamed};
use crate::tls::server::TlsFacts;

/// What is known and decided about one session.
#[derive(Debug)]
pub(super) struct Policy {
    shared: Arc<Shared>,
    /// The configuration that the transaction at hand is decided by.
    config: Arc<Config>,
    id: SessionId,
    peer: SocketAddr,
    local: SocketAddr,
    /// Taken when the session was admitted.
    place: Option<Place>,
    helo: Option<Helo>,
    tls: Option<TlsFacts>,
    transaction: Option<Transaction>,
    accepted: u32,
}

impl Policy {
    pub(super) fn new(shared: Arc<Shared>, peer: SocketAddr, local: SocketAddr) -> Policy {
        let id = shared.appliance.events.next_session();
        let config = shared.appliance.config();
        Policy {
            shared,
            config,
            id,
            peer,
            local,
            place: None,
            helo: None,
            tls: None,
            transaction: None,
            accepted: 0,
        }
    }

    /// How long the answer to `question` is kept back.
    pub(super) fn delay(&self, question: &Question) -> Duration {
        match (question, &self.place) {
            (Question::Rcpt(_), Some(place)) => place.tarpit(self.shared.appliance.clock.elapsed()),
            _ => Duration::ZERO,
        }
    }

    pub(super) async fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Connect => self.connect(),
            Question::Helo(helo) => {
                self.helo = Some(helo);
                Answer::Accept
            }
            Question::Mail(mail) => self.mail(mail),
            Question::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Question::Data => self.data().await,
            Question::EndOfMessage(end) => self.end_of_message(end).await,
        }
    }

    /// The next octets of the body.
    pub(super) async fn body(&mut self, octets: &Bytes) {
        if let Some(intake) = self.transaction.as_mut().and_then(|transaction| transaction.intake.as_mut()) {
            intake.push(octets).await;
        }
    }

    /// The transaction is over without a message.
    pub(super) fn reset(&mut self) {
        self.transaction = None;
    }

    pub(super) fn tls_established(&mut self, facts: TlsFacts) {
        let event =
            self.event(Kind::TlsEstablished).field("version", facts.version).field("cipher", &facts.cipher);
        let event = match &facts.client_certificate {
            Some(fingerprint) => event.field("client-certificate", fingerprint),
            None => event,
        };
        self.record(event);
        self.tls = Some(facts);
        // RFC 3207 §4.2: what was said before TLS is forgotten.
        self.helo = None;
    }

    pub(super) fn tls_failed(&self, why: &dyn std::fmt::Display, fault: FaultClass) {
        self.record(self.event(Kind::TlsFailed).fault(fault).field("why", why));
    }

    /// The session is over; a transaction that was under way is forgotten with it.
    pub(super) fn ended(self, reason: CloseReason) {
        // A connection that was refused has its event already.
        if self.place.is_none() && reason == CloseReason::Decision {
            return;
        }
        let event = self.event(Kind::SessionEnded).field("why", reason).field("accepted", self.accepted);
        self.record(match fault_of(reason) {
            Some(fault) => event.fault(fault),
            None => event,
        });
    }

    fn connect(&mut self) -> Answer {
        let known = self.config.known_network(self.peer.ip().to_canonical());
        let now = self.shared.appliance.clock.elapsed();
        match self.shared.gate.admit(now, self.peer.ip(), known.is_some()) {
            Ok(place) => {
                self.place = Some(place);
                let event = self.event(Kind::Connected).field("local", self.local);
                self.record(match known {
                    Some(known) => event.field("known-network", &known.name),
                    None => event,
                });
                Answer::Accept
            }
            Err(refusal) => {
                if let Some(unsaid) = self.shared.refusals.say(now) {
                    let event =
                        self.event(Kind::ConnectionRefused).fault(FaultClass::Peer).field("why", refusal);
                    self.record(if unsaid > 0 { event.field("not-logged-before", unsaid) } else { event });
                }
                // RFC 5321 §3.8: 421 also as the very first reply.
                Answer::Close(
                    Reply::new(421, format!("Refused, {refusal}; try again later")).enhanced(4, 7, 0),
                )
            }
        }
    }

    fn mail(&mut self, mail: Mail) -> Answer {
        self.config = self.shared.appliance.config();
        if let Some(answer) = self.refuse_without_room(mail.parameters.size.unwrap_or(0)) {
            return answer;
        }
        self.transaction = Some(Transaction::new(mail));
        Answer::Accept
    }

    async fn rcpt(&mut self, rcpt: Rcpt) -> Answer {
        if self.transaction.is_none() {
            return Answer::Refuse(MessageFault::NoTransaction.reply());
        }
        let recipient = match recipient::decide(&self.config, self.peer.ip(), &rcpt.to) {
            Ok(recipient) => recipient,
            Err(refusal) => return self.refuse_recipient(&rcpt, &refusal.into()),
        };
        let streamed = match self.stream_of(&recipient).await {
            Ok(streamed) => streamed,
            Err(fault) => return self.refuse_recipient(&rcpt, &fault),
        };
        if let Some(transaction) = &mut self.transaction {
            transaction.add(recipient, rcpt.parameters, streamed);
        }
        Answer::Accept
    }

    /// The stream of a recipient that is real; none for one that is relayed to.
    async fn stream_of(&self, recipient: &Recipient) -> Result<Option<Streamed>, RecipientFault> {
        if recipient.relayed {
            return Ok(None);
        }
        let client = Some(self.peer.ip());
        let verdict = self.shared.directory.decide(&self.config, client, &recipient.address).await;
        match verdict.map(|verdict| verdict.outcome) {
            Ok(Outcome::Accept { stream, because }) => {
                Ok(Some(Streamed { stream, because: because.to_string() }))
            }
            Ok(Outcome::Refuse { why }) => Err(RecipientFault::Refused(why)),
            Ok(Outcome::Defer { why }) => Err(RecipientFault::Deferred(why)),
            // The domain went away with a configuration that came meanwhile.
            Err(NotOurs) => Err(recipient::Refusal::RelayingDenied.into()),
        }
    }

    fn refuse_recipient(&mut self, rcpt: &Rcpt, fault: &RecipientFault) -> Answer {
        let reply = fault.reply();
        let event = self.event(Kind::RecipientRefused).fault(fault.class()).field("recipient", &rcpt.to);
        let event = match &self.transaction {
            Some(transaction) => event.field("sender", transaction.from()),
            None => event,
        };
        self.record(event.field("why", fault).field("reply", &reply));
        if !fault.is_guess() {
            return Answer::Refuse(reply);
        }
        self.count_unknown();
        Answer::UnknownRecipient(reply)
    }

    fn count_unknown(&self) {
        // A known network is not punished: it may well forward a list with old addresses.
        let Some(place) = &self.place else { return };
        if self.config.known_network(self.peer.ip().to_canonical()).is_some() {
            return;
        }
        if let Offence::Banned { network } = place.unknown_recipient(self.shared.appliance.clock.elapsed()) {
            let what = if network { "network" } else { "address" };
            self.record(self.event(Kind::Banned).fault(FaultClass::Peer).field("banned", what));
        }
    }

    async fn data(&mut self) -> Answer {
        if let Some(answer) = self.refuse_without_room(0) {
            return answer;
        }
        let Some(mut transaction) = self.transaction.take() else {
            return Answer::Refuse(MessageFault::NoTransaction.reply());
        };
        let now = self.shared.appliance.clock.now();
        let own = self.config.network.hostname.clone();
        let incoming = Incoming::new(own, settings::header_limits(&self.config));
        let intake = Intake::begin(&self.shared.appliance.store, now, incoming, |id| {
            self.received(&transaction, id, now)
        });
        let answer = match intake.await {
            Ok(intake) => {
                transaction.intake = Some(intake);
                Answer::Accept
            }
            Err(fault) => self.refuse_message(&transaction, &fault),
        };
        self.transaction = Some(transaction);
        answer
    }

    async fn end_of_message(&mut self, end: EndOfMessage) -> Answer {
        let Some(mut transaction) = self.transaction.take() else {
            return Answer::Refuse(MessageFault::NoTransaction.reply());
        };
        let Some(intake) = transaction.intake.take() else {
            return self.refuse_message(&transaction, &MessageFault::NoTransaction);
        };
        let source = Source::Smtp {
            session: self.id,
            peer: self.peer,
            helo: self.helo_text().into(),
            tls: self.tls.is_some(),
        };
        let accepted = self
            .event(Kind::Accepted)
            .message(intake.id())
            .field("sender", transaction.from())
            .field("recipients", transaction.recipients_text())
            .field("size", end.size)
            .field("protocol", end.protocol.as_str());
        let (id, envelope) = (intake.id(), transaction.envelope(end.kind));
        let now = self.shared.appliance.clock.now();
        let streams = transaction.streams(cycle::of(now, self.config.provisioning.cycle_day));
        let deliveries = transaction.deliveries(now, self.config.delivery.lifetime.duration());
        // In the same commit: a message is never without its event, nor an event without its message.
        let events = vec![escaped(accepted)];
        let new = NewMessage { envelope, source, received_at: now, deliveries, events, streams };
        match intake.commit(new).await {
            Ok(id) => {
                self.accepted += 1;
                self.shared.appliance.queued.notify_one();
                Answer::AcceptWith(Reply::new(250, format!("Ok, queued as {id}")).enhanced(2, 0, 0))
            }
            Err(fault) => {
                self.record(refusal_event(self.event(Kind::MessageRefused).message(id), &fault));
                Answer::Refuse(fault.reply())
            }
        }
    }

    /// RFC 1870 §6.1: a size that is declared and does not fit is refused before it is sent.
    fn refuse_without_room(&self, size: u64) -> Option<Answer> {
        let usage = self.shared.appliance.store.usage();
        if usage.accepting && usage.free >= usage.reserve.saturating_add(size) {
            return None;
        }
        let event = self.event(Kind::SenderRefused).fault(FaultClass::Resource);
        self.record(event.field("free", usage.free).field("reserve", usage.reserve).field("size", size));
        Some(Answer::Refuse(no_room()))
    }

    fn refuse_message(&self, transaction: &Transaction, fault: &MessageFault) -> Answer {
        let event = self.event(Kind::MessageRefused).field("sender", transaction.from());
        self.record(refusal_event(event, fault));
        Answer::Refuse(fault.reply())
    }

    /// The trace field in front of the message (RFC 5321 §4.4).
    fn received(&self, transaction: &Transaction, id: MessageId, now: Timestamp) -> String {
        let nameless = ClientName::Other("unknown".into());
        let tls = self.tls.as_ref().map(|tls| Tls { version: tls.version, cipher: &tls.cipher });
        let received = Received {
            from: self.helo.as_ref().map_or(&nameless, |helo| &helo.name),
            address: self.peer.ip().to_canonical(),
            reverse: None,
            by: &self.config.network.hostname,
            protocol: self.protocol(transaction.utf8()),
            tls,
            id: &id.to_string(),
            recipient: transaction.sole_recipient(),
            date: &date_time(now),
        };
        received.to_string()
    }

    fn helo_text(&self) -> String {
        self.helo.as_ref().map(|helo| helo.name.to_string()).unwrap_or_default()
    }

    fn protocol(&self, utf8: bool) -> Protocol {
        let extended = self.helo.as_ref().is_some_and(|helo| helo.extended);
        match (extended, utf8, self.tls.is_some()) {
            (true, true, true) => Protocol::Utf8Smtps,
            (true, true, false) => Protocol::Utf8Smtp,
            (true, false, true) => Protocol::Esmtps,
            (true, false, false) => Protocol::Esmtp,
            (false, _, _) => Protocol::Smtp,
        }
    }

    /// An event of this session; each names the client.
    fn event(&self, kind: Kind) -> Event {
        let event = self.shared.appliance.events.event(kind).session(self.id).field("peer", self.peer);
        match self.helo.as_ref().map(|helo| &helo.name) {
            Some(ClientName::Host(host)) => event.field("helo", host),
            Some(ClientName::Other(text)) => event.field("helo", text),
            None => event,
        }
    }

    fn record(&self, event: Event) {
        self.shared.appliance.events.record(event);
    }
}

/// RFC 5322 §3.3, in UTC.
fn date_time(now: Timestamp) -> String {
    let seconds = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned_datetime(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

fn refusal_event(event: Event, fault: &MessageFault) -> Event {
    event.fault(fault.class()).field("why", fault).field("reply", fault.reply())
}

/// Whose fault the end of a session is; `None` for those that are as they should be.
fn fault_of(reason: CloseReason) -> Option<FaultClass> {
    match reason {
        CloseReason::Quit | CloseReason::PeerClosed => None,
        CloseReason::Unanswered => Some(FaultClass::Resource),
        CloseReason::Overrun => Some(FaultClass::Bug),
        _ => Some(FaultClass::Peer),
    }
}
