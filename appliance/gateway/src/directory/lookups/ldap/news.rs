//! What the log and the alarms say of a directory's copy.

use std::time::Duration;

use directory::copy::Copy;
use store::log::FaultClass;

use super::{fault::Fault, keeper::Shared};
use crate::event::Kind;

/// So long without a word from the directory is an alarm.
const STALE: Duration = Duration::from_secs(24 * 3_600);
/// A copy that is as old when the gateway starts has so long to be read again.
const STALE_AT_START: Duration = Duration::from_secs(3_600);

/// What an alarm about a directory is about.
#[derive(Debug, Clone, Copy)]
enum Cause {
    Fault,
    Stale,
    Held,
}

impl Cause {
    const ALL: [Cause; 3] = [Cause::Fault, Cause::Stale, Cause::Held];

    const fn name(self) -> &'static str {
        match self {
            Cause::Fault => "fault",
            Cause::Stale => "stale",
            Cause::Held => "held",
        }
    }
}

impl Shared {
    pub(super) fn tell_read(&self, copy: &Copy) {
        let events = &self.appliance.events;
        let event = events.event(Kind::DirectoryRead).field("lookup", &self.name);
        events.record(event.field("objects", copy.len()).field("addresses", copy.addresses()));
    }

    pub(super) fn tell_held(&self, losses: &str) {
        let events = &self.appliance.events;
        let event = events.event(Kind::DirectoryHeld).fault(FaultClass::Configuration);
        events.record(event.field("lookup", &self.name).field("losses", losses));
    }

    pub(super) fn tell_released(&self) {
        let events = &self.appliance.events;
        events.record(events.event(Kind::DirectoryReleased).field("lookup", &self.name));
    }

    /// Says a fault that was not the last one said.
    pub(super) fn failed(&self, fault: &Fault) {
        if self.standing().fault.replace(fault.clone()).as_ref() != Some(fault) {
            let events = &self.appliance.events;
            let event = events.event(Kind::DirectoryFault).fault(fault.class());
            events.record(event.field("lookup", &self.name).field("why", fault));
        }
    }

    pub(super) fn recovered(&self) {
        if self.standing().fault.take().is_some() {
            let events = &self.appliance.events;
            events.record(events.event(Kind::DirectoryRecovered).field("lookup", &self.name));
        }
    }

    /// Raises the alarms that hold and clears those that are over.
    pub(super) fn look(&self) {
        let set = |what: Cause, text: Option<String>| match text {
            Some(text) => drop(self.appliance.alarms.raise(&self.cause(what), &text)),
            None => drop(self.appliance.alarms.clear(&self.cause(what))),
        };
        set(Cause::Stale, self.silence());
        let standing = self.standing();
        let at_once = standing.fault.as_ref().filter(|fault| fault.class() != FaultClass::Peer);
        set(Cause::Fault, at_once.map(Fault::to_string));
        let held = standing.held.as_ref();
        set(Cause::Held, held.map(|held| format!("a reading waits to be confirmed: {}", held.losses)));
    }

    /// What is wrong with a directory that has been silent for a day.
    fn silence(&self) -> Option<String> {
        let asked = self.directory.standing();
        let clock = &self.appliance.clock;
        let now = clock.elapsed();
        let mut standing = self.standing();
        let read = standing.fault.as_ref().map(Fault::to_string);
        let Some(why) = read.or_else(|| asked.trouble.map(|trouble| trouble.detail)) else {
            standing.wrong_since = None;
            return None;
        };
        let wrong_for = now.since(*standing.wrong_since.get_or_insert(now));
        // It may have been silent long before we began.
        let old = self.copy().age(clock.now().unix_seconds()).is_some_and(|age| age > STALE);
        let since_start = asked.server.is_none() && old && wrong_for > STALE_AT_START;
        (wrong_for > STALE || since_start).then(|| format!("not reached for a day: {why}"))
    }

    fn cause(&self, what: Cause) -> String {
        format!("directory {}: {}", self.name, what.name())
    }

    /// Nobody asks this directory any more: what was wrong with it is no alarm.
    pub(super) fn clear_alarms(&self) {
        for cause in Cause::ALL {
            self.appliance.alarms.clear(&self.cause(cause));
        }
    }
}
