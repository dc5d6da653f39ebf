//! Who is behind the next hop, and how it behaves: what the sessions of one double share.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::refusal::Refusal;
use super::tls::Shown;

/// The mail system behind the next hop: its domains and who is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Accepted domains, in lower case.
    pub domains: Vec<String>,
    /// Who is known in them.
    pub recipients: Recipients,
}

/// Whom an accepted domain knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// Everybody: the domain is an *internal relay*.
    Everybody,
    /// An *internal relay* with these addresses in it; mail for others goes back by the domain's MX.
    Elsewhere(BTreeSet<String>),
    /// These addresses, in lower case: the domain is *authoritative*.
    Listed(BTreeSet<String>),
}

/// How the next hop behaves beyond what its tenant says; by default it takes what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// Unknown recipients are refused with the text of before 2024.
    pub older_text: bool,
    /// The directory is out of step: every recipient is unknown.
    pub out_of_step: bool,
    /// The tenant's inbound connector.
    pub connector: Option<Connector>,
    /// What matches no connector and claims a sender in an accepted domain is refused.
    pub reject_direct_send: bool,
    /// So many messages are taken without a connector; then it is busy.
    pub busy_after: Option<u64>,
    /// Everything is refused so.
    pub refuses: Option<Refusal>,
    /// Where a connection breaks.
    pub breaks: Option<Break>,
    /// STARTTLS is not offered.
    pub without_tls: bool,
    /// Recipients whose mail is accepted and reported as undeliverable afterwards, in lower case.
    pub reported_later: BTreeSet<String>,
}

/// An inbound connector of type *Partner* for all senders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connector {
    /// It matches these sources.
    pub addresses: Vec<IpAddr>,
    /// It matches whoever shows a certificate for this name.
    pub certificate: Option<String>,
    /// Only a certificate that is meant for clients counts. Whether Exchange Online asks for that is not documented.
    pub meant_for_clients: bool,
    /// What it does not match is refused (`RestrictDomainsToIPAddresses`, `RestrictDomainsToCertificate`).
    pub restricts: bool,
}

/// Where a connection breaks without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// As soon as TLS is on.
    AfterTls,
    /// After the first line of the message.
    MidData,
    /// After the message, before it is answered. It was not kept.
    BeforeFinalReply,
}

/// Who talks to us.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) address: IpAddr,
    /// What its certificate says.
    pub(super) shown: &'a Shown,
}

/// Tenant and script, which may change while sessions are open.
#[derive(Debug)]
pub struct Organisation(Mutex<State>);

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) tenant: Tenant,
    pub(super) script: Script,
    later: Option<(SystemTime, Tenant)>,
    /// Messages taken.
    pub(super) taken: u64,
}

impl Organisation {
    /// An organisation that behaves as `script` says.
    pub fn new(tenant: Tenant, script: Script) -> Self {
        Organisation(Mutex::new(State { tenant, script, later: None, taken: 0 }))
    }

    /// Behaves so from now on.
    pub fn play(&self, script: Script) {
        self.lock().script = script;
    }

    /// Is another tenant from `at` on: type and recipients of a domain change with delay, and differently on
    /// different front ends.
    pub fn become_at(&self, at: SystemTime, tenant: Tenant) {
        self.lock().later = Some((at, tenant));
    }

    /// What holds at `now`.
    pub(super) fn at(&self, now: SystemTime) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if let Some((_, tenant)) = state.later.take_if(|(at, _)| now >= *at) {
            state.tenant = tenant;
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is said to MAIL instead of yes.
    pub(super) fn refuses_sender(&self) -> Option<Refusal> {
        self.script.refuses.filter(|refusal| refusal.comes_at_mail())
    }

    /// What is said to RCPT instead of yes: the connection is judged first, then the recipient.
    pub(super) fn refuses_recipient(
        &self,
        client: Client<'_>,
        sender: &str,
        recipient: &str,
    ) -> Option<Refusal> {
        let script = &self.script;
        if let Some(refusal) = script.refuses.filter(|refusal| !refusal.comes_at_mail()) {
            return Some(refusal);
        }
        if !self.accepts(domain(recipient)) {
            return Some(Refusal::TenantAttribution);
        }
        let matched = script.connector.as_ref().is_some_and(|connector| connector.matches(client));
        if script.connector.as_ref().is_some_and(|connector| connector.restricts) && !matched {
            return Some(Refusal::ConnectorNotMatched);
        }
        if script.reject_direct_send && !matched && self.accepts(domain(&sender.to_ascii_lowercase())) {
            return Some(Refusal::DirectSend);
        }
        if script.busy_after.is_some_and(|messages| self.taken >= messages) && !matched {
            return Some(Refusal::Busy);
        }
        let known = !script.out_of_step && self.tenant.recipients.take(recipient);
        let unknown = if script.older_text { Refusal::UnknownOlder } else { Refusal::Unknown };
        (!known).then_some(unknown)
    }

    /// Whether mail for `recipient` goes back out by the domain's MX.
    pub(super) fn is_elsewhere(&self, recipient: &str) -> bool {
        matches!(&self.tenant.recipients, Recipients::Elsewhere(known) if !known.contains(recipient))
    }

    fn accepts(&self, domain: &str) -> bool {
        self.tenant.domains.iter().any(|ours| ours == domain)
    }
}

impl Connector {
    fn matches(&self, client: Client<'_>) -> bool {
        let named = self.certificate.as_ref().is_some_and(|name| client.shown.names.contains(name));
        let counts = client.shown.meant_for_clients || !self.meant_for_clients;
        self.addresses.contains(&client.address) || named && counts
    }
}

impl Recipients {
    fn take(&self, address: &str) -> bool {
        match self {
            Recipients::Everybody | Recipients::Elsewhere(_) => true,
            Recipients::Listed(addresses) => addresses.contains(address),
        }
    }
}

pub(super) fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}
