//! The domain check: are random addresses in the domain refused as unknown recipients?
//!
//! It runs the same decision as mail does ([`crate::decision`]), so that the two cannot disagree, and it runs when a
//! domain is added or changed, every day at a time of the domain's own, and on request. Times are seconds since
//! 1970; random numbers are handed in.

mod finding;
mod outcome;
mod remedy;

use config_schema::name::DomainName;
use serde::{Deserialize, Serialize};
use smtp::address::{Address, Host, LocalPart};

pub use finding::{Acceptor, Directory, Exchange, Finding, Reason};

use crate::decision::Verdict;
use outcome::Outcome;

/// Addresses asked after in one round. Microsoft 365 lets an unknown one in now and then: most of them decide.
pub const ADDRESSES: usize = 3;
/// Waits before an address that had no answer is asked after again: longer than greylisting and a restart.
pub const RETRIES: [u64; 4] = [60, 5 * 60, 15 * 60, 30 * 60];
/// How long after a bad round one more address decides whether a validated domain is so no longer.
pub const CONFIRM: u64 = 30 * 60;
/// How long a decision may take before it counts as none.
const PATIENCE: u64 = 5 * 60;
/// Exchanges that a finding shows.
pub const EXCHANGES_MAX: usize = 16;
const DAY: u64 = 86_400;
/// Characters of a random local part, at least and at most.
const LENGTH: (u64, u64) = (20, 32);
/// No vowels: such a text is nobody's name.
const ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";

/// What is kept of a domain's check, for the records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The last finding.
    pub finding: Option<Finding>,
    /// Whether unknown recipients are refused, by the last finding that says either.
    pub validated: bool,
    /// A worse finding on a validated domain, which one more address has to confirm.
    pub doubt: Option<Finding>,
    /// When the check runs next; 0: it has not run yet.
    pub next: u64,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The domain is new, or has another route, verification server, mapping or setting.
    Changed,
    /// Somebody wants to know now.
    Requested,
    /// What [`Action::Decide`] came to.
    Decided {
        /// Of whom.
        address: Address,
        /// What.
        verdict: Verdict,
    },
    /// The moment of the last [`Action::WakeAt`] has come.
    Timeout,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Decide on this recipient as if mail for it came from a stranger.
    Decide(Address),
    /// The state has changed: keep it.
    Keep,
    /// Call with [`Input::Timeout`] at this moment; replaces the moment named before.
    WakeAt(u64),
}

/// The check of one domain.
#[derive(Debug)]
pub struct Check {
    domain: DomainName,
    state: State,
    round: Option<Round>,
}

/// A check under way.
#[derive(Debug)]
struct Round {
    probes: Vec<Probe>,
    dialogue: Vec<Exchange>,
    phase: Phase,
    retries: usize,
    /// Whether a bad finding counts at once.
    final_word: bool,
}

/// What a round waits for, at most until then.
#[derive(Debug)]
enum Phase {
    Decisions { until: u64 },
    Retry { until: u64 },
}

/// One random address.
#[derive(Debug)]
struct Probe {
    address: Address,
    asking: bool,
    outcome: Option<Outcome>,
}

impl Check {
    /// A check with what was kept of it. The first input is [`Input::Timeout`], or [`Input::Changed`] for a new domain.
    pub fn new(domain: DomainName, state: State) -> Check {
        Check { domain, state, round: None }
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether a check is under way.
    pub fn is_running(&self) -> bool {
        self.round.is_some()
    }

    /// Takes what happened; returns what to do, in this order. `random` gives a fresh number at each call.
    pub fn handle(&mut self, now: u64, input: Input, random: &mut dyn FnMut() -> u64) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Changed => {
                self.state.doubt = None;
                self.begin(now, ADDRESSES, true, random, &mut out);
            }
            Input::Requested => self.begin(now, ADDRESSES, !self.state.validated, random, &mut out),
            Input::Decided { address, verdict } => self.decided(now, &address, &verdict, &mut out),
            Input::Timeout => self.timeout(now, random, &mut out),
        }
        let until = self.round.as_ref().map_or(self.state.next, |round| round.phase.until());
        out.push(Action::WakeAt(until.max(now)));
        out
    }

    fn timeout(&mut self, now: u64, random: &mut dyn FnMut() -> u64, out: &mut Vec<Action>) {
        // A clock that was set back must not put a check off by more than its day.
        let due = now >= self.state.next || self.state.next > now.saturating_add(DAY);
        match &mut self.round {
            Some(round) if now < round.phase.until() => {}
            Some(round) => {
                match round.phase {
                    Phase::Decisions { .. } => round.give_up(now),
                    Phase::Retry { .. } => out.extend(round.retry(now)),
                }
                self.go_on(now, out);
            }
            None if !due => {}
            None if self.state.doubt.is_some() => self.begin(now, 1, true, random, out),
            None => self.begin(now, ADDRESSES, !self.state.validated, random, out),
        }
    }

    fn begin(
        &mut self,
        now: u64,
        addresses: usize,
        final_word: bool,
        random: &mut dyn FnMut() -> u64,
        out: &mut Vec<Action>,
    ) {
        let mut probes: Vec<Probe> = Vec::new();
        for _ in 0..addresses {
            let address = random_address(&self.domain, random);
            out.push(Action::Decide(address.clone()));
            probes.push(Probe { address, asking: true, outcome: None });
        }
        let phase = Phase::Decisions { until: now.saturating_add(PATIENCE) };
        self.round = Some(Round { probes, dialogue: Vec::new(), phase, retries: 0, final_word });
    }

    fn decided(&mut self, now: u64, address: &Address, verdict: &Verdict, out: &mut Vec<Action>) {
        let Some(round) = &mut self.round else { return };
        let Some(probe) = round.probes.iter_mut().find(|probe| probe.asking && probe.address == *address)
        else {
            return;
        };
        probe.asking = false;
        probe.outcome = Some(Outcome::of(verdict));
        round.note(Exchange::new(now, address, &outcome::words(verdict)));
        self.go_on(now, out);
    }

    /// Concludes if enough is known, or arranges that it will be.
    fn go_on(&mut self, now: u64, out: &mut Vec<Action>) {
        let Some(round) = &mut self.round else { return };
        if round.probes.iter().any(|probe| probe.asking) {
            return;
        }
        let outcomes: Vec<&Outcome> =
            round.probes.iter().filter_map(|probe| probe.outcome.as_ref()).collect();
        let Some(wait) = RETRIES.get(round.retries) else {
            let reason = outcome::conclude(&outcomes).unwrap_or_else(|| outcome::last_trouble(&outcomes));
            return self.found(now, reason, out);
        };
        match outcome::conclude(&outcomes) {
            Some(reason) => self.found(now, reason, out),
            None => round.phase = Phase::Retry { until: now.saturating_add(*wait) },
        }
    }

    fn found(&mut self, now: u64, reason: Reason, out: &mut Vec<Action>) {
        let Some(round) = self.round.take() else { return };
        let good = reason.validates();
        let finding = Finding { at: now, reason, dialogue: round.dialogue };
        if good == Some(true) || !self.state.validated || round.final_word {
            self.state.validated = good.unwrap_or(self.state.validated);
            self.state.finding = Some(finding);
            self.state.doubt = None;
            self.state.next = daily(&self.domain, now);
        } else {
            self.state.doubt = Some(finding);
            self.state.next = now.saturating_add(CONFIRM);
        }
        out.push(Action::Keep);
    }
}

impl Phase {
    fn until(&self) -> u64 {
        match self {
            Phase::Decisions { until } | Phase::Retry { until } => *until,
        }
    }
}

impl Round {
    /// Those whose decision has not come have none.
    fn give_up(&mut self, now: u64) {
        for at in 0..self.probes.len() {
            if std::mem::take(&mut self.probes[at].asking) {
                self.probes[at].outcome = Some(Outcome::Unreachable);
                let late = Exchange::new(now, &self.probes[at].address, "no decision in time");
                self.note(late);
            }
        }
    }

    /// Asks after the same addresses again: greylisting takes a new one for another message.
    fn retry(&mut self, now: u64) -> Vec<Action> {
        self.retries += 1;
        self.phase = Phase::Decisions { until: now.saturating_add(PATIENCE) };
        let mut actions = Vec::new();
        for probe in &mut self.probes {
            if probe.outcome.as_ref().is_some_and(Outcome::is_trouble) {
                (probe.asking, probe.outcome) = (true, None);
                actions.push(Action::Decide(probe.address.clone()));
            }
        }
        actions
    }

    fn note(&mut self, exchange: Exchange) {
        if self.dialogue.len() < EXCHANGES_MAX {
            self.dialogue.push(exchange);
        }
    }
}

/// An address that nobody has.
fn random_address(domain: &DomainName, random: &mut dyn FnMut() -> u64) -> Address {
    let length = LENGTH.0 + random() % (LENGTH.1 - LENGTH.0 + 1);
    let local: String = (0..length).map(|_| char::from(pick(random()))).collect();
    let local = LocalPart::from_content(&local).expect("letters and digits, and not too long");
    Address::new(local, Host::Name(domain.clone()))
}

fn pick(number: u64) -> u8 {
    let at = usize::try_from(number % ALPHABET.len() as u64).unwrap_or(0);
    ALPHABET[at]
}

/// The next moment after `now` at the domain's own time of day, so that the domains do not all ask at once.
fn daily(domain: &DomainName, now: u64) -> u64 {
    // FNV-1a: the same in every version of the program.
    let hash = domain.as_str().bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let today = now - now % DAY + hash % DAY;
    if today > now { today } else { today.saturating_add(DAY) }
}

#[cfg(test)]
mod tests;
