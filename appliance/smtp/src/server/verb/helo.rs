//! HELO (RFC 5321 §4.1.1.1), and what it has in common with EHLO.

use super::{
    super::{
        Answer, CLIENT_NAME_MAX, ClientName, CloseReason, Helo, Question,
        dialogue::Dialogue,
        state::{Asked, State},
    },
    decide, ehlo, refusal,
};
use crate::{address::Host, reply::Reply};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    hello(turn, state, argument, false)
}

/// Asks about a greeting; whatever transaction there was is over (RFC 5321 §4.1.4).
pub(super) fn hello(turn: &mut Dialogue<'_>, state: State, argument: &str, extended: bool) -> State {
    if turn.more_input {
        return unsynchronised(turn);
    }
    let Some(name) = parse_name(argument) else {
        return turn.bad(state, 501, (5, 5, 4), "Expected a domain or an address literal");
    };
    if !turn.idle_command() {
        return turn.too_idle();
    }
    turn.forget(&state);
    let helo = Helo { name, extended };
    turn.ask(Question::Helo(helo.clone()));
    State::Asked(Asked::Helo(helo))
}

/// RFC 2920 §3.1: EHLO and DATA end a group. Who sends more did not wait for what we say: it is not talking to us.
pub(super) fn unsynchronised(turn: &mut Dialogue<'_>) -> State {
    turn.say(554, (5, 5, 0), "Wait for the reply to this command");
    turn.close(CloseReason::Unsynchronised)
}

fn parse_name(argument: &str) -> Option<ClientName> {
    let visible = |b: u8| (b'!'..=b'~').contains(&b);
    if argument.is_empty() || argument.len() > CLIENT_NAME_MAX || !argument.bytes().all(visible) {
        return None;
    }
    Some(match Host::parse(argument) {
        Ok(host) => ClientName::Host(host),
        // RFC 5321 §4.1.4: a client is not refused because its name is wrong.
        Err(_) => ClientName::Other(argument.into()),
    })
}

/// The answer to `Question::Helo`.
pub(in crate::server) fn greeted(turn: &mut Dialogue<'_>, helo: Helo, answer: Answer) -> State {
    let usual = if helo.extended { ehlo::reply(turn) } else { reply(turn) };
    let accepted = !matches!(answer, Answer::Refuse(_) | Answer::UnknownRecipient(_) | Answer::Close(_));
    if accepted {
        // A reply of the caller's choice would hide the extensions.
        turn.reply(&usual);
        turn.peer.name = Some(helo.name);
        turn.peer.extended = helo.extended;
    } else if let Err(reply) = decide(answer, usual) {
        turn.reply(&reply);
    }
    State::Ready
}

fn reply(turn: &Dialogue<'_>) -> Reply {
    Reply::new(250, turn.config.hostname.as_str())
}

/// The answer to `Question::Connect`: the banner (RFC 5321 §4.2: it begins with our name).
pub(in crate::server) fn connected(turn: &mut Dialogue<'_>, answer: Answer) -> State {
    match answer {
        Answer::Accept | Answer::AcceptWith(_) => {
            turn.reply(&Reply::new(220, format!("{} ESMTP", turn.config.hostname)));
            State::Ready
        }
        Answer::Refuse(reply) | Answer::UnknownRecipient(reply) | Answer::Close(reply) => {
            turn.reply(&refusal(&reply));
            turn.close(CloseReason::Decision)
        }
    }
}
