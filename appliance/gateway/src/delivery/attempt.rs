//! One attempt at one delivery: over the open connection, then from host to host, and on record.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use config_schema::Config;
use directory::reply::Meaning;
use smtp::client::{Failure, TlsPolicy, Transaction};
use store::{
    DeliveryId, StoreError,
    log::{Event, FaultClass},
    message::{Message, Notice, RecipientState},
    queue::{AttemptResult, Delivery, Destination},
};
use tokio::time::sleep;

use super::{
    breaker::Doubt,
    connect::{self, Connected},
    connection::{CONNECT, Connection, OpenFault, Protected, Protection},
    fate::{self, Conclusion, Fate, Terms},
    holds::Cause,
    ipv6, notice, queue,
    shared::Shared,
    throttling,
    ways::Place,
    worker::{Link, set_aside},
};
use crate::{
    dns::Resolver,
    event::Kind,
    route::{Hop, RouteFault},
    transport::{ConnectFault, Stream},
};

/// How long a destination that no host of could be connected to is not tried again.
const DOWN: Duration = Duration::from_secs(20);
/// First wait before a record that the store did not take is written again; doubled up to the second.
const RECORD_AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Makes the attempt. `link` is used if it may be, and left open if it is of further use.
pub(super) async fn run(
    shared: &Arc<Shared>,
    destination: &Destination,
    id: DeliveryId,
    link: &mut Option<Link>,
) {
    let store = &shared.appliance.store;
    let (delivery, message) = match store.delivery(id).and_then(|d| Ok((d, store.message(id.message)?))) {
        Ok(found) => found,
        // Purged meanwhile.
        Err(StoreError::NotFound { .. }) => return,
        Err(error) => {
            let event = shared.appliance.events.event(Kind::QueueUnreadable).delivery(id);
            shared.appliance.events.record(event.fault(FaultClass::Resource).field("error", error));
            return set_aside(shared, id);
        }
    };
    // Held or put off since it was taken.
    if delivery.hold.is_some() || delivery.next_attempt > shared.appliance.clock.now() {
        return;
    }
    let config = shared.appliance.config();
    let mut attempt = Attempt::new(shared, &config, destination, &delivery, &message);
    attempt.make(link).await;
    let protected = attempt.protected;
    let (route, ours) = (attempt.place.route(destination), attempt.place.is_ours());
    let (conclusion, fates, microsoft) = attempt.conclude();
    let events = events(shared, &delivery, &fates, &conclusion, protected);
    let now = shared.appliance.clock.now();
    let notices = notice::write(store, &config, &delivery, &message, &conclusion, now);
    if ours {
        throttling::watch(shared, destination, &fates);
    }
    settle(shared, destination, route, &conclusion, &fates, microsoft).await;
    if !record(shared, conclusion.record, notices, events).await {
        set_aside(shared, id);
    }
}

struct Attempt<'a> {
    shared: &'a Arc<Shared>,
    config: &'a Arc<Config>,
    destination: &'a Destination,
    place: Place<'a>,
    resolver: Resolver,
    delivery: &'a Delivery,
    message: &'a Message,
    /// Indices of recipients whose fate is not decided.
    pending: Vec<usize>,
    fates: BTreeMap<usize, Fate>,
    /// What the undecided share if no further host is left.
    last: Option<Fate>,
    microsoft: bool,
    /// How the connection used last was protected.
    protected: Protected,
}

impl<'a> Attempt<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        config: &'a Arc<Config>,
        destination: &'a Destination,
        delivery: &'a Delivery,
        message: &'a Message,
    ) -> Attempt<'a> {
        let open = delivery.recipients.iter().enumerate().filter(|(_, recipient)| recipient.is_open());
        let pending = open.map(|(index, _)| index).collect();
        let place = Place::of(config, destination);
        let microsoft = place.is_microsoft();
        let fates = BTreeMap::new();
        Attempt {
            shared,
            config,
            destination,
            place,
            resolver: shared.ways.resolver(config),
            delivery,
            message,
            pending,
            fates,
            last: None,
            microsoft,
            protected: Protected::Plain,
        }
    }

    /// Tries host after host until every recipient has a fate.
    async fn make(&mut self, link: &mut Option<Link>) {
        let usable = link.take_if(|open| !open.is_usable(self.config, self.shared.now()));
        if let Some(worn) = usable {
            worn.connection.quit().await;
        }
        if let Some(open) = link {
            self.send(&mut open.connection).await;
            if !open.connection.is_ready() {
                *link = None;
            }
            if self.pending.is_empty() {
                return;
            }
        }
        if let Some(fate) = self.shared.state().down(self.destination, self.shared.now()) {
            self.last = Some(fate);
            return;
        }
        match self.shared.ways.hops(&self.resolver, self.config, &self.place).await {
            Ok(hops) => self.go_through(&hops, link).await,
            Err(fault) => self.last = Some(self.no_way(&fault)),
        }
    }

    async fn go_through(&mut self, hops: &[Hop], link: &mut Option<Link>) {
        let mut connected = false;
        for host in hops.chunk_by(Hop::is_same_host) {
            let mut left = host.to_vec();
            while !left.is_empty() && !self.pending.is_empty() {
                // Another tenant's or host's connection is of no use here.
                if let Some(old) = link.take() {
                    old.connection.quit().await;
                }
                let Some(mut connection) = self.open(&mut left).await else { continue };
                connected = true;
                self.microsoft |= connection.hop().microsoft;
                self.send(&mut connection).await;
                if connection.is_ready() {
                    *link = Some(Link { connection, config: self.config.clone() });
                }
            }
        }
        if let (false, Some(fate)) = (connected, &self.last) {
            let until = self.shared.now() + DOWN;
            self.shared.state().mark_down(self.destination, until, fate.clone());
        }
    }

    /// Connects to one of a host's addresses that are `left`, and takes out those that need not be tried again. After
    /// a failed handshake that nobody demanded, once more without TLS.
    async fn open(&mut self, left: &mut Vec<Hop>) -> Option<Connection> {
        let mut protection =
            match self.shared.ways.protection(&self.resolver, &self.place, left.first()?).await {
                Ok(protection) => protection,
                Err(error) => {
                    let now = self.shared.appliance.clock.now();
                    let text = format!("the TLSA records cannot be asked for: {error}");
                    let host = left.first().map(Hop::to_string).unwrap_or_default();
                    self.last = Some(fate::unheard(Meaning::Temporary, Some((4, 4, 3)), &text, &host, now));
                    left.clear();
                    return None;
                }
            };
        let (hop, stream) = self.connect(left).await?;
        match self.greet(stream, &hop, &protection).await {
            Ok(connection) => return Some(connection),
            Err(OpenFault::Dialogue { failure: Failure::TlsFailed, .. })
                if protection.policy == TlsPolicy::Opportunistic =>
            {
                protection.policy = TlsPolicy::Off;
            }
            Err(fault) => {
                self.note(&hop, &fault);
                return None;
            }
        }
        let again = self.shared.transport.connect(hop.address, CONNECT).await;
        let greeted = match again {
            Ok(stream) => self.greet(stream, &hop, &protection).await,
            Err(fault) => Err(fault.into()),
        };
        greeted.map_err(|fault| self.note(&hop, &fault)).ok()
    }

    /// A stream to the first address that answers.
    async fn connect(&mut self, left: &mut Vec<Hop>) -> Option<(Hop, Stream)> {
        let Shared { transport, appliance, .. } = &**self.shared;
        let Connected { won, lost } = connect::connect(transport, &appliance.clock, left).await;
        for (index, fault) in &lost {
            if let Some(hop) = left.get(*index).cloned() {
                self.note(&hop, &OpenFault::Connect(fault.clone()));
            }
        }
        let Some((index, stream)) = won else {
            left.clear();
            return None;
        };
        let hop = left.get(index).cloned()?;
        let mut tried = lost.iter().map(|(index, _)| *index).chain([index]).collect::<Vec<usize>>();
        tried.sort_unstable();
        tried.into_iter().rev().for_each(|index| drop(left.remove(index)));
        Some((hop, stream))
    }

    async fn greet(
        &self,
        stream: Stream,
        hop: &Hop,
        protection: &Protection,
    ) -> Result<Connection, OpenFault> {
        let Shared { appliance, ways, .. } = &**self.shared;
        let tls = ways.tls_towards(self.config, &self.place, appliance.clock.now());
        Connection::open(stream, &tls, &appliance.clock, self.config, hop, protection).await
    }

    fn note(&mut self, hop: &Hop, fault: &OpenFault) {
        let now = self.shared.appliance.clock.now();
        let host = hop.to_string();
        let fate = match fault {
            OpenFault::Connect(ConnectFault::Ours(_)) => {
                fate::unheard(Meaning::Temporary, Some((4, 3, 0)), &fault.to_string(), &host, now)
            }
            OpenFault::Connect(_) => {
                fate::unheard(Meaning::Busy, Some((4, 4, 1)), &fault.to_string(), &host, now)
            }
            OpenFault::Dialogue { failure, certificate } => {
                let mut fate = fate::failed(failure, &host, now);
                if certificate.is_some() {
                    fate.reply.text = fault.to_string().into();
                }
                fate
            }
        };
        if fate.meaning == Some(Meaning::Busy) {
            self.shared.state().complaint(self.destination, self.shared.now());
        }
        // A host that says no tells more than one that is silent.
        let graver = |known: &Fate| known.meaning != Some(Meaning::Configuration);
        if self.last.as_ref().is_none_or(graver) {
            self.last = Some(fate);
        }
    }

    /// Sends to all who are pending, in as many transactions as it takes.
    async fn send(&mut self, connection: &mut Connection) {
        let host = connection.hop().to_string();
        self.protected = connection.protected();
        let most = self.config.delivery.recipients as usize;
        let mut elsewhere = Vec::new();
        while connection.is_ready() && !self.pending.is_empty() {
            let batch: Vec<usize> = self.pending.drain(..most.min(self.pending.len())).collect();
            let Ok(body) = self.shared.appliance.store.body(self.message.id) else {
                let now = self.shared.appliance.clock.now();
                let text = "the stored message cannot be read";
                let fate = fate::unheard(Meaning::Temporary, Some((4, 3, 0)), text, "", now);
                self.fates.extend(batch.into_iter().map(|index| (index, fate.clone())));
                continue;
            };
            let outcome = connection.deliver(self.transaction(&batch), body).await;
            let now = self.shared.appliance.clock.now();
            let fates = fate::read(&outcome, &host, now);
            if connection.hop().address.is_ipv6() && fates.iter().any(|fate| fate.meaning.is_none()) {
                ipv6::taken(self.shared, self.destination);
            }
            let progress = fates.iter().any(|fate| fate.meaning != Some(Meaning::TooManyRecipients));
            for (index, fate) in batch.into_iter().zip(fates) {
                match fate.meaning {
                    Some(Meaning::TooManyRecipients) if progress => self.pending.push(index),
                    Some(Meaning::Busy) if !fate.elsewhere => {
                        self.shared.state().complaint(self.destination, self.shared.now());
                        self.fates.insert(index, fate);
                    }
                    _ if fate.elsewhere || fate.meaning == Some(Meaning::NotByIpv6) => {
                        if fate.meaning == Some(Meaning::NotByIpv6) && self.place.is_ours() {
                            ipv6::refused(self.shared, self.destination, &fate.reply.text);
                        }
                        elsewhere.push(index);
                        self.last = Some(fate);
                    }
                    _ => drop(self.fates.insert(index, fate)),
                }
            }
        }
        self.pending.append(&mut elsewhere);
    }

    fn transaction(&self, batch: &[usize]) -> Transaction {
        let mut parameters = self.message.envelope.parameters.clone();
        parameters.size = Some(self.message.size);
        let recipients = batch.iter().filter_map(|index| self.delivery.recipients.get(*index));
        let recipients = recipients
            .map(|recipient| smtp::client::Recipient {
                to: recipient.to.clone(),
                parameters: recipient.parameters.clone(),
            })
            .collect();
        Transaction { from: self.message.envelope.from.clone(), parameters, recipients }
    }

    /// What a fault of the route means.
    fn no_way(&self, fault: &RouteFault) -> Fate {
        let now = self.shared.appliance.clock.now();
        let (meaning, enhanced) = match fault {
            RouteFault::Dns(_) => (Meaning::Temporary, (4, 4, 3)),
            // A route that leads nowhere is ours to mend.
            _ if self.place.is_ours() => (Meaning::Configuration, (4, 3, 5)),
            // RFC 7505 §4.1.
            RouteFault::NullMx(_) => (Meaning::Message, (5, 1, 10)),
            RouteFault::NoSuchName(_) => (Meaning::Message, (5, 1, 2)),
            RouteFault::LoopsBack(_) => (Meaning::Message, (5, 4, 6)),
            _ => (Meaning::Message, (5, 4, 4)),
        };
        fate::unheard(meaning, Some(enhanced), &fault.to_string(), "", now)
    }

    /// Ends the attempt: everyone has a fate, and the conclusion is drawn.
    fn conclude(mut self) -> (Conclusion, Vec<(usize, Fate)>, bool) {
        let now = self.shared.appliance.clock.now();
        let none = || fate::unheard(Meaning::Temporary, Some((4, 4, 1)), "no host was reached", "", now);
        let last = self.last.take().unwrap_or_else(none);
        for index in std::mem::take(&mut self.pending) {
            self.fates.entry(index).or_insert_with(|| last.clone());
        }
        let fates: Vec<(usize, Fate)> = self.fates.into_iter().collect();
        let doubts = doubts(self.shared, self.destination, self.delivery, &fates);
        let terms = Terms {
            now,
            limits: &self.config.delivery,
            microsoft: self.microsoft,
            configured: self.place.is_ours(),
            random: self.shared.ways.random(),
        };
        (fate::conclude(self.delivery, &fates, &doubts, &terms), fates, self.microsoft)
    }
}

/// Tells the breaker who took mail, and asks it about those who are said not to exist.
fn doubts(
    shared: &Shared,
    destination: &Destination,
    delivery: &Delivery,
    fates: &[(usize, Fate)],
) -> Vec<(usize, Doubt)> {
    let now = shared.appliance.clock.now();
    let key = |index: usize| {
        let address = delivery.recipients.get(index).and_then(|recipient| recipient.to.address());
        shared.hash(&address.map(|address| address.key()).unwrap_or_default())
    };
    let mut state = shared.state();
    for (index, _) in fates.iter().filter(|(_, fate)| fate.meaning.is_none()) {
        state.breaker.accepted(destination, key(*index), now);
    }
    let unknown = fates.iter().filter(|(_, fate)| fate.meaning == Some(Meaning::UnknownRecipient));
    let doubt = |index: usize| (index, state.breaker.refused(destination, key(index), now));
    unknown.map(|(index, _)| *index).map(doubt).collect()
}

/// Holds or releases the destination, as the attempt showed.
async fn settle(
    shared: &Arc<Shared>,
    destination: &Destination,
    route: String,
    conclusion: &Conclusion,
    fates: &[(usize, Fate)],
    microsoft: bool,
) {
    let id = conclusion.record.id;
    if let Some(hold) = &conclusion.blocks {
        let rule =
            fates.iter().find(|(_, fate)| fate.reply.text == hold.text).map_or(0, |(_, fate)| fate.rule);
        let cause = Cause { route: route.clone(), reason: hold.reason, rule };
        let news = shared.state().holds.block(destination, cause, hold.clone(), id, shared.now());
        if news {
            let event = shared.appliance.events.event(Kind::DestinationHeld).delivery(id);
            let event = event
                .fault(FaultClass::Configuration)
                .field("destination", destination)
                .field("route", route)
                .field("why", &hold.text)
                .field("rule", rule)
                .field("microsoft", microsoft);
            shared.appliance.events.record(event);
        }
    } else if fates.iter().any(|(_, fate)| fate.meaning.is_none()) {
        let was_held = shared.state().holds.release(destination);
        if was_held {
            let event = shared.appliance.events.event(Kind::DestinationReleased);
            shared.appliance.events.record(event.field("destination", destination));
            queue::release_all(shared, destination).await;
        }
    }
}

/// Records the attempt; what was delivered must not be forgotten, so the store is asked until it takes it. False
/// when it never will.
async fn record(
    shared: &Arc<Shared>,
    result: AttemptResult,
    mut notices: Vec<Notice>,
    events: Vec<Event>,
) -> bool {
    let mut wait = RECORD_AGAIN.0;
    loop {
        match shared.appliance.store.record(result.clone(), notices.clone(), events.clone()).await {
            Ok(recorded) => {
                if !recorded.notices.is_empty() {
                    shared.appliance.queued.notify_one();
                }
                return true;
            }
            // Purged by an administrator while it was under way.
            Err(StoreError::NotFound { .. }) => return true,
            Err(StoreError::Resource(store::Resource::Closed)) => return false,
            Err(error) if error.is_transient() => {
                sleep(wait).await;
                wait = (wait * 2).min(RECORD_AGAIN.1);
            }
            Err(error) => {
                let event = shared.appliance.events.event(Kind::AttemptUnrecorded).delivery(result.id);
                shared.appliance.events.record(event.fault(FaultClass::Bug).field("error", error));
                // A notice that the store refuses must not keep the result from being recorded.
                if notices.is_empty() {
                    return false;
                }
                notices.clear();
            }
        }
    }
}

/// One event for each kind of fate, with what was said and how many recipients it concerns.
fn events(
    shared: &Shared,
    delivery: &Delivery,
    fates: &[(usize, Fate)],
    conclusion: &Conclusion,
    protected: Protected,
) -> Vec<Event> {
    let mut groups: Vec<(Kind, &Fate, Vec<String>)> = Vec::new();
    for ((index, fate), (_, state)) in fates.iter().zip(&conclusion.record.recipients) {
        let kind = match state {
            RecipientState::Delivered(_) => Kind::Delivered,
            RecipientState::Failed(_) => Kind::DeliveryFailed,
            _ if conclusion.record.hold.is_some() => Kind::DeliveryHeld,
            _ => Kind::DeliveryDeferred,
        };
        let to =
            delivery.recipients.get(*index).map(|recipient| recipient.to.to_string()).unwrap_or_default();
        match groups.iter_mut().find(|(known, other, _)| *known == kind && other.reply == fate.reply) {
            Some((_, _, recipients)) => recipients.push(to),
            None => groups.push((kind, fate, vec![to])),
        }
    }
    let one = |(kind, fate, recipients): (Kind, &Fate, Vec<String>)| {
        let mut event = shared.appliance.events.event(kind).delivery(delivery.id);
        event = event.field("recipients", recipients.join(" ")).field("host", &fate.reply.host);
        event = event.field("code", fate.reply.code).field("reply", &fate.reply.text);
        if fate.rule > 0 {
            event = event.field("rule", fate.rule);
        }
        match (kind, fate.meaning) {
            (Kind::Delivered, _) => event.field("tls", protected.name()),
            (_, Some(Meaning::Configuration)) => event.fault(FaultClass::Configuration),
            _ => event.fault(FaultClass::Peer),
        }
    };
    let mut events: Vec<Event> = groups.into_iter().map(one).collect();
    events.extend(notice_events(shared, delivery.id, conclusion));
    events.into_iter().map(crate::event::escaped).collect()
}

/// One event for each notice.
pub(super) fn notice_events(
    shared: &Shared,
    id: DeliveryId,
    conclusion: &Conclusion,
) -> impl Iterator<Item = Event> {
    conclusion.notices.iter().map(move |(action, indices)| {
        let event = shared.appliance.events.event(Kind::NoticeSent).delivery(id);
        event.field("action", notice::name(*action)).field("recipients", indices.len())
    })
}
