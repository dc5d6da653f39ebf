//! HELP (RFC 5321 §4.1.1.8).

use super::super::{dialogue::Dialogue, state::State};
use crate::reply::Reply;

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State) -> State {
    if !turn.idle_command() {
        return turn.too_idle();
    }
    let commands = "EHLO HELO MAIL RCPT DATA BDAT STARTTLS RSET NOOP VRFY HELP QUIT";
    turn.reply(&Reply::new(214, commands).enhanced(2, 0, 0).line("See RFC 5321"));
    state
}
