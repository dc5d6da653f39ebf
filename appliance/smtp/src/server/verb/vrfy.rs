//! VRFY: neither confirmed nor denied (RFC 5321 §3.5.3, §7.3).

use super::super::{dialogue::Dialogue, state::State};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    if argument.is_empty() {
        return turn.bad(state, 501, (5, 5, 4), "Expected VRFY name");
    }
    if !turn.idle_command() {
        return turn.too_idle();
    }
    turn.say(252, (2, 0, 0), "Cannot verify, but will take a message and try");
    state
}
