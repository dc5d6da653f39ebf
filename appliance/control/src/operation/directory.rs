//! The operations on recipients, streams, domains, user lookups and logins, and what they show.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Refusal;

/// Rows that one list shows at most.
pub const ROWS_MAX: usize = 100_000;
/// Longest CSV that one import takes, in bytes: half a million addresses.
pub const CSV_MAX: usize = 16 << 20;

/// Why an address is real or not, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingView {
    /// As it is compared.
    pub address: String,
    /// `realm:stream`, where one was found.
    pub stream: Option<String>,
    pub outcome: MappingOutcome,
    /// What RCPT is answered.
    pub reply: String,
    /// How it came about, a step each, in order.
    pub trace: Vec<String>,
}

/// What RCPT comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MappingOutcome {
    Accepted,
    Refused,
    Deferred,
}

/// A domain on the page My Domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainView {
    pub domain: String,
    pub realm: String,
    pub mapping: String,
    pub route: Vec<String>,
    pub verification_server: Option<String>,
    pub check: Option<DomainCheckView>,
    /// What to publish as MX; only while the domain is validated.
    pub mx: Option<String>,
    /// What an administrator should know, such as an entry that is of no more use.
    pub notes: Vec<String>,
}

/// What the domain check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCheckView {
    pub validated: bool,
    pub at: String,
    /// One word, such as `accepts-all`.
    pub reason: String,
    pub explanation: String,
    pub remedy: Option<String>,
    /// The dialogue that shows it, a line each.
    pub evidence: Vec<String>,
}

/// A stream that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamView {
    pub stream: String,
    pub created_at: String,
    pub last_mail_at: Option<String>,
    /// Settings of its own in the configuration.
    pub own_settings: usize,
}

/// A setting's value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingView {
    pub id: String,
    pub about: String,
    pub value: String,
    /// A stream, or `built-in`.
    pub from: String,
}

/// The page Provisioning for one billing cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisioningView {
    /// `2026-11`, the month in which the cycle begins.
    pub cycle: String,
    pub domains: Vec<CountView>,
    pub realms: Vec<CountView>,
    pub streams: Vec<CountedStreamView>,
    /// Cycles for which there are counts, newest first.
    pub cycles: Vec<String>,
}

/// Distinct streams that received mail, of one domain or realm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountView {
    pub name: String,
    /// `None`: the domain is not validated, and nothing is counted for it.
    pub streams: Option<u64>,
}

/// A stream that was counted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedStreamView {
    pub stream: String,
    pub domain: String,
    pub first_at: String,
    pub last_at: String,
    pub messages: u64,
    /// The address that was counted first, and what vouched for it.
    pub because: String,
}

/// An entry of the Valid Recipients table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidRecipientView {
    pub stream: String,
    pub address: String,
    pub by: String,
}

/// What an import of Valid Recipients came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportView {
    pub added: usize,
    pub removed: usize,
    /// `line N: what is wrong`; nothing was imported if there are any, unless that was asked for.
    pub mistakes: Vec<String>,
    pub imported: bool,
}

/// A user lookup and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupView {
    pub name: String,
    pub realm: String,
    pub method: String,
    /// Addresses in the local copy, for methods that keep one.
    pub addresses: Option<u64>,
    /// When the copy was last known to be whole.
    pub synced_at: Option<String>,
    pub state: String,
    /// What waits for the administrator, such as a read that would remove too much.
    pub held: Option<String>,
    pub alarms: Vec<String>,
}

/// What a login came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginView {
    pub user: String,
    pub accepted: bool,
    /// What decided, for people.
    pub because: String,
    pub realm: Option<String>,
    pub role: Option<String>,
    pub home_stream: Option<String>,
    pub streams: Vec<String>,
    /// Until when further attempts of this account or source are turned away.
    pub wait_seconds: Option<u64>,
}

/// What is asked to log in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub user: String,
    pub password: String,
    /// A one-time code or a recovery code.
    pub code: Option<String>,
    /// The client's address; attempts are counted for it.
    pub source: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// A second factor that is being set up.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentView {
    pub user: String,
    /// What an authenticator reads: the key, shown once.
    pub url: Option<String>,
    /// Each replaces one code, once; shown once.
    pub recovery_codes: Vec<String>,
}

impl std::fmt::Debug for EnrolmentView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolmentView").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Which entries of the Valid Recipients table an import leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportMode {
    /// What is there stays.
    Add,
    /// What is not in the file is removed.
    Replace,
}

/// What the operations need of the running gateway's directory.
pub trait Directory: Send + Sync {
    fn map(
        &self,
        address: &str,
        client: Option<IpAddr>,
    ) -> impl Future<Output = Result<MappingView, Refusal>> + Send;

    /// All domains, or the named one.
    fn domains(&self, name: Option<&str>) -> Result<Vec<DomainView>, Refusal>;
    /// Runs the check now and waits for what it finds.
    fn check_domains(
        &self,
        name: Option<&str>,
    ) -> impl Future<Output = Result<Vec<DomainView>, Refusal>> + Send;
    /// Takes a redundant verification server out of the configuration.
    fn remove_verification_server(&self, domain: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// Forgets what verification servers said, of one address, of one domain (`@domain`), or of all.
    fn forget(&self, what: Option<&str>) -> impl Future<Output = Result<usize, Refusal>> + Send;

    fn settings(&self, stream: &str, id: Option<&str>) -> Result<Vec<SettingView>, Refusal>;
    fn streams(&self, realm: Option<&str>) -> Result<Vec<StreamView>, Refusal>;
    fn prepare_stream(&self, stream: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
    fn remove_stream(&self, stream: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
    fn provisioning(&self, cycle: Option<&str>) -> Result<ProvisioningView, Refusal>;

    fn valid_recipients(&self, stream: Option<&str>) -> Result<Vec<ValidRecipientView>, Refusal>;
    fn change_valid_recipient(
        &self,
        stream: &str,
        address: &str,
        listed: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
    fn import_valid_recipients(
        &self,
        stream: &str,
        csv: &str,
        mode: ImportMode,
        skip_bad: bool,
    ) -> impl Future<Output = Result<ImportView, Refusal>> + Send;
    fn export_valid_recipients(&self, stream: Option<&str>) -> Result<String, Refusal>;

    fn lookups(&self) -> Vec<LookupView>;
    /// Reads the directory again now.
    fn sync_lookup(&self, name: &str) -> impl Future<Output = Result<LookupView, Refusal>> + Send;
    /// Applies a read that was held because it would remove too much.
    fn confirm_lookup(&self, name: &str) -> impl Future<Output = Result<LookupView, Refusal>> + Send;

    fn enrol(&self, user: &str) -> impl Future<Output = Result<EnrolmentView, Refusal>> + Send;
    fn confirm_enrolment(
        &self,
        user: &str,
        code: &str,
    ) -> impl Future<Output = Result<EnrolmentView, Refusal>> + Send;
    fn reset_second_factor(&self, user: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
    fn login(&self, login: &Login) -> impl Future<Output = Result<LoginView, Refusal>> + Send;
}
