//! What bounds the verification, with the defaults of `[recipients]`.

use std::time::Duration;

use smtp::{
    address::{Address, Host, LocalPart, ReversePath},
    client::{Recipient, Transaction},
    envelope::{MailParameters, RcptParameters},
};

use config_schema::name::DomainName;

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

/// An address that was valid within this time is not refused by one answer alone.
pub const SEEN_VALID: Duration = days(7);

/// Whether a recipient that mail may be refused for is asked after, how often, and how long an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Connections to one server at a time.
    pub connections: usize,
    /// Questions on one connection.
    pub questions: usize,
    /// How long a question waits, and how long a connection may take to open or to answer.
    pub time: Duration,
    /// How long a valid answer is given again without asking.
    pub valid_for: Duration,
    /// How long a refusal is.
    pub invalid_for: Duration,
    /// How long after the first the second refusal must come that ends an address which was valid lately.
    pub second_probe: Duration,
    /// Addresses remembered.
    pub remembered: usize,
    /// Who asks.
    pub sender: ProbeSender,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connections: 2,
            questions: 100,
            time: Duration::from_secs(30),
            valid_for: days(7),
            invalid_for: Duration::from_secs(15 * 60),
            second_probe: Duration::from_secs(10 * 60),
            remembered: 200_000,
            sender: ProbeSender::default(),
        }
    }
}

/// Which sender a question names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeSender {
    /// The null sender; `postmaster@` our host name where a server refuses that.
    #[default]
    Null,
    /// `postmaster@` our host name.
    Postmaster,
}

/// The question as a transaction that ends with RSET, for [`smtp::client::Input::Probe`].
pub fn transaction(sender: ProbeSender, host: &DomainName, addresses: &[Address]) -> Transaction {
    let from = match sender {
        ProbeSender::Null => ReversePath::Null,
        ProbeSender::Postmaster => {
            let local = LocalPart::from_content("postmaster").expect("a local part");
            Address::new(local, Host::Name(host.clone())).into()
        }
    };
    let smtputf8 = !addresses.iter().all(Address::is_ascii);
    let recipient =
        |address: &Address| Recipient { to: address.clone().into(), parameters: RcptParameters::default() };
    Transaction {
        from,
        parameters: MailParameters { smtputf8, ..MailParameters::default() },
        recipients: addresses.iter().map(recipient).collect(),
    }
}
