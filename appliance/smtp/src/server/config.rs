//! What a server session is told at its beginning.

use std::time::Duration;

use config_schema::name::DomainName;

/// The settings of a session; shared by all sessions of a listener.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Our name in the banner and in the reply to EHLO.
    pub hostname: DomainName,
    /// What is offered beside PIPELINING, SIZE, 8BITMIME and ENHANCEDSTATUSCODES, which always are.
    pub extensions: Extensions,
    /// How much is accepted.
    pub limits: Limits,
    /// How long a peer is waited for.
    pub timeouts: Timeouts,
}

/// Extensions that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extensions {
    /// STARTTLS (RFC 3207): a certificate is at hand.
    pub starttls: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
}

/// How much is accepted; each has a test at and beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command line with its CR LF. RFC 5321 §4.5.3.1.4 says 512, to which extensions add.
    pub command_line: usize,
    /// Commands in a session that are unknown, malformed or out of order, before 421.
    pub bad_commands: u32,
    /// Commands without mail (NOOP, RSET, HELP, VRFY, EHLO…) since the last message, before 421.
    pub idle_commands: u32,
    /// Recipients of a message that are accepted; further ones get 452 4.5.3.
    pub recipients: u32,
    /// Recipients in a session that were answered with `UnknownRecipient`, before 421.
    pub unknown_recipients: u32,
    /// Transactions on a connection, before 421.
    pub messages: u32,
    /// Octets of a message as it is after unstuffing.
    pub message_size: u64,
    /// Octets of a line in data without its CR LF.
    pub data_line: usize,
}

/// How long a peer is waited for (RFC 5321 §4.5.3.2.7: at least 5 minutes for a command).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection until its question is answered: the banner follows at once.
    pub banner: Duration,
    /// From our last reply until the next command is whole; half a command does not extend it.
    pub command: Duration,
    /// Between two pieces of data.
    pub data_block: Duration,
    /// From the first octet of data to its end.
    pub data: Duration,
    /// For the TLS handshake.
    pub tls: Duration,
    /// For the answer to a question: below the 5 minutes that a client waits for MAIL and RCPT.
    pub answer: Duration,
    /// For the answer to `EndOfMessage`: below the 10 minutes that a client waits for it.
    pub end_of_message: Duration,
}

impl ServerConfig {
    /// All extensions but STARTTLS, with the usual limits.
    pub fn new(hostname: DomainName) -> Self {
        Self {
            hostname,
            extensions: Extensions::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Extensions {
    fn default() -> Self {
        Self { starttls: false, smtputf8: true, chunking: true, dsn: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line: 2048,
            bad_commands: 10,
            idle_commands: 100,
            recipients: 1000,
            unknown_recipients: 20,
            messages: 100,
            message_size: 150_000_000,
            data_line: 1_000_000,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            banner: 4 * MINUTE,
            command: 5 * MINUTE,
            data_block: 3 * MINUTE,
            data: 60 * MINUTE,
            tls: MINUTE / 2,
            answer: 4 * MINUTE,
            end_of_message: 9 * MINUTE,
        }
    }
}
