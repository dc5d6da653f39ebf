//! The list of what is to be done that a session fills and its caller empties.

use std::collections::VecDeque;

/// Actions in the order in which they are to be done.
#[derive(Debug)]
pub struct Actions<A>(VecDeque<A>);

impl<A> Actions<A> {
    /// An empty list; meant to be used again and again.
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// The next action.
    pub fn pop(&mut self) -> Option<A> {
        self.0.pop_front()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All actions, from the first.
    pub fn drain(&mut self) -> impl Iterator<Item = A> + '_ {
        self.0.drain(..)
    }

    pub(crate) fn push(&mut self, action: A) {
        self.0.push_back(action);
    }
}

impl<A> Default for Actions<A> {
    fn default() -> Self {
        Self::new()
    }
}
