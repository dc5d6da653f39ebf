//! EXPN: not implemented, and never will be (RFC 5321 §7.3).

use super::super::{dialogue::Dialogue, state::State};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State) -> State {
    if !turn.idle_command() {
        return turn.too_idle();
    }
    turn.say(502, (5, 5, 1), "EXPN is not offered");
    state
}
