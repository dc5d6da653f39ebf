//! Whatever is no command of ours.

use super::super::{dialogue::Dialogue, state::State};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State) -> State {
    turn.bad(state, 500, (5, 5, 1), "Unknown command")
}
