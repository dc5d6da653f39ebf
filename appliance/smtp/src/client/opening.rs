//! The opening dialogue: greeting, EHLO or HELO, STARTTLS, EHLO again.

use bytes::Bytes;
use config_schema::name::DomainName;

use super::{Extensions, Failure, PeerFault, Stage, TlsPolicy};
use crate::reply::{Class, Reply};

/// What the opening dialogue waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
}

/// What the opening dialogue comes to next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Say(Opening),
    Handshake,
    Ready,
}

impl Opening {
    pub(super) fn command(self, hostname: &DomainName) -> Bytes {
        match self {
            Self::Greeting => Bytes::new(),
            Self::Ehlo => format!("EHLO {hostname}\r\n").into(),
            Self::Helo => format!("HELO {hostname}\r\n").into(),
            Self::StartTls => Bytes::from_static(b"STARTTLS\r\n"),
        }
    }

    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Greeting => Stage::Greeting,
            Self::Ehlo => Stage::Ehlo,
            Self::Helo => Stage::Helo,
            Self::StartTls => Stage::StartTls,
        }
    }

    pub(super) fn reply(
        self,
        reply: Reply,
        policy: TlsPolicy,
        extensions: &mut Extensions,
        tls: bool,
    ) -> Result<Next, Failure> {
        match (self, reply.code()) {
            (Self::Greeting, 220) => Ok(Next::Say(Self::Ehlo)),
            (Self::Ehlo, 250) => {
                *extensions = Extensions::read(&reply);
                opened(extensions, policy, tls)
            }
            // RFC 5321 §3.2: a server that does not know EHLO is greeted with HELO.
            (Self::Ehlo, 500..=504 | 550) => Ok(Next::Say(Self::Helo)),
            (Self::Helo, 250) => opened(extensions, policy, tls),
            (Self::StartTls, 220) => Ok(Next::Handshake),
            (Self::StartTls, 400..) if policy == TlsPolicy::Required => {
                Err(Failure::TlsUnavailable(Some(reply)))
            }
            (Self::StartTls, 400..) => Ok(Next::Ready),
            _ => Err(unexpected(self.stage(), reply)),
        }
    }
}

fn opened(extensions: &Extensions, policy: TlsPolicy, tls: bool) -> Result<Next, Failure> {
    match policy {
        _ if tls => Ok(Next::Ready),
        TlsPolicy::Off => Ok(Next::Ready),
        _ if extensions.starttls => Ok(Next::Say(Opening::StartTls)),
        TlsPolicy::Opportunistic => Ok(Next::Ready),
        TlsPolicy::Required => Err(Failure::TlsUnavailable(None)),
    }
}

/// A refusal if the reply is one, else a breach of the protocol.
pub(super) fn unexpected(stage: Stage, reply: Reply) -> Failure {
    match reply.class() {
        Class::Transient | Class::Permanent => Failure::Refused { stage, reply },
        Class::Positive | Class::Intermediate => Failure::Peer { stage, fault: PeerFault::Unexpected(reply) },
    }
}
