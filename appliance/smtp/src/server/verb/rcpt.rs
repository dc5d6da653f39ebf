//! RCPT (RFC 5321 §4.1.1.3).

use super::{
    super::{
        Answer, CloseReason, Question, Rcpt,
        dialogue::Dialogue,
        state::{Asked, State, Transaction},
    },
    decide,
    mail::{bad_argument, refuse_parameter, strip_keyword},
    out_of_order,
};
use crate::{
    address::ForwardPath,
    envelope::{ParameterError, RcptParameters},
    reply::Reply,
};

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    let transaction = match state {
        State::Mail(transaction) | State::Rcpt(transaction) => transaction,
        State::Bdat(_) => return out_of_order(turn, state, "The message is already on its way"),
        state => return out_of_order(turn, state, "Say MAIL first"),
    };
    let rcpt = match parse(turn, argument, transaction.parameters.smtputf8) {
        Ok(rcpt) => rcpt,
        Err(reply) => return bad_argument(turn, resume(transaction), &reply),
    };
    if transaction.recipients >= turn.config.limits.recipients {
        // RFC 5321 §4.5.3.1.10: the client sends the rest in another transaction.
        turn.say(452, (4, 5, 3), "Too many recipients");
        return resume(transaction);
    }
    turn.ask(Question::Rcpt(rcpt));
    State::Asked(Asked::Rcpt(transaction))
}

/// The answer to `Question::Rcpt`.
pub(in crate::server) fn answered(
    turn: &mut Dialogue<'_>,
    mut transaction: Transaction,
    answer: Answer,
) -> State {
    if matches!(answer, Answer::UnknownRecipient(_)) {
        turn.peer.unknown_recipients += 1;
        if turn.peer.unknown_recipients > turn.config.limits.unknown_recipients {
            return turn.close_421("4.7.0 Too many unknown recipients", CloseReason::UnknownRecipients);
        }
    }
    match decide(answer, Reply::new(250, "Ok").enhanced(2, 1, 5)) {
        Ok(reply) => {
            turn.reply(&reply);
            transaction.recipients += 1;
        }
        Err(reply) => turn.reply(&reply),
    }
    resume(transaction)
}

fn resume(transaction: Transaction) -> State {
    if transaction.recipients == 0 { State::Mail(transaction) } else { State::Rcpt(transaction) }
}

fn parse(turn: &Dialogue<'_>, argument: &str, smtputf8: bool) -> Result<Rcpt, Reply> {
    let path = strip_keyword(argument, "TO:")
        .ok_or_else(|| Reply::new(501, "Expected RCPT TO:<address>").enhanced(5, 5, 4))?;
    if !argument.is_ascii() && !smtputf8 {
        return Err(Reply::new(553, "A UTF-8 address needs SMTPUTF8").enhanced(5, 6, 7));
    }
    let (to, rest) = ForwardPath::parse_prefix(path)
        .map_err(|e| Reply::new(501, format!("Bad recipient address, {e}")).enhanced(5, 1, 3))?;
    let parameters = RcptParameters::parse(rest).map_err(|e| refuse_parameter(&e))?;
    let given = parameters != RcptParameters::default();
    if given && !(turn.config.extensions.dsn && turn.peer.extended) {
        return Err(refuse_parameter(&ParameterError::Unknown("of RCPT")));
    }
    Ok(Rcpt { to, parameters })
}
