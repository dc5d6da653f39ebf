//! Answers that are remembered, by count and by their time to live.

use std::{collections::HashMap, time::Duration};

use super::{answer::Answer, question::Question};

/// A bounded map of answers: at most 128 records each, about 1 kB on average. Times are on the caller's monotonic clock.
#[derive(Debug)]
pub(super) struct Cache {
    answers: HashMap<Question, (Duration, Answer)>,
    most: usize,
}

impl Cache {
    /// For at most so many answers.
    pub(super) fn new(most: usize) -> Cache {
        Cache { answers: HashMap::new(), most: most.max(1) }
    }

    pub(super) fn get(&self, question: &Question, now: Duration) -> Option<Answer> {
        let (until, answer) = self.answers.get(question)?;
        (now < *until).then(|| answer.clone())
    }

    pub(super) fn put(&mut self, question: Question, answer: Answer, now: Duration) {
        if answer.ttl.is_zero() {
            return;
        }
        if self.answers.len() >= self.most && !self.answers.contains_key(&question) {
            self.make_room(now);
        }
        self.answers.insert(question, (now + answer.ttl, answer));
    }

    /// Drops what has expired; if that was nothing, the eighth that expires soonest, so that room is made rarely.
    fn make_room(&mut self, now: Duration) {
        self.answers.retain(|_, (until, _)| now < *until);
        if self.answers.len() < self.most {
            return;
        }
        let mut ends: Vec<Duration> = self.answers.values().map(|(until, _)| *until).collect();
        let (_, limit, _) = ends.select_nth_unstable(self.most / 8);
        let limit = *limit;
        let mut surplus = (self.most / 8).max(1);
        self.answers.retain(|_, (until, _)| {
            let drop = surplus > 0 && *until <= limit;
            surplus -= usize::from(drop);
            !drop
        });
    }
}

#[cfg(test)]
mod tests {
    use config_schema::name::DomainName;

    use super::*;
    use crate::dns::{Kind, answer::Outcome};

    const ANSWERS_MAX: usize = 4_096;

    fn question(n: usize) -> Question {
        Question { name: DomainName::parse(&format!("n{n}.example")).unwrap(), kind: Kind::A }
    }

    fn nothing(ttl: u64) -> Answer {
        Answer { outcome: Outcome::NoData, authentic: false, ttl: Duration::from_secs(ttl) }
    }

    #[test]
    fn an_answer_lives_as_long_as_it_says() {
        let mut cache = Cache::new(ANSWERS_MAX);
        cache.put(question(1), nothing(10), Duration::ZERO);
        cache.put(question(2), nothing(0), Duration::ZERO);
        assert!(cache.get(&question(1), Duration::from_secs(9)).is_some());
        assert!(cache.get(&question(1), Duration::from_secs(10)).is_none());
        assert!(cache.get(&question(2), Duration::ZERO).is_none());
    }

    #[test]
    fn the_smallest_cache_holds_the_last_answer() {
        let mut cache = Cache::new(1);
        for n in 0..3 {
            cache.put(question(n), nothing(60), Duration::ZERO);
            assert_eq!(cache.answers.len(), 1);
            assert!(cache.get(&question(n), Duration::ZERO).is_some());
        }
    }

    #[test]
    fn the_cache_never_grows_over_its_limit() {
        let mut cache = Cache::new(ANSWERS_MAX);
        for n in 0..ANSWERS_MAX * 2 {
            cache.put(question(n), nothing(60), Duration::ZERO);
            assert!(cache.answers.len() <= ANSWERS_MAX);
        }
        let last = question(ANSWERS_MAX * 2 - 1);
        assert!(cache.get(&last, Duration::ZERO).is_some());
    }
}
