//! A task that ends with its handle, or before.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;

/// The handle. What the task has handed to the store is written nevertheless.
#[derive(Debug)]
pub(crate) struct Task(Mutex<Option<JoinHandle<()>>>);

impl Task {
    pub(crate) fn new(running: JoinHandle<()>) -> Task {
        Task(Mutex::new(Some(running)))
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.abort();
            // It was ended, or had come to its end.
            let _ = running.await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(running) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            running.abort();
        }
    }
}
