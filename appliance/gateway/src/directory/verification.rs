//! Carries the questions about recipients to verification servers; what is remembered is answered at once.

use std::{collections::HashMap, sync::Arc};

use config_schema::{Config, Domain, ProbeSender, Route};
use directory::verification::{
    Action, Alarm, Answer, Because, ConnectionId, Input, Lost, QuestionId, Remembered, Settings, Trouble,
    Verification, Via, transaction,
};
use smtp::{
    address::{Address, Host},
    client::Outcome,
};
use store::log::FaultClass;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Duration, Instant, sleep_until},
};

use super::keeper::Keeper;
use crate::{
    appliance::Appliance,
    clock::Clock,
    delivery::{Probe, Prober},
    event::Kind,
};

/// Messages to the machine that wait at a time; further askers wait for their place.
const INBOX: usize = 4096;
/// How long the clock is slept on when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

/// The way to a server, protected as mail for `domain` is.
pub(super) fn way(config: &Config, domain: &Domain, server: Route) -> Via {
    let realm = config.realm(&domain.realm).filter(|realm| realm.client.is_some());
    Via { server, tls: domain.tls, shown: realm.map(|realm| realm.name.clone()) }
}

/// Asks verification servers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    inbox: mpsc::Sender<Message>,
    remembered: Remembered,
    keeper: Arc<Keeper>,
    clock: Clock,
}

enum Message {
    Ask { server: Via, address: Address, answer: oneshot::Sender<Answer> },
    Stop(oneshot::Sender<()>),
    Happened(Input),
}

impl Verifier {
    /// Loads what was remembered, and begins. Must be called inside the runtime.
    pub(crate) fn start(appliance: Appliance, prober: Prober) -> Verifier {
        let (inbox, messages) = mpsc::channel(INBOX);
        let machine = Verification::new(Settings::of(&appliance.config()));
        let remembered = machine.memory().clone();
        let (clock, keeper) = (appliance.clock.clone(), Keeper::start(appliance.clone(), remembered.clone()));
        let driver = Driver {
            appliance,
            prober,
            machine,
            inbox: inbox.downgrade(),
            asked: HashMap::new(),
            connections: HashMap::new(),
            next: 0,
            wake: Instant::now() + IDLE,
        };
        tokio::spawn(driver.run(messages));
        Verifier { inbox, remembered, keeper, clock }
    }

    /// What `server` says of `address`; within the time that the settings give.
    pub(crate) async fn ask(&self, server: &Via, address: &Address) -> Answer {
        if let Some(answer) = self.remembered.answer(self.clock.elapsed(), address) {
            return answer;
        }
        let (answer, answered) = oneshot::channel();
        let message = Message::Ask { server: server.clone(), address: address.clone(), answer };
        let gone = Answer {
            recipient: directory::reply::Recipient::Unknown,
            because: Because::Trouble(Trouble::Unreachable("the appliance is stopping".into())),
        };
        if self.inbox.send(message).await.is_err() {
            return gone;
        }
        answered.await.unwrap_or(gone)
    }

    /// Forgets what was said of an address, of a domain (`@domain`), or of all; returns how many addresses.
    pub(crate) fn forget(&self, about: Option<&str>) -> usize {
        let about = about.map(str::to_lowercase);
        self.remembered.forget(|key| match about.as_deref() {
            None => true,
            Some(domain) if domain.starts_with('@') => key.ends_with(domain),
            Some(address) => key == address,
        })
    }

    /// Writes down what was learnt last, and ends.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.inbox.send(Message::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
        self.keeper.keep().await;
    }
}

/// The cause of the alarm that is over when the server knows a recipient.
fn refusing(server: &Via) -> String {
    format!("verification server {server}")
}

struct Driver {
    appliance: Appliance,
    prober: Prober,
    machine: Verification,
    /// For the connections' tasks; weak, so that the driver ends with the last [`Verifier`].
    inbox: mpsc::WeakSender<Message>,
    asked: HashMap<QuestionId, oneshot::Sender<Answer>>,
    connections: HashMap<ConnectionId, (Via, mpsc::Sender<Question>)>,
    next: u64,
    wake: Instant,
}

/// What a connection is asked to carry.
struct Question {
    sender: ProbeSender,
    addresses: Vec<Address>,
}

impl Driver {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut configs = self.appliance.config.clone();
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Stop(done)) => {
                        let _ = done.send(());
                        return;
                    }
                    Some(message) => self.take(message),
                    None => return,
                },
                () = sleep_until(self.wake) => {
                    // Until it names another moment.
                    self.wake = Instant::now() + IDLE;
                    self.happened(Input::Timeout);
                }
                Ok(()) = configs.changed() => {
                    self.machine.configure(Settings::of(&configs.borrow_and_update()));
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ask { server, address, answer } => {
                self.next += 1;
                let question = QuestionId(self.next);
                self.asked.insert(question, answer);
                self.happened(Input::Ask { question, server, address });
            }
            Message::Happened(input) => self.happened(input),
            Message::Stop(_) => {}
        }
    }

    fn happened(&mut self, input: Input) {
        if let Input::Replies { connection, outcome, .. } = &input
            && outcome.recipients.iter().flatten().any(|reply| reply.is_positive())
            && let Some((server, _)) = self.connections.get(connection)
        {
            self.appliance.alarms.clear(&refusing(server));
        }
        let now = self.appliance.clock.elapsed();
        for action in self.machine.handle(now, input) {
            match action {
                Action::Connect { connection, server, domain } => self.connect(connection, server, &domain),
                Action::Probe { connection, sender, addresses } => {
                    // A connection carries one probe at a time: its place is free, or it is gone and has said so.
                    if let Some((_, line)) = self.connections.get(&connection) {
                        let _ = line.try_send(Question { sender, addresses });
                    }
                }
                Action::Answer { question, answer } => {
                    if let Some(asked) = self.asked.remove(&question) {
                        let _ = asked.send(answer);
                    }
                }
                Action::Close { connection } => drop(self.connections.remove(&connection)),
                Action::Alarm { server, alarm } => self.alarm(&server, &alarm),
                Action::WakeAt(time) => self.wake = self.appliance.clock.instant(time),
            }
        }
    }

    fn alarm(&self, server: &Via, alarm: &Alarm) {
        let (cause, text) = match alarm {
            Alarm::Refused(said) => {
                (refusing(server), format!("it refuses, and not because of the recipient: {said}"))
            }
            Alarm::NullSender(said) => {
                let cause = format!("verification server {server}, sender");
                (cause, format!("it refuses the null sender, so postmaster asks: {said}"))
            }
        };
        let events = &self.appliance.events;
        let event = events.event(Kind::VerificationRefused).fault(FaultClass::Configuration);
        events.record(event.field("server", server).field("why", &text));
        self.appliance.alarms.raise(&cause, &text);
    }

    fn connect(&mut self, connection: ConnectionId, server: Via, domain: &Host) {
        let (line, questions) = mpsc::channel(1);
        self.connections.insert(connection, (server.clone(), line));
        let Some(inbox) = self.inbox.upgrade() else { return };
        let task = Task {
            appliance: self.appliance.clone(),
            prober: self.prober.clone(),
            inbox,
            connection,
            server,
            domain: domain.clone(),
        };
        tokio::spawn(task.run(questions));
    }
}

/// One connection to a verification server, from its opening to its end.
struct Task {
    appliance: Appliance,
    prober: Prober,
    inbox: mpsc::Sender<Message>,
    connection: ConnectionId,
    server: Via,
    domain: Host,
}

impl Task {
    async fn run(self, mut questions: mpsc::Receiver<Question>) {
        let connection = self.connection;
        let mut probe = match self.open().await {
            Ok(probe) => probe,
            Err(why) => return self.tell(Input::Failed { connection, why }).await,
        };
        self.tell(Input::Connected { connection }).await;
        loop {
            tokio::select! {
                question = questions.recv() => {
                    let Some(question) = question else { return probe.close().await };
                    let outcome = self.carry(&mut probe, question).await;
                    let open = probe.is_ready();
                    self.tell(Input::Replies { connection, outcome, open }).await;
                    if !open {
                        return;
                    }
                }
                () = probe.idle() => {
                    let why = Lost::Unreachable("it closed the connection".into());
                    return self.tell(Input::Failed { connection, why }).await;
                }
            }
        }
    }

    async fn open(&self) -> Result<Probe, Lost> {
        let config = self.appliance.config();
        let Host::Name(name) = &self.domain else { return Err(Lost::Unreachable("no domain".into())) };
        let Some(domain) = config.domain(name) else {
            return Err(Lost::Unreachable(format!("{name} is no domain of ours any more").into()));
        };
        if way(&config, domain, self.server.server.clone()) != self.server {
            // Others who share the connection count on it as it was.
            return Err(Lost::Unreachable("the configuration has changed meanwhile".into()));
        }
        self.prober.open(&config, domain, &self.server.server).await.map_err(|fault| match fault.dialogue() {
            Ok(failure) => Lost::Dialogue(failure),
            Err(why) => Lost::Unreachable(why.to_string().into()),
        })
    }

    async fn carry(&self, probe: &mut Probe, question: Question) -> Outcome {
        let config = self.appliance.config();
        probe.ask(transaction(question.sender, &config.network.hostname, &question.addresses)).await
    }

    async fn tell(&self, input: Input) {
        // The driver is gone when the appliance stops.
        let _ = self.inbox.send(Message::Happened(input)).await;
    }
}
