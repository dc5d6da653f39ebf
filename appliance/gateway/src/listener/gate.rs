//! The door: shares the counts of [`Sources`] between sessions and gives a place back when a session ends.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::Time;

use super::sources::{Offence, Refusal, SourceLimits, Sources};

/// A handle on the counts. No lock is held across an await.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Mutex<Sources>>);

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    gate: Gate,
    peer: IpAddr,
}

impl Gate {
    pub fn new(limits: SourceLimits) -> Gate {
        Gate(Arc::new(Mutex::new(Sources::new(limits))))
    }

    pub fn set_limits(&self, limits: SourceLimits) {
        self.sources().set_limits(limits);
    }

    /// Asks for a place for a connection from `peer`.
    pub fn admit(&self, now: Time, peer: IpAddr, known: bool) -> Result<Place, Refusal> {
        self.sources().admit(now, peer, known)?;
        Ok(Place { gate: self.clone(), peer })
    }

    /// How many places are taken.
    pub fn open(&self) -> u32 {
        self.sources().open()
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        // Counts stay sound when a session panics: none is half changed across a call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// See [`Sources::unknown_recipient`].
    pub fn unknown_recipient(&self, now: Time) -> Offence {
        self.gate.sources().unknown_recipient(now, self.peer)
    }

    /// See [`Sources::tarpit`].
    pub fn tarpit(&self, now: Time) -> Duration {
        self.gate.sources().tarpit(now, self.peer)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.sources().release(self.peer);
    }
}
