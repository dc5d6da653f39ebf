//! What may be asked of DNS for the sake of one message.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Questions and time for one message; what is remembered costs nothing.
#[derive(Debug)]
pub struct Budget {
    questions: AtomicU32,
    until: Instant,
}

impl Budget {
    /// So many questions, answered within `time` from now.
    pub fn new(questions: u32, time: Duration) -> Budget {
        Budget { questions: AtomicU32::new(questions), until: Instant::now() + time }
    }

    /// Takes a question out; returns until when its answer is of use.
    pub(super) fn take(&self) -> Result<Instant, &'static str> {
        let less = |left: u32| left.checked_sub(1);
        let taken = self.questions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(|_| self.until).map_err(|_| "too many questions for one message")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn questions_are_counted() {
        let budget = Budget::new(2, Duration::from_secs(15));
        let end = Instant::now() + Duration::from_secs(15);
        assert_eq!(budget.take(), Ok(end));
        assert_eq!(budget.take(), Ok(end));
        assert_eq!(budget.take(), Err("too many questions for one message"));
    }
}
