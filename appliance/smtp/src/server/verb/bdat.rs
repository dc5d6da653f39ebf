//! BDAT (RFC 3030 §2).

use super::{
    super::{
        Answer, CloseReason, Question,
        body::{DISCARD_MAX, too_large},
        dialogue::Dialogue,
        state::{Asked, Bdat, Body, Chunk, State, Transaction},
    },
    decide,
};
use crate::{body_scanner::BodyScanner, reply::Reply};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    let Some(chunk) = parse(argument) else {
        // How many octets follow cannot be known, so nothing behind this can be understood.
        turn.say(501, (5, 5, 4), "Expected BDAT size [LAST]");
        return turn.close(CloseReason::EndlessBody);
    };
    if chunk.size == 0 && !chunk.last && !turn.idle_command() {
        return turn.too_idle();
    }
    match state {
        State::Rcpt(transaction) => {
            turn.ask(Question::Data);
            State::Asked(Asked::Data(transaction, Some(chunk)))
        }
        State::Bdat(Bdat { body, .. }) => receive(turn, body, chunk),
        State::Mail(_) => {
            discard(turn, state, chunk, Reply::new(554, "No valid recipients").enhanced(5, 5, 1))
        }
        state => discard(turn, state, chunk, Reply::new(503, "Say MAIL first").enhanced(5, 5, 1)),
    }
}

/// The answer to `Question::Data` after the first BDAT.
pub(in crate::server) fn answered(
    turn: &mut Dialogue<'_>,
    transaction: Transaction,
    chunk: Chunk,
    answer: Answer,
) -> State {
    let mut body = Body::new(transaction, BodyScanner::chunks(), turn.now);
    // RFC 3030 §2: after one chunk is refused the others are too, until RSET; else a message would lose its head.
    body.refusal = decide(answer, Reply::new(250, "Ok")).err();
    receive(turn, body, chunk)
}

fn receive(turn: &mut Dialogue<'_>, mut body: Body, chunk: Chunk) -> State {
    if body.refusal.is_none() && body.size.saturating_add(chunk.size) > turn.config.limits.message_size {
        body.refusal = Some(too_large());
    }
    if let Some(reply) = body.refusal.as_ref().filter(|_| chunk.size > DISCARD_MAX) {
        turn.reply(reply);
        return turn.close(CloseReason::EndlessBody);
    }
    State::Bdat(Bdat { body, chunk: Some(chunk) })
}

/// RFC 3030 §2: the octets of a chunk are read even if it may not come now.
fn discard(turn: &mut Dialogue<'_>, state: State, chunk: Chunk, reply: Reply) -> State {
    turn.peer.bad_commands += 1;
    if turn.peer.bad_commands > turn.config.limits.bad_commands {
        return turn.close_421("4.7.0 Too many errors", CloseReason::BadCommands);
    }
    if chunk.size > DISCARD_MAX {
        turn.reply(&reply);
        return turn.close(CloseReason::EndlessBody);
    }
    State::Discard { left: chunk.size, reply, then: Box::new(state) }
}

/// RFC 3030 §2: `chunk-size = 1*DIGIT`. A number beyond 64 bits is beyond every limit.
fn parse(argument: &str) -> Option<Chunk> {
    let (size, last) = match argument.split_once(' ') {
        Some((size, word)) if word.trim_start().eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return None,
        None => (argument, false),
    };
    if size.is_empty() || size.len() > 20 || !size.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = size.parse().unwrap_or(u64::MAX);
    Some(Chunk { size, left: size, last })
}
