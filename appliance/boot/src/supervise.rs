//! When a role is started, asked, ended and started again: events and time in, actions out.
//!
//! It forks nothing and reads no clock; time is a [`Duration`] since some start that never goes back.

use std::collections::VecDeque;
use std::time::Duration;

use sys::process::Exit;
use sys::status::{Change, FromRole, ToRole};

use crate::role::Role;

/// The life of `net` and `gateway`, which begin and end together: the socket between them is made anew each time.
#[derive(Debug)]
pub struct Supervisor {
    state: State,
    pulses: [Pulse; 2],
    /// Starts in a row that ended before [`HEALTHY`].
    failures: u32,
    deaths: VecDeque<Duration>,
    /// When the alarm about deaths may sound again.
    next_alarm: Duration,
    next_feed: Duration,
    notes: VecDeque<String>,
}

/// What befell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Nothing but time.
    Time,
    /// [`Action::Start`] was done: both live.
    Started,
    /// [`Action::Start`] failed, and neither lives.
    NotStarted(String),
    Exited(Role, Exit),
    Said(Role, FromRole),
    /// What a role sent is no message of ours.
    Babbled(Role),
    /// Somebody with the right to it wants an end.
    Stop(Ending),
    /// Somebody at the console wants the configuration changed.
    Change(Change),
}

/// How it shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    PowerOff,
    Restart,
    /// The data is erased, then the machine starts again.
    Erase,
    /// Hosted: the process ends.
    Exit,
}

/// What to do now, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start both roles; answer with [`Input::Started`] or [`Input::NotStarted`].
    Start,
    Kill(Role),
    Send(Role, ToRole),
    FeedWatchdog,
    /// Both roles serve.
    Ready,
    SetClock {
        unix_seconds: i64,
        nanoseconds: u32,
    },
    MixEntropy([u8; 32]),
    /// For the console page; an empty text removes the line.
    Line {
        label: String,
        text: String,
    },
    /// For people: what happened.
    Event(String),
    /// Flush the disk and end.
    End(Ending),
}

/// First pause before a restart; doubled each time.
pub const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// Longest pause before a restart.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// After so long without a death the next pause is the first one again.
pub const HEALTHY: Duration = Duration::from_secs(600);
/// From one question to the next.
pub const PING_EVERY: Duration = Duration::from_secs(1);
/// A role that serves and does not answer for so long hangs.
pub const PING_LIMIT: Duration = Duration::from_secs(30);
/// A role may be so long at its start: a large store is checked after a power cut.
pub const START_LIMIT: Duration = Duration::from_secs(300);
/// Between two feedings; a third of the shortest watchdog in use, or less.
pub const FEED_EVERY: Duration = Duration::from_secs(5);
/// The gateway has so long to finish and commit when the power goes.
pub const STOP_LIMIT: Duration = Duration::from_secs(20);
/// So many deaths within [`DEATHS_WITHIN`] raise an alarm.
pub const DEATHS_ALARM: usize = 5;
pub const DEATHS_WITHIN: Duration = Duration::from_secs(3_600);
/// Notes kept for a gateway that is not there yet; the oldest go first.
pub const NOTES_MAX: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Neither lives; both are started then.
    Waiting {
        until: Duration,
    },
    /// [`Action::Start`] was given.
    Starting,
    Running {
        since: Duration,
        announced: bool,
    },
    /// What is left of both was killed at that time.
    Clearing {
        since: Duration,
        ending: Option<Ending>,
    },
    /// The gateway was told to finish.
    Stopping {
        deadline: Duration,
        ending: Ending,
    },
    Ended,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pulse {
    alive: bool,
    ready: bool,
    number: u64,
    /// When the question was asked that is not answered yet.
    asked: Option<Duration>,
    next: Duration,
}

impl Supervisor {
    /// The first start is due at once.
    pub fn new(now: Duration) -> Supervisor {
        Supervisor {
            state: State::Waiting { until: now },
            pulses: [Pulse::default(); 2],
            failures: 0,
            deaths: VecDeque::new(),
            next_alarm: now,
            next_feed: now,
            notes: VecDeque::new(),
        }
    }

    /// Takes one input, and does what is due.
    pub fn handle(&mut self, now: Duration, input: Input, out: &mut Vec<Action>) {
        match input {
            Input::Time => {}
            Input::Started => self.started(now),
            Input::NotStarted(why) => {
                self.note(format!("the roles could not be started: {why}"), out);
                self.died(now, out);
                self.wait(now);
            }
            Input::Exited(role, exit) => self.exited(now, role, exit, out),
            Input::Said(role, message) => self.said(now, role, message, out),
            Input::Babbled(role) => {
                self.misbehaved(now, role, format!("{role} sent what is no message"), out);
            }
            Input::Stop(ending) => self.stop(now, ending, out),
            Input::Change(change) => self.change(change, out),
        }
        self.due(now, out);
    }

    /// When [`Input::Time`] is to be given at the latest.
    pub fn deadline(&self) -> Duration {
        let asking = matches!(self.state, State::Running { .. } | State::Stopping { .. });
        let pulses =
            self.pulses.iter().filter(|pulse| asking && pulse.alive).map(|pulse| match pulse.asked {
                Some(asked) => asked + pulse.limit(),
                None => pulse.next,
            });
        let state = match self.state {
            State::Waiting { until } => Some(until),
            State::Stopping { deadline, .. } => Some(deadline),
            _ => None,
        };
        pulses.chain(state).fold(self.next_feed, Duration::min)
    }

    fn started(&mut self, now: Duration) {
        let fresh = Pulse { alive: true, next: now + PING_EVERY, ..Pulse::default() };
        self.pulses = [fresh; 2];
        self.state = State::Running { since: now, announced: false };
    }

    fn exited(&mut self, now: Duration, role: Role, exit: Exit, out: &mut Vec<Action>) {
        self.pulse(role).alive = false;
        match self.state {
            State::Running { since, .. } => {
                if now.saturating_sub(since) >= HEALTHY {
                    self.failures = 0;
                }
                self.note(format!("{role} {exit}"), out);
                self.died(now, out);
                self.clear(now, None, out);
            }
            State::Stopping { ending, .. } => {
                if role == Role::Net || exit != Exit::Code(0) {
                    out.push(Action::Event(format!("{role} {exit} while it was stopped")));
                }
                if role == Role::Gateway {
                    self.clear(now, Some(ending), out);
                }
            }
            _ => {}
        }
    }

    fn said(&mut self, now: Duration, role: Role, message: FromRole, out: &mut Vec<Action>) {
        match (role, message) {
            (_, FromRole::Ready) => {
                let pulse = self.pulse(role);
                pulse.ready = true;
                // What it was asked during a long start is measured by the short limit only from here.
                pulse.asked = pulse.asked.map(|_| now);
                if role == Role::Gateway {
                    out.extend(
                        self.notes.drain(..).map(|note| Action::Send(Role::Gateway, ToRole::Note(note))),
                    );
                }
            }
            (_, FromRole::Pong(number)) => {
                let pulse = self.pulse(role);
                if pulse.number == number && pulse.asked.take().is_some() {
                    pulse.next = now + PING_EVERY;
                }
            }
            (Role::Gateway, FromRole::Event(text)) => out.push(Action::Event(text)),
            (_, FromRole::Console { label, text }) => out.push(Action::Line { label, text }),
            (Role::Gateway, FromRole::SetClock { unix_seconds, nanoseconds }) => {
                out.push(Action::SetClock { unix_seconds, nanoseconds });
            }
            (Role::Gateway, FromRole::Entropy(bytes)) => out.push(Action::MixEntropy(bytes)),
            (Role::Gateway, FromRole::Reboot) => self.stop(now, Ending::Restart, out),
            (Role::Gateway, FromRole::PowerOff) => self.stop(now, Ending::PowerOff, out),
            (Role::Gateway, FromRole::Stopped) => {
                if let State::Stopping { ending, .. } = self.state {
                    self.clear(now, Some(ending), out);
                }
            }
            // Frames of strangers reach `net`: it has no say about the machine.
            (Role::Net, FromRole::Stopped) => {}
            (Role::Net, _) => {
                self.misbehaved(now, role, "net asked for what only gateway may".into(), out);
            }
        }
    }

    fn stop(&mut self, now: Duration, ending: Ending, out: &mut Vec<Action>) {
        match self.state {
            State::Waiting { .. } | State::Starting => self.end(ending, out),
            State::Running { .. } => {
                out.push(Action::Event("stopping".into()));
                out.push(Action::Send(Role::Gateway, ToRole::Shutdown));
                self.state = State::Stopping { deadline: now + STOP_LIMIT, ending };
            }
            State::Clearing { since, .. } => self.state = State::Clearing { since, ending: Some(ending) },
            State::Stopping { .. } | State::Ended => {}
        }
    }

    /// The gateway holds the configuration: nobody else can change it.
    fn change(&mut self, change: Change, out: &mut Vec<Action>) {
        let serves = matches!(self.state, State::Running { .. }) && self.pulse(Role::Gateway).alive;
        out.push(match serves {
            true => Action::Send(Role::Gateway, ToRole::Change(change)),
            false => Action::Event("the gateway does not run: nothing was changed".into()),
        });
    }

    /// What time alone brings about.
    fn due(&mut self, now: Duration, out: &mut Vec<Action>) {
        match self.state {
            State::Waiting { until } if now >= until => {
                self.state = State::Starting;
                out.push(Action::Start);
            }
            State::Running { since, announced: false } if self.pulses.iter().all(|pulse| pulse.ready) => {
                self.state = State::Running { since, announced: true };
                out.push(Action::Ready);
            }
            State::Stopping { deadline, ending } if now >= deadline => {
                let seconds = STOP_LIMIT.as_secs();
                out.push(Action::Event(format!("gateway did not stop within {seconds} s")));
                self.clear(now, Some(ending), out);
            }
            State::Clearing { ending, .. } if self.pulses.iter().all(|pulse| !pulse.alive) => match ending {
                Some(ending) => self.end(ending, out),
                None => self.wait(now),
            },
            _ => {}
        }
        if matches!(self.state, State::Running { .. } | State::Stopping { .. }) {
            for role in Role::ALL {
                self.ask(now, role, out);
            }
        }
        self.feed(now, out);
    }

    fn ask(&mut self, now: Duration, role: Role, out: &mut Vec<Action>) {
        let pulse = self.pulse(role);
        if !pulse.alive {
            return;
        }
        match pulse.asked {
            Some(asked) if now >= asked + pulse.limit() => {
                let seconds = now.saturating_sub(asked).as_secs();
                self.misbehaved(now, role, format!("{role} has not answered for {seconds} s"), out);
            }
            None if now >= pulse.next => {
                pulse.number += 1;
                pulse.asked = Some(now);
                out.push(Action::Send(role, ToRole::Ping(pulse.number)));
            }
            _ => {}
        }
    }

    /// The watchdog is fed while each role answers in time, or is about to be started; not while one hangs that
    /// cannot be killed: then only a reset helps.
    fn feed(&mut self, now: Duration, out: &mut Vec<Action>) {
        if now < self.next_feed {
            return;
        }
        self.next_feed = now + FEED_EVERY;
        let stuck = match self.state {
            State::Clearing { since, .. } => now >= since + PING_LIMIT,
            _ => false,
        };
        if !stuck && self.state != State::Ended {
            out.push(Action::FeedWatchdog);
        }
    }

    /// A role that cannot go on is a death, though it still lives.
    fn misbehaved(&mut self, now: Duration, role: Role, what: String, out: &mut Vec<Action>) {
        match self.state {
            State::Running { .. } => {
                self.note(what, out);
                self.died(now, out);
                self.clear(now, None, out);
            }
            State::Stopping { ending, .. } => {
                out.push(Action::Event(what));
                // Without `net` the gateway can still commit.
                match role {
                    Role::Net => {
                        self.pulse(role).next = Duration::MAX;
                        self.pulse(role).asked = None;
                        out.push(Action::Kill(role));
                    }
                    Role::Gateway => self.clear(now, Some(ending), out),
                }
            }
            _ => {}
        }
    }

    /// Kills what is left of both.
    fn clear(&mut self, now: Duration, ending: Option<Ending>, out: &mut Vec<Action>) {
        for role in Role::ALL {
            if self.pulse(role).alive {
                out.push(Action::Kill(role));
            }
        }
        self.state = State::Clearing { since: now, ending };
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<Action>) {
        self.state = State::Ended;
        out.push(Action::End(ending));
    }

    /// Counts a death, which decides about the pause and the alarm.
    fn died(&mut self, now: Duration, out: &mut Vec<Action>) {
        self.failures = self.failures.saturating_add(1);
        self.deaths.push_back(now);
        while self.deaths.len() > DEATHS_ALARM {
            self.deaths.pop_front();
        }
        let first = self.deaths.front().copied().unwrap_or(now);
        if self.deaths.len() == DEATHS_ALARM && now - first <= DEATHS_WITHIN && now >= self.next_alarm {
            self.next_alarm = now + DEATHS_WITHIN;
            self.note(format!("alarm: the roles died {DEATHS_ALARM} times within an hour"), out);
        }
    }

    fn wait(&mut self, now: Duration) {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = BACK_OFF_FIRST.saturating_mul(1 << doublings).min(BACK_OFF_MAX);
        self.state = State::Waiting { until: now + pause };
    }

    /// Shown now, and kept for the gateway's event log.
    fn note(&mut self, text: String, out: &mut Vec<Action>) {
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back(text.clone());
        out.push(Action::Event(text));
    }

    fn pulse(&mut self, role: Role) -> &mut Pulse {
        match role {
            Role::Net => &mut self.pulses[0],
            Role::Gateway => &mut self.pulses[1],
        }
    }
}

impl Pulse {
    fn limit(&self) -> Duration {
        if self.ready { PING_LIMIT } else { START_LIMIT }
    }
}

#[cfg(test)]
mod tests;
