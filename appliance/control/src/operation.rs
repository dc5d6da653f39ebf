//! The operations, and what they answer.

mod directory;
mod execute;
mod view;

use serde::{Deserialize, Serialize};
use store::{DeliveryId, Store, StoreError, Timestamp};

pub use directory::{
    CSV_MAX, CountView, CountedStreamView, Directory, DomainCheckView, DomainView, EnrolmentView, ImportMode,
    ImportView, Login, LoginView, LookupView, MappingOutcome, MappingView, ProvisioningView, ROWS_MAX,
    SettingView, StreamView, ValidRecipientView,
};
pub use execute::execute;
pub use view::{DeliveryView, EventView, RecipientView, ReplyView, time};

/// Deliveries that one operation lists or changes at most.
pub const DELIVERIES_MAX: usize = 10_000;

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// How the appliance is.
    Status,
    /// Search the event log.
    Log(LogQuery),
    /// The queue, oldest first.
    QueueList(QueueFilter),
    /// One delivery with its recipients and why it waits.
    QueueShow {
        delivery: String,
    },
    /// Try again at once.
    QueueRetry(Selection),
    /// Keep until released; the text says why.
    QueueHold {
        selection: Selection,
        text: String,
    },
    /// Let held deliveries go on.
    QueueRelease(Selection),
    /// Give up now; senders who want to hear of failures are told.
    QueueBounce(Selection),
    /// Remove without telling anybody.
    QueuePurge(Selection),
    /// The configuration as a file; without a passphrase the secrets are left out.
    ConfigExport {
        passphrase: Option<String>,
    },
    /// Replace the configuration, all or nothing. The name stands in messages about mistakes.
    ConfigImport {
        name: String,
        text: String,
    },
    /// How an address becomes a stream, whether it is real, and what RCPT would be answered.
    Map {
        address: String,
        /// The client's address; without one, a stranger's.
        client: Option<String>,
    },
    /// The domains with what their check found.
    DomainList,
    /// One of them, with the dialogue that shows it.
    DomainShow {
        domain: String,
    },
    /// Re-check domains for validation, all or one, and wait for the answer.
    DomainCheck {
        domain: Option<String>,
    },
    /// Take a domain's redundant verification server out of the configuration.
    DomainRemoveVerificationServer {
        domain: String,
    },
    /// Forget what verification servers said: of an address, of a domain (`@domain`), or all.
    VerificationForget {
        about: Option<String>,
    },
    /// The settings of a stream, and where each value comes from.
    Settings {
        stream: String,
        id: Option<String>,
    },
    /// The streams that exist.
    StreamList {
        realm: Option<String>,
    },
    /// Bring a stream into being before its first mail.
    StreamPrepare {
        stream: String,
    },
    /// Remove a stream with what is its own.
    StreamRemove {
        stream: String,
    },
    /// Distinct streams that received mail in a billing cycle (`2026-11`); without one, in this.
    Provisioning {
        cycle: Option<String>,
    },
    /// The Valid Recipients table, of one stream or all.
    ValidRecipientList {
        stream: Option<String>,
    },
    ValidRecipientAdd {
        stream: String,
        address: String,
    },
    ValidRecipientRemove {
        stream: String,
        address: String,
    },
    /// Import CSV; with a bad line nothing is changed, unless `skip_bad`.
    ValidRecipientImport {
        stream: String,
        csv: String,
        mode: ImportMode,
        skip_bad: bool,
    },
    /// The table as CSV.
    ValidRecipientExport {
        stream: Option<String>,
    },
    /// The user lookups and how each is.
    LookupList,
    /// Read a directory again now.
    LookupSync {
        lookup: String,
    },
    /// Apply a read that was held because it would remove too much.
    LookupConfirm {
        lookup: String,
    },
    /// Check a login.
    LoginCheck(Login),
    /// Offer a user a key for one-time codes.
    LoginEnrol {
        user: String,
    },
    /// Take the key that was offered into use; its recovery codes are shown once.
    LoginConfirm {
        user: String,
        code: String,
    },
    /// Forget a user's second factor.
    LoginReset {
        user: String,
    },
    /// Finish, flush, start again.
    Reboot,
    /// Finish, flush, switch off.
    PowerOff,
}

/// What is looked for in the log. Everything given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogQuery {
    /// Found in kinds, names and values, whatever the case.
    pub text: Option<String>,
    /// A kind, or a prefix of whole words.
    pub kind: Option<String>,
    /// A queue id.
    pub message: Option<String>,
    /// A session id.
    pub session: Option<String>,
    /// RFC 3339; events at or after it.
    pub since: Option<String>,
    /// RFC 3339; events before it.
    pub until: Option<String>,
    /// How many at most; 0 means 100.
    pub limit: usize,
}

/// Which part of the queue is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueFilter {
    pub destination: Option<String>,
    /// Only held ones, or only those that are not.
    pub held: Option<bool>,
    /// How many at most; 0 means 100.
    pub limit: usize,
}

/// Which deliveries are changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    All,
    Deliveries(Vec<String>),
    Destination(String),
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Status(Box<Status>),
    Log(Vec<EventView>),
    Queue {
        deliveries: Vec<DeliveryView>,
        /// Whether more matched than were listed.
        more: bool,
    },
    Delivery(Box<DeliveryView>),
    /// How many deliveries were changed.
    Changed {
        deliveries: usize,
    },
    Configuration(String),
    Mapping(Box<MappingView>),
    Domains(Vec<DomainView>),
    Settings(Vec<SettingView>),
    Streams(Vec<StreamView>),
    Provisioning(Box<ProvisioningView>),
    ValidRecipients(Vec<ValidRecipientView>),
    Import(ImportView),
    Csv(String),
    Lookups(Vec<LookupView>),
    Login(Box<LoginView>),
    Enrolment(EnrolmentView),
    /// How many remembered answers were forgotten.
    Forgotten {
        addresses: usize,
    },
    Done,
}

/// How the appliance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub hostname: String,
    pub addresses: Vec<String>,
    /// SMTP sessions open now.
    pub sessions: u64,
    /// Entries of the queue, and how many of them are held.
    pub queued: u64,
    pub held: u64,
    pub disk: DiskUse,
    /// What an administrator must look at.
    pub alarms: Vec<String>,
}

/// Bytes of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiskUse {
    pub used: u64,
    pub capacity: u64,
    /// Below this much free space no mail is accepted.
    pub reserve: u64,
}

/// Why an operation was not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    #[error("{0}")]
    Malformed(String),
    #[error("this login may not do that")]
    Forbidden,
    #[error("{what} `{id}` does not exist")]
    NotFound { what: String, id: String },
    #[error("the configuration has mistakes:\n{}", .0.join("\n"))]
    Configuration(Vec<String>),
    #[error("the store: {0}")]
    Store(String),
    #[error("{0}")]
    Unavailable(String),
}

/// What the operations need of the running gateway.
pub trait Appliance: Directory {
    fn store(&self) -> &Store;
    fn now(&self) -> Timestamp;
    fn status(&self) -> Status;
    /// The queue was changed from outside: look at it again.
    fn queue_changed(&self);
    /// Gives a delivery up and tells its sender; false if an attempt under way decides instead.
    fn bounce(&self, id: DeliveryId) -> impl Future<Output = Result<bool, StoreError>> + Send;
    fn export(&self, passphrase: Option<&str>) -> Result<String, Refusal>;
    fn import(&self, name: &str, text: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
    fn power(&self, power: Power) -> Result<(), Refusal>;
}

/// What may be done to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    Reboot,
    Off,
}
