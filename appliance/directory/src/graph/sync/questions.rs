//! Direct questions about single addresses that the copy does not know: few, and their answers remembered.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use smtp::Time;

/// Questions that wait.
pub const QUESTIONS_MAX: usize = 64;
/// Answers that are remembered.
pub const REMEMBERED_MAX: usize = 10_000;
/// How long an address is remembered that is there; a sync brings it before that.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// How long one is remembered that is not: a new account is not to wait for long.
const UNKNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// Questions at once after a quiet time.
const BURST: u32 = 20;
/// One more for each of these.
const EVERY: Duration = Duration::from_secs(2);

/// Whose an address is: the stream, and what vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) stream: Box<str>,
    pub(super) because: Box<str>,
}

#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: VecDeque<Box<str>>,
    remembered: HashMap<Box<str>, (Time, Option<Owner>)>,
    /// The keys of what is remembered, the oldest first.
    order: VecDeque<Box<str>>,
    spent: u32,
    /// When the last one of the spent ones comes back.
    refilled: Time,
}

impl Questions {
    /// What is remembered of an address.
    pub(super) fn remembered(&self, address: &str, now: Time) -> Option<Option<&Owner>> {
        let (until, owner) = self.remembered.get(address)?;
        (now < *until).then_some(owner.as_ref())
    }

    /// Takes a question. False where it must not be asked now.
    pub(super) fn ask(&mut self, address: &str, now: Time) -> bool {
        if self.waiting.iter().any(|waiting| &**waiting == address) {
            return true;
        }
        let back = u32::try_from(now.since(self.refilled).as_secs() / EVERY.as_secs()).unwrap_or(u32::MAX);
        if back > 0 {
            self.spent = self.spent.saturating_sub(back);
            self.refilled = now;
        }
        if self.waiting.len() >= QUESTIONS_MAX || self.spent >= BURST {
            return false;
        }
        self.spent += 1;
        self.waiting.push_back(address.into());
        true
    }

    pub(super) fn next(&self) -> Option<&str> {
        self.waiting.front().map(|address| &**address)
    }

    pub(super) fn is_waiting(&self, address: &str) -> bool {
        self.waiting.iter().any(|waiting| &**waiting == address)
    }

    /// The question is answered.
    pub(super) fn answered(&mut self, address: &str, owner: Option<Owner>, now: Time) {
        self.waiting.retain(|waiting| &**waiting != address);
        let until = now + if owner.is_some() { KNOWN_FOR } else { UNKNOWN_FOR };
        if self.remembered.insert(address.into(), (until, owner)).is_none() {
            self.order.push_back(address.into());
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.remembered.remove(&oldest);
        }
    }

    /// Nobody can say; whoever waits is not kept longer.
    pub(super) fn fail(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    fn owner() -> Option<Owner> {
        Some(Owner { stream: "ann".into(), because: "user".into() })
    }

    #[test]
    fn questions_are_few() {
        let mut questions = Questions::default();
        let asked = (0..100).filter(|n| questions.ask(&format!("a{n}"), at(0))).count();
        assert_eq!(asked, BURST as usize);
        assert!(questions.ask("a0", at(0)), "joined to the one that waits");
        assert!(!questions.ask("b", at(1)) && questions.ask("b", at(2)) && !questions.ask("c", at(2)));
        // However fast they come back: there is a most that waits.
        let asked = (0..1_000).filter(|n| questions.ask(&format!("d{n}"), at(1_000 * n))).count();
        assert_eq!(asked, QUESTIONS_MAX - BURST as usize - 1);
        questions.fail();
        assert_eq!(questions.next(), None);
    }

    #[test]
    fn answers_are_remembered_for_a_time_and_up_to_a_number() {
        let mut questions = Questions::default();
        assert!(questions.ask("ann@x", at(0)));
        assert_eq!(questions.next(), Some("ann@x"));
        questions.answered("ann@x", owner(), at(0));
        questions.answered("bob@x", None, at(0));
        assert_eq!(questions.next(), None);
        assert_eq!(questions.remembered("ann@x", at(3_599)), Some(owner().as_ref()));
        assert_eq!(questions.remembered("ann@x", at(3_600)), None);
        assert_eq!(questions.remembered("bob@x", at(599)), Some(None));
        assert_eq!(questions.remembered("bob@x", at(600)), None);
        for n in 0..REMEMBERED_MAX {
            questions.answered(&format!("{n}@x"), None, at(0));
        }
        assert_eq!(questions.remembered.len(), REMEMBERED_MAX);
        assert_eq!(questions.remembered("ann@x", at(0)), None);
    }
}
