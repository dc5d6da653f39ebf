//! The answer to a write that is not yet committed.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::{Resource, StoreError};

/// A write on its way: await it, or [`wait`](Pending::wait). Dropping it does not stop the write.
#[must_use = "a write is only durable once its Pending says so"]
pub struct Pending<T>(Arc<Shared<T>>);

/// The writer's half; dropped unanswered, it answers that the store is closed.
pub(crate) struct Answer<T>(Option<Arc<Shared<T>>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

enum State<T> {
    Waiting(Option<Waker>),
    Answered(Result<T, StoreError>),
    Taken,
}

impl<T> Pending<T> {
    /// Blocks until the write is committed or refused. For threads, not for async tasks.
    pub fn wait(self) -> Result<T, StoreError> {
        let mut state = self.0.lock();
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Answered(result) => return result,
                State::Taken => return Err(already_taken()),
                waiting => *state = waiting,
            }
            state = self.0.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A write that was answered before it was begun.
    pub(crate) fn ready(result: Result<T, StoreError>) -> Self {
        let shared = Shared { state: Mutex::new(State::Answered(result)), answered: Condvar::new() };
        Self(Arc::new(shared))
    }

    pub(crate) fn new() -> (Answer<T>, Self) {
        let shared = Shared { state: Mutex::new(State::Waiting(None)), answered: Condvar::new() };
        let shared = Arc::new(shared);
        (Answer(Some(shared.clone())), Self(shared))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Answered(result) => Poll::Ready(result),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Taken => Poll::Ready(Err(already_taken())),
        }
    }
}

fn already_taken() -> StoreError {
    StoreError::Bug("the answer of a write was asked for twice".into())
}

impl<T> Shared<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, result: Result<T, StoreError>) {
        let before = std::mem::replace(&mut *self.lock(), State::Answered(result));
        self.answered.notify_all();
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Answer<T> {
    pub(crate) fn send(mut self, result: Result<T, StoreError>) {
        if let Some(shared) = self.0.take() {
            shared.answer(result);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.answer(Err(Resource::Closed.into()));
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_wakes_threads_and_tasks() {
        let (answer, pending) = Pending::new();
        let waiter = std::thread::spawn(|| pending.wait());
        answer.send(Ok(7));
        assert_eq!(waiter.join().unwrap(), Ok(7));

        let (answer, mut pending) = Pending::new();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
        answer.send(Ok(8));
        assert_eq!(Pin::new(&mut pending).poll(&mut context), Poll::Ready(Ok(8)));
    }

    #[test]
    fn a_dropped_answer_says_closed() {
        let (answer, pending) = Pending::<()>::new();
        drop(answer);
        assert_eq!(pending.wait(), Err(Resource::Closed.into()));
    }
}
