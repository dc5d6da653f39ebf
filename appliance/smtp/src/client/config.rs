//! What a client session is told at its beginning.

use crate::reply::REPLY_LINE_MAX;
use std::time::Duration;

use config_schema::name::DomainName;

use super::Stage;

/// The settings of a session.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Our name in EHLO.
    pub hostname: DomainName,
    /// Whether STARTTLS is used.
    pub tls: TlsPolicy,
    /// Octets of a line of a reply, with its end.
    pub reply_line: usize,
    /// How long the server is waited for.
    pub timeouts: Timeouts,
}

/// Whether STARTTLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Never, such as when a handshake failed before.
    Off,
    /// If it is offered.
    Opportunistic,
    /// Or nothing is sent.
    Required,
}

/// How long the server is waited for (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the greeting, §4.5.3.2.1.
    pub greeting: Duration,
    /// For the replies to EHLO, HELO, STARTTLS and RSET.
    pub helo: Duration,
    /// For the TLS handshake.
    pub tls: Duration,
    /// For the reply to MAIL, §4.5.3.2.2.
    pub mail: Duration,
    /// For the reply to each RCPT, §4.5.3.2.3.
    pub rcpt: Duration,
    /// For the reply to DATA, §4.5.3.2.4.
    pub data: Duration,
    /// For each piece of the body to be read and written, §4.5.3.2.5.
    pub data_block: Duration,
    /// For the reply to the end of data, §4.5.3.2.6.
    pub end_of_data: Duration,
    /// For the reply to QUIT: nothing hangs on it.
    pub quit: Duration,
    /// Until the next transaction, before QUIT.
    pub idle: Duration,
}

impl ClientConfig {
    /// Opportunistic TLS and the usual times.
    pub fn new(hostname: DomainName) -> Self {
        Self {
            hostname,
            tls: TlsPolicy::Opportunistic,
            reply_line: REPLY_LINE_MAX,
            timeouts: Timeouts::default(),
        }
    }
}

impl Timeouts {
    /// How long a stage may last.
    pub(super) const fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting => self.greeting,
            Stage::Ehlo | Stage::Helo | Stage::StartTls | Stage::Rset => self.helo,
            Stage::Tls => self.tls,
            Stage::Idle => self.idle,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.rcpt,
            Stage::Data => self.data,
            Stage::Body => self.data_block,
            Stage::EndOfData => self.end_of_data,
            Stage::Quit => self.quit,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            greeting: 5 * MINUTE,
            helo: 5 * MINUTE,
            tls: MINUTE,
            mail: 5 * MINUTE,
            rcpt: 5 * MINUTE,
            data: 2 * MINUTE,
            data_block: 3 * MINUTE,
            end_of_data: 10 * MINUTE,
            quit: Duration::from_secs(10),
            idle: MINUTE,
        }
    }
}
