//! How far the reading has come, as it is kept beside the copy.

use serde::{Deserialize, Serialize};

/// The form of what is kept. Another one is not read.
const VERSION: u8 = 1;

/// What was kept cannot be read, or is another tenant's: the tenant is read afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    /// No state of this version.
    #[error("the kept state of the copy cannot be read")]
    Form,
    /// The configuration names another tenant now.
    #[error("the kept copy is another tenant's")]
    OtherTenant,
    /// An object of the copy.
    #[error("a kept object cannot be read")]
    Object,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) tenant: [u8; 16],
    pub(super) next_generation: u32,
    /// Generations that nothing names any more, still to be removed.
    pub(super) dropping: Vec<u32>,
    pub(super) collections: [CollectionState; 3],
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct CollectionState {
    pub(super) live: Option<LiveState>,
    pub(super) staged: Option<StagedState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LiveState {
    pub(super) generation: u32,
    pub(super) link: Box<str>,
    pub(super) at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StagedState {
    pub(super) generation: u32,
    pub(super) full: bool,
    /// The next page, or where later changes are.
    pub(super) link: Box<str>,
    pub(super) complete: bool,
    pub(super) pages: u32,
}

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(&(VERSION, self)).expect("numbers and texts can be written")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<State, BadState> {
        match postcard::from_bytes::<(u8, State)>(bytes) {
            Ok((VERSION, state)) => Ok(state),
            _ => Err(BadState::Form),
        }
    }
}
