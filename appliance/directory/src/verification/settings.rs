//! What bounds the verification: the configuration's `[recipients]`.

use std::time::Duration;

use smtp::{
    address::{Address, Host, LocalPart, ReversePath},
    client::{Recipient, Transaction},
    envelope::{MailParameters, RcptParameters},
};

use config_schema::{Config, ProbeSender, Recipients, name::DomainName};

/// An address that was valid within this time is not refused by one answer alone.
pub const SEEN_VALID: Duration = Duration::from_secs(7 * 86_400);

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
    /// Who asks first. Where a server refuses the null sender, postmaster asks from then on.
    pub sender: ProbeSender,
}

impl Settings {
    /// What the configuration says.
    pub fn of(config: &Config) -> Settings {
        Settings::new(&config.recipients, config.probe_sender)
    }

    fn new(recipients: &Recipients, sender: ProbeSender) -> Settings {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Settings {
            connections: count(recipients.probe_connections),
            questions: count(recipients.probe_questions),
            time: recipients.probe_time.duration(),
            valid_for: recipients.valid_for.duration(),
            invalid_for: recipients.invalid_for.duration(),
            second_probe: recipients.second_probe.duration(),
            remembered: count(recipients.remembered),
            sender,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::new(&Recipients::default(), ProbeSender::default())
    }
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
