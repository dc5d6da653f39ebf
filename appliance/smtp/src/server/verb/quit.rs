//! QUIT (RFC 5321 §4.1.1.10).

use super::{
    super::{CloseReason, dialogue::Dialogue, state::State},
    no_argument,
};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    if !argument.is_empty() {
        return no_argument(turn, state);
    }
    turn.say(221, (2, 0, 0), "Bye");
    turn.close(CloseReason::Quit)
}
