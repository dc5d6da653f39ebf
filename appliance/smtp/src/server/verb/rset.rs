//! RSET (RFC 5321 §4.1.1.5).

use super::{
    super::{dialogue::Dialogue, state::State},
    no_argument,
};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    if !argument.is_empty() {
        return no_argument(turn, state);
    }
    if !turn.idle_command() {
        return turn.too_idle();
    }
    turn.forget(&state);
    turn.say(250, (2, 0, 0), "Ok");
    State::Ready
}
