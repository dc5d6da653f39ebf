//! DATA (RFC 5321 §4.1.1.4).

use super::{
    super::{
        Answer, Question,
        dialogue::Dialogue,
        state::{Asked, Body, State, Transaction},
    },
    decide,
    helo::unsynchronised,
    no_argument, out_of_order,
};
use crate::{body_scanner::BodyScanner, reply::Reply};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    // Also when DATA is refused: what follows is a body that would be taken for commands.
    if turn.more_input {
        return unsynchronised(turn);
    }
    if !argument.is_empty() {
        return no_argument(turn, state);
    }
    match state {
        State::Rcpt(transaction) => {
            turn.ask(Question::Data);
            State::Asked(Asked::Data(transaction, None))
        }
        State::Mail(_) => {
            turn.say(554, (5, 5, 1), "No valid recipients");
            state
        }
        State::Bdat(_) => out_of_order(turn, state, "The message comes by BDAT"),
        state => out_of_order(turn, state, "Say MAIL first"),
    }
}

/// The answer to `Question::Data` after DATA.
pub(in crate::server) fn answered(
    turn: &mut Dialogue<'_>,
    transaction: Transaction,
    answer: Answer,
) -> State {
    let go_on = Reply::new(354, "End data with <CR><LF>.<CR><LF>");
    match decide(answer, go_on.clone()) {
        Ok(_) => {
            turn.reply(&go_on);
            State::Data(Body::new(transaction, BodyScanner::data(), turn.now))
        }
        Err(reply) => {
            turn.reply(&reply);
            State::Rcpt(transaction)
        }
    }
}
