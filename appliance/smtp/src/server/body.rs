//! The body on its way in: by DATA until its end, by BDAT chunk after chunk.

use bytes::BytesMut;

use super::{
    Action, Answer, CloseReason, EndOfMessage, Question,
    dialogue::Dialogue,
    state::{Asked, Bdat, Body, Chunk, State},
    verb,
};
use crate::{body_scanner::Violation, envelope::BodyKind, reply::Reply};

/// Octets of a refused body that are read so that the reply can be understood, before the connection is closed.
pub(super) const DISCARD_MAX: u64 = 16 * 1024 * 1024;

/// Whether the state can go on without further octets: a chunk that is empty or already here.
pub(super) fn is_complete(state: &State) -> bool {
    match state {
        State::Bdat(Bdat { chunk: Some(chunk), .. }) => chunk.left == 0,
        State::Discard { left, .. } => *left == 0,
        _ => false,
    }
}

/// Takes octets of a body off the input.
pub(super) fn take(turn: &mut Dialogue<'_>, state: State, input: &mut &[u8]) -> State {
    match state {
        State::Data(body) => take_data(turn, body, input),
        State::Bdat(Bdat { body, chunk: Some(chunk) }) => take_chunk(turn, body, chunk, input),
        State::Discard { left, reply, then } => {
            let left = left - skip(input, left);
            if left > 0 {
                return State::Discard { left, reply, then };
            }
            turn.reply(&reply);
            *then
        }
        state => state,
    }
}

fn take_data(turn: &mut Dialogue<'_>, mut body: Body, input: &mut &[u8]) -> State {
    let mut octets = BytesMut::with_capacity(input.len());
    let fed = match body.scanner.feed(input, &mut octets) {
        Ok(fed) => fed,
        Err(violation) => return violated(turn, violation),
    };
    *input = &input[fed.consumed..];
    if !keep(turn, &mut body, octets, fed.consumed as u64) {
        return endless(turn, body.refusal);
    }
    if fed.end { end(turn, body) } else { State::Data(body) }
}

fn take_chunk(turn: &mut Dialogue<'_>, mut body: Body, mut chunk: Chunk, input: &mut &[u8]) -> State {
    let (piece, rest) = input.split_at(usize::try_from(chunk.left).unwrap_or(usize::MAX).min(input.len()));
    *input = rest;
    let mut octets = BytesMut::with_capacity(piece.len() + 1);
    if let Err(violation) = body.scanner.feed(piece, &mut octets) {
        return violated(turn, violation);
    }
    chunk.left -= piece.len() as u64;
    if !keep(turn, &mut body, octets, piece.len() as u64) {
        return endless(turn, body.refusal);
    }
    if chunk.left > 0 {
        return State::Bdat(Bdat { body, chunk: Some(chunk) });
    }
    if chunk.last {
        return match body.scanner.finish() {
            Err(violation) => violated(turn, violation),
            Ok(()) => end(turn, body),
        };
    }
    match &body.refusal {
        Some(reply) => turn.reply(reply),
        None => turn.say(250, (2, 0, 0), &format!("{} octets received", chunk.size)),
    }
    State::Bdat(Bdat { body, chunk: None })
}

/// Hands octets out, unless the body is or becomes refused; false when more was refused than is borne.
fn keep(turn: &mut Dialogue<'_>, body: &mut Body, octets: BytesMut, consumed: u64) -> bool {
    let limits = &turn.config.limits;
    if body.refusal.is_none() {
        body.size += octets.len() as u64;
        if body.size > limits.message_size {
            body.refusal = Some(too_large());
        } else if body.scanner.longest_line() > limits.data_line {
            body.refusal = Some(Reply::new(550, "A line of the message is too long").enhanced(5, 6, 0));
        }
    }
    if body.refusal.is_none() {
        if !octets.is_ascii() {
            body.kind = BodyKind::EightBitMime;
        }
        turn.body(octets.freeze());
        return true;
    }
    body.discarded += consumed;
    body.discarded <= DISCARD_MAX
}

fn endless(turn: &mut Dialogue<'_>, refusal: Option<Reply>) -> State {
    turn.reply(&refusal.unwrap_or_else(too_large));
    turn.close(CloseReason::EndlessBody)
}

/// RFC 1870 §6.
pub(super) fn too_large() -> Reply {
    Reply::new(552, "Message too large").enhanced(5, 3, 4)
}

/// What follows may be a smuggled message: nothing of it is interpreted.
fn violated(turn: &mut Dialogue<'_>, violation: Violation) -> State {
    turn.say(550, (5, 6, 0), &format!("Message refused: it holds {violation}; lines end with CR LF only"));
    turn.close(CloseReason::Body(violation))
}

fn end(turn: &mut Dialogue<'_>, body: Body) -> State {
    if let Some(reply) = body.refusal {
        turn.reply(&reply);
        turn.act(Action::Reset);
        return State::Ready;
    }
    let protocol = turn.protocol(body.transaction.parameters.smtputf8);
    turn.ask(Question::EndOfMessage(EndOfMessage { size: body.size, kind: body.kind, protocol }));
    State::Asked(Asked::EndOfMessage)
}

/// The message is accepted or refused; the session is ready for another.
pub(super) fn answered(turn: &mut Dialogue<'_>, answer: Answer) -> State {
    match verb::decide(answer, Reply::new(250, "Ok").enhanced(2, 0, 0)) {
        Ok(reply) => {
            turn.peer.idle_commands = 0;
            turn.reply(&reply);
        }
        Err(reply) => {
            turn.reply(&reply);
            turn.act(Action::Reset);
        }
    }
    State::Ready
}

/// Takes up to `left` octets off the input; returns how many.
fn skip(input: &mut &[u8], left: u64) -> u64 {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    *input = &input[count..];
    count as u64
}
