//! STARTTLS (RFC 3207).

use super::{
    super::{Action, CloseReason, dialogue::Dialogue, state::State},
    no_argument, out_of_order,
};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    if !turn.config.extensions.starttls {
        return turn.bad(state, 502, (5, 5, 1), "STARTTLS is not offered");
    }
    // RFC 3207 §4.1.1: plaintext behind the command may be another's. It is not even answered.
    if turn.more_input {
        return turn.close(CloseReason::InjectedPlaintext);
    }
    if turn.peer.tls {
        return out_of_order(turn, state, "TLS is already active");
    }
    if !argument.is_empty() {
        return no_argument(turn, state);
    }
    if turn.peer.name.is_none() {
        return out_of_order(turn, state, "Say EHLO first");
    }
    turn.forget(&state);
    turn.say(220, (2, 0, 0), "Ready to start TLS");
    turn.act(Action::StartTls);
    State::TlsPending
}
