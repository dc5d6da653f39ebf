//! MAIL (RFC 5321 §4.1.1.2).

use super::{
    super::{
        Answer, CloseReason, Mail, Question, body,
        dialogue::Dialogue,
        state::{Asked, State, Transaction},
    },
    decide, out_of_order,
};
use crate::{
    address::ReversePath,
    envelope::{MailParameters, ParameterError},
    reply::Reply,
};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    if !matches!(state, State::Ready) {
        return out_of_order(turn, state, "A message is already under way");
    }
    if turn.peer.name.is_none() {
        return out_of_order(turn, state, "Say EHLO first");
    }
    if turn.peer.messages >= turn.config.limits.messages {
        return turn.close_421("4.7.0 Too many messages, connect again", CloseReason::Messages);
    }
    let mail = match parse(turn, argument) {
        Ok(mail) => mail,
        Err(reply) => return bad_argument(turn, state, &reply),
    };
    if mail.parameters.size.is_some_and(|size| size > turn.config.limits.message_size) {
        turn.reply(&body::too_large());
        return state;
    }
    let transaction = Transaction { parameters: mail.parameters.clone(), recipients: 0 };
    turn.ask(Question::Mail(mail));
    State::Asked(Asked::Mail(transaction))
}

/// The answer to `Question::Mail`.
pub(in crate::server) fn answered(
    turn: &mut Dialogue<'_>,
    transaction: Transaction,
    answer: Answer,
) -> State {
    match decide(answer, Reply::new(250, "Ok").enhanced(2, 1, 0)) {
        Ok(reply) => {
            turn.reply(&reply);
            turn.peer.messages += 1;
            State::Mail(transaction)
        }
        Err(reply) => {
            turn.reply(&reply);
            State::Ready
        }
    }
}

fn parse(turn: &Dialogue<'_>, argument: &str) -> Result<Mail, Reply> {
    let path = strip_keyword(argument, "FROM:")
        .ok_or_else(|| Reply::new(501, "Expected MAIL FROM:<address>").enhanced(5, 5, 4))?;
    let (from, rest) = ReversePath::parse_prefix(path)
        .map_err(|e| Reply::new(501, format!("Bad sender address, {e}")).enhanced(5, 1, 7))?;
    let parameters = MailParameters::parse(rest).map_err(|e| refuse_parameter(&e))?;
    let offered = &turn.config.extensions;
    let dsn = parameters.ret.is_some() || parameters.envid.is_some();
    if (parameters.smtputf8 && !offered.smtputf8)
        || (dsn && !offered.dsn)
        || (!turn.peer.extended && parameters != MailParameters::default())
    {
        return Err(refuse_parameter(&ParameterError::Unknown("of MAIL")));
    }
    // RFC 6531 §3.4: without SMTPUTF8 an address is ASCII.
    if !argument.is_ascii() && !parameters.smtputf8 {
        return Err(Reply::new(553, "A UTF-8 address needs SMTPUTF8").enhanced(5, 6, 7));
    }
    Ok(Mail { from, parameters })
}

/// `FROM:` or `TO:` in any case of letters; spaces behind it are common and harmless.
pub(super) fn strip_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let found = argument.get(..keyword.len())?.eq_ignore_ascii_case(keyword);
    found.then(|| argument[keyword.len()..].trim_start_matches(' '))
}

/// RFC 5321 §4.1.1.11: 555 for a parameter that is not known, 501 for one that is wrong.
pub(super) fn refuse_parameter(error: &ParameterError) -> Reply {
    let code = if matches!(error, ParameterError::Unknown(_)) { 555 } else { 501 };
    Reply::new(code, format!("Refused: {error}")).enhanced(5, 5, 4)
}

/// A malformed argument counts as a bad command.
pub(super) fn bad_argument(turn: &mut Dialogue<'_>, state: State, reply: &Reply) -> State {
    let enhanced = reply.enhanced_code().map_or((5, 5, 4), |code| (code.0, code.1, code.2));
    turn.bad(state, reply.code(), enhanced, &reply.text())
}
