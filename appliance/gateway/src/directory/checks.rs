//! Runs the domain checks: when a domain is added or changed, every day, and on request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use config_schema::{Config, Domain, Route, StreamName, UserLookup, name::DomainName};
use directory::{
    check::{Action, Check, Input, State},
    decision::Verdict,
};
use smtp::address::Address;
use store::{
    RecordKind,
    log::{Event, FaultClass},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::decider::Decider;
use crate::event::Kind;

/// Messages to the checks that wait at a time.
const INBOX: usize = 256;
/// How long a request waits for its check; one that greylisting holds up goes on by itself.
const PATIENCE: Duration = Duration::from_secs(45);
/// The longest sleep: a clock that was set is noticed after it.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The setting that makes the table of valid recipients decide.
const ONLY_VALID: u16 = 700;

/// The checks of all domains. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Checks {
    inbox: mpsc::Sender<Message>,
    states: Arc<Mutex<HashMap<DomainName, State>>>,
}

enum Message {
    /// Run now; answered when it is over.
    Request(DomainName, oneshot::Sender<()>),
    Decided(DomainName, Address, Verdict),
}

impl Checks {
    /// Loads what was found, and begins. Must be called inside the runtime.
    pub(super) fn start(decider: Decider) -> Checks {
        let (inbox, messages) = mpsc::channel(INBOX);
        let states = Arc::default();
        let runner = Runner {
            decider,
            inbox: inbox.downgrade(),
            states: Arc::clone(&states),
            domains: HashMap::new(),
            random: SystemRandom::new(),
        };
        tokio::spawn(runner.run(messages));
        Checks { inbox, states }
    }

    /// What is known of a domain.
    pub(super) fn state(&self, domain: &DomainName) -> Option<State> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).get(domain).cloned()
    }

    /// Checks these domains now. Returns when all checks are over, or after [`PATIENCE`].
    pub(super) async fn run(&self, domains: Vec<DomainName>) {
        let mut waiting = Vec::new();
        for domain in domains {
            let (done, over) = oneshot::channel();
            if self.inbox.send(Message::Request(domain, done)).await.is_err() {
                return;
            }
            waiting.push(over);
        }
        let all = async {
            for over in waiting {
                let _ = over.await;
            }
        };
        let _ = timeout(PATIENCE, all).await;
    }
}

/// What decides how a domain's recipients are checked; a change of it is worth another check.
#[derive(Debug, Clone, PartialEq)]
struct Method {
    domain: Domain,
    server: Option<Route>,
    lookup: Option<UserLookup>,
    only_valid: Option<config_schema::Resolved>,
    suspended: bool,
}

impl Method {
    fn of(config: &Config, domain: &Domain) -> Method {
        let lookup = match &domain.mapping {
            config_schema::Mapping::Lookup(name) => config.user_lookup(name).cloned(),
            _ => None,
        };
        Method {
            domain: domain.clone(),
            server: config.verification_server(&domain.name).cloned(),
            lookup,
            only_valid: config.setting(&StreamName::default_of(domain.realm.clone()), ONLY_VALID),
            suspended: config.realm(&domain.realm).is_some_and(|realm| realm.suspended),
        }
    }
}

/// A domain that is checked.
struct Checked {
    method: Method,
    check: Check,
    /// When it wants to be woken, in seconds since 1970.
    wake: u64,
    waiting: Vec<oneshot::Sender<()>>,
}

struct Runner {
    decider: Decider,
    /// Weak, so that the runner ends with the last [`Checks`].
    inbox: mpsc::WeakSender<Message>,
    states: Arc<Mutex<HashMap<DomainName, State>>>,
    domains: HashMap<DomainName, Checked>,
    random: SystemRandom,
}

impl Runner {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut configs = self.decider.appliance.config.clone();
        configs.mark_changed();
        loop {
            let wait = self.domains.values().map(|checked| checked.wake).min();
            let wait = wait.map_or(SLEEP_MAX, |wake| Duration::from_secs(wake.saturating_sub(self.now())));
            tokio::select! {
                changed = configs.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let config = configs.borrow_and_update().clone();
                    self.follow(&config);
                }
                message = messages.recv() => match message {
                    Some(Message::Request(domain, done)) => self.request(&domain, done),
                    Some(Message::Decided(domain, address, verdict)) => {
                        self.handle(&domain, Input::Decided { address, verdict });
                    }
                    None => return,
                },
                () = sleep(wait.clamp(Duration::from_millis(100), SLEEP_MAX)) => self.wake(),
            }
        }
    }

    fn now(&self) -> u64 {
        self.decider.appliance.clock.now().unix_seconds()
    }

    /// Begins with domains that are new, ends with those that are gone, and checks those again that have changed.
    fn follow(&mut self, config: &Config) {
        self.domains.retain(|name, _| config.domain(name).is_some());
        self.states().retain(|name, _| config.domain(name).is_some());
        for domain in &config.domains {
            let method = Method::of(config, domain);
            match self.domains.get_mut(&domain.name) {
                Some(checked) if checked.method == method => {}
                Some(checked) => {
                    checked.method = method;
                    self.handle(&domain.name, Input::Changed);
                }
                None => self.begin(domain.name.clone(), method),
            }
        }
    }

    fn begin(&mut self, name: DomainName, method: Method) {
        let kept = self.decider.appliance.store.record_of(RecordKind::DomainCheck, name.as_str());
        let kept = kept.ok().flatten().and_then(|bytes| postcard::from_bytes::<State>(&bytes).ok());
        let first = if kept.is_some() { Input::Timeout } else { Input::Changed };
        let state = kept.unwrap_or_default();
        self.states().insert(name.clone(), state.clone());
        let check = Check::new(name.clone(), state);
        self.domains.insert(name.clone(), Checked { method, check, wake: 0, waiting: Vec::new() });
        self.handle(&name, first);
    }

    fn request(&mut self, name: &DomainName, done: oneshot::Sender<()>) {
        // A domain that is gone is over: `done` is dropped.
        let Some(checked) = self.domains.get_mut(name) else { return };
        checked.waiting.push(done);
        self.handle(name, Input::Requested);
    }

    fn wake(&mut self) {
        let now = self.now();
        let due: Vec<DomainName> = self
            .domains
            .iter()
            .filter(|(_, checked)| checked.wake <= now || checked.check.state().next > now + 2 * 86_400)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.handle(&name, Input::Timeout);
        }
    }

    fn handle(&mut self, name: &DomainName, input: Input) {
        let now = self.now();
        let Some(checked) = self.domains.get_mut(name) else { return };
        let random = &self.random;
        let mut fresh = || {
            let mut octets = [0; 8];
            // Without random numbers nothing works: TLS has failed long before.
            let _ = random.fill(&mut octets);
            u64::from_ne_bytes(octets)
        };
        let actions = checked.check.handle(now, input, &mut fresh);
        for action in actions {
            match action {
                Action::Decide(address) => self.decide(name, address),
                Action::Keep => self.keep(name),
                Action::WakeAt(at) => {
                    if let Some(checked) = self.domains.get_mut(name) {
                        checked.wake = at;
                    }
                }
            }
        }
        if let Some(checked) = self.domains.get_mut(name)
            && !checked.check.is_running()
        {
            for done in checked.waiting.drain(..) {
                let _ = done.send(());
            }
        }
    }

    fn decide(&self, name: &DomainName, address: Address) {
        let (decider, inbox, name) = (self.decider.clone(), self.inbox.clone(), name.clone());
        tokio::spawn(async move {
            let config = decider.appliance.config();
            // A domain that is gone is checked no more.
            let Ok(verdict) = decider.decide(&config, None, &address).await else { return };
            if let Some(inbox) = inbox.upgrade() {
                let _ = inbox.send(Message::Decided(name, address, verdict)).await;
            }
        });
    }

    /// Writes down what was found. What cannot be kept is found again at the next start.
    fn keep(&self, name: &DomainName) {
        let Some(checked) = self.domains.get(name) else { return };
        let state = checked.check.state().clone();
        let appliance = &self.decider.appliance;
        if let Some(finding) = &state.finding {
            let fault = if state.validated { None } else { Some(FaultClass::Configuration) };
            let event = appliance.events.event(Kind::DomainChecked).field("domain", name);
            let event = event.field("validated", state.validated).field("why", &finding.reason);
            appliance.events.record(fault.map_or_else(|| event.clone(), |fault| event.clone().fault(fault)));
            let cause = format!("domain {name}");
            if state.validated {
                appliance.alarms.clear(&cause);
            } else {
                appliance.alarms.raise(&cause, &finding.reason.to_string());
            }
        }
        if let Ok(bytes) = postcard::to_allocvec(&state) {
            let records = vec![(name.as_str().into(), Some(bytes))];
            let kept = appliance.store.put_records(RecordKind::DomainCheck, records);
            let events = appliance.events.clone();
            tokio::spawn(async move {
                if let Err(error) = kept.await {
                    let event: Event = events.event(Kind::VerificationUnkept).fault(FaultClass::Resource);
                    events.record(event.field("error", error));
                }
            });
        }
        self.states().insert(name.clone(), state);
    }

    fn states(&self) -> std::sync::MutexGuard<'_, HashMap<DomainName, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
