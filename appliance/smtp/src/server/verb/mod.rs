//! The commands: one file for each. Every one takes the state and returns the next.

pub(super) mod bdat;
pub(super) mod data;
mod ehlo;
mod expn;
mod helo;
mod help;
pub(super) mod mail;
mod noop;
mod quit;
pub(super) mod rcpt;
mod rset;
mod starttls;
mod unknown;
mod vrfy;

use super::{Answer, dialogue::Dialogue, state::State};
use crate::reply::Reply;

pub(super) use helo::{connected, greeted};

/// Executes a command line without its CR LF.
pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, line: &[u8]) -> State {
    let Ok(line) = std::str::from_utf8(line) else {
        return turn.bad(state, 500, (5, 5, 2), "Neither ASCII nor UTF-8");
    };
    if line.contains(char::is_control) {
        return turn.bad(state, 500, (5, 5, 2), "A command holds no control characters");
    }
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    let argument = argument.trim_matches(' ');
    let mut name = [0; 8];
    match upper_case(verb, &mut name) {
        b"EHLO" => ehlo::execute(turn, state, argument),
        b"HELO" => helo::execute(turn, state, argument),
        b"MAIL" => mail::execute(turn, state, argument),
        b"RCPT" => rcpt::execute(turn, state, argument),
        b"DATA" => data::execute(turn, state, argument),
        b"BDAT" if turn.config.extensions.chunking => bdat::execute(turn, state, argument),
        b"STARTTLS" => starttls::execute(turn, state, argument),
        b"RSET" => rset::execute(turn, state, argument),
        b"NOOP" => noop::execute(turn, state),
        b"VRFY" => vrfy::execute(turn, state, argument),
        b"EXPN" => expn::execute(turn, state),
        b"HELP" => help::execute(turn, state),
        b"QUIT" => quit::execute(turn, state, argument),
        _ => unknown::execute(turn, state),
    }
}

/// RFC 5321 §2.4: verbs in any case of letters. A word longer than any verb comes back empty.
fn upper_case<'a>(verb: &str, name: &'a mut [u8; 8]) -> &'a [u8] {
    let Some(name) = name.get_mut(..verb.len()) else { return &[] };
    name.copy_from_slice(verb.as_bytes());
    name.make_ascii_uppercase();
    name
}

/// The reply to an answer: `Ok` goes on, `Err` does not.
pub(super) fn decide(answer: Answer, usual: Reply) -> Result<Reply, Reply> {
    match answer {
        Answer::Accept => Ok(usual),
        Answer::AcceptWith(reply) if reply.is_positive() => Ok(reply),
        Answer::AcceptWith(_) => Ok(usual),
        Answer::Refuse(reply) | Answer::UnknownRecipient(reply) | Answer::Close(reply) => {
            Err(refusal(&reply))
        }
    }
}

/// A reply that refuses whatever it was meant to be: a 2xx here would lose mail.
pub(super) fn refusal(reply: &Reply) -> Reply {
    if reply.code() >= 400 {
        return reply.clone();
    }
    Reply::new(451, "Local error").enhanced(4, 3, 0)
}

/// Refuses a command that takes no argument but has one (RFC 5321 §4.1.1: 501).
fn no_argument(turn: &mut Dialogue<'_>, state: State) -> State {
    turn.bad(state, 501, (5, 5, 4), "This command takes no argument")
}

/// Refuses a command that may not come now (RFC 5321 §4.1.4: 503).
fn out_of_order(turn: &mut Dialogue<'_>, state: State, text: &str) -> State {
    turn.bad(state, 503, (5, 5, 1), text)
}
