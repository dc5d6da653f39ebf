//! EHLO (RFC 5321 §4.1.1.1).

use super::{
    super::{dialogue::Dialogue, state::State},
    helo,
};
use crate::reply::Reply;

pub(super) fn execute(turn: &mut Dialogue<'_>, state: State, argument: &str) -> State {
    helo::hello(turn, state, argument, true)
}

/// What is offered. STARTTLS goes once TLS is up (RFC 3207 §4.2).
pub(super) fn reply(turn: &Dialogue<'_>) -> Reply {
    let extensions = &turn.config.extensions;
    let mut reply = Reply::new(250, turn.config.hostname.as_str())
        .line("PIPELINING")
        .line(format!("SIZE {}", turn.config.limits.message_size))
        .line("8BITMIME")
        .line("ENHANCEDSTATUSCODES");
    let starttls = extensions.starttls && !turn.peer.tls;
    for (offered, keyword) in [
        (starttls, "STARTTLS"),
        (extensions.smtputf8, "SMTPUTF8"),
        (extensions.chunking, "CHUNKING"),
        (extensions.dsn, "DSN"),
    ] {
        if offered {
            reply = reply.line(keyword);
        }
    }
    reply.line("HELP")
}
