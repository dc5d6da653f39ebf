//! NOOP, with any argument (RFC 5321 §4.1.1.9).

use super::super::{dialogue::Dialogue, state::State};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State) -> State {
    if !turn.idle_command() {
        return turn.too_idle();
    }
    turn.say(250, (2, 0, 0), "Ok");
    state
}
