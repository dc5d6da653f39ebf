//! `postern ctl` and `postern log`: operations of a running hosted appliance.

mod directory;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use control::{
    Operation,
    operation::{LogQuery, Outcome, QueueFilter, Selection},
    print, wire,
};

use super::{refused, run::control_socket};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The disk of the hosted appliance.
    #[arg(long, value_name = "FILE")]
    disk: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    operation: Words,
}

#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// The disk of the hosted appliance.
    #[arg(long, value_name = "FILE")]
    disk: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    query: QueryWords,
}

impl From<LogArguments> for Arguments {
    fn from(log: LogArguments) -> Arguments {
        Arguments { disk: log.disk, json: log.json, operation: Words::Log(log.query) }
    }
}

#[derive(Debug, Subcommand)]
enum Words {
    /// How the appliance is.
    Status,
    /// Search the event log.
    Log(QueryWords),
    /// Look at the queue or change it.
    #[command(subcommand)]
    Queue(QueueWords),
    /// Export or import the configuration.
    #[command(subcommand)]
    Config(ConfigWords),
    /// Explain how an address becomes a stream, whether it is real, and what RCPT would be answered.
    Map(directory::MapWords),
    /// Domains: what their checks found, and what to publish as MX.
    #[command(subcommand)]
    Domain(directory::DomainWords),
    /// What verification servers said of recipients.
    #[command(subcommand)]
    Verification(directory::VerificationWords),
    /// Streams and their settings.
    #[command(subcommand)]
    Stream(directory::StreamWords),
    /// Distinct streams that received mail in a billing cycle.
    Provisioning {
        /// The month in which the cycle begins, such as 2026-11; without one, this cycle.
        cycle: Option<String>,
    },
    /// The Valid Recipients table, which setting S-700 enforces.
    #[command(subcommand)]
    ValidRecipient(directory::ValidRecipientWords),
    /// User lookups: how each directory is, read it again.
    #[command(subcommand)]
    Lookup(directory::LookupWords),
    /// Check logins; set up and reset one-time codes.
    #[command(subcommand)]
    Login(directory::LoginWords),
    /// Finish, flush, start again.
    Reboot,
    /// Finish, flush, switch off.
    PowerOff,
}

#[derive(Debug, Args)]
struct QueryWords {
    /// Text in kinds, names and values, whatever the case.
    query: Option<String>,
    /// A kind such as `delivery`, or a longer one such as `delivery.deferred`.
    #[arg(long)]
    kind: Option<String>,
    /// A queue id.
    #[arg(long)]
    message: Option<String>,
    /// A session id.
    #[arg(long)]
    session: Option<String>,
    /// Events at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Events before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Subcommand)]
enum QueueWords {
    /// The entries, oldest first.
    List {
        #[arg(long)]
        destination: Option<String>,
        /// Only held entries.
        #[arg(long)]
        held: bool,
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One entry with its recipients.
    Show { delivery: String },
    /// Try again at once.
    Retry(SelectionWords),
    /// Keep until released.
    Hold {
        #[command(flatten)]
        selection: SelectionWords,
        /// Why, for whoever finds it.
        #[arg(long, default_value = "held by an administrator")]
        reason: String,
    },
    /// Let held entries go on.
    Release(SelectionWords),
    /// Give up now, and tell the senders who want to hear of failures.
    Bounce(SelectionWords),
    /// Remove without telling anybody.
    Purge(SelectionWords),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SelectionWords {
    /// Entries by their id.
    deliveries: Vec<String>,
    /// Every entry.
    #[arg(long)]
    all: bool,
    /// Every entry of one destination.
    #[arg(long)]
    destination: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigWords {
    /// Print the configuration in force.
    Export,
    /// Replace it, all or nothing.
    Import { file: PathBuf },
}

impl From<SelectionWords> for Selection {
    fn from(words: SelectionWords) -> Selection {
        match words.destination {
            Some(destination) => Selection::Destination(destination),
            None if words.all => Selection::All,
            None => Selection::Deliveries(words.deliveries),
        }
    }
}

impl From<QueryWords> for LogQuery {
    fn from(words: QueryWords) -> LogQuery {
        LogQuery {
            text: words.query,
            kind: words.kind,
            message: words.message,
            session: words.session,
            since: words.since,
            until: words.until,
            limit: words.limit,
        }
    }
}

fn operation(words: Words) -> std::io::Result<Operation> {
    Ok(match words {
        Words::Status => Operation::Status,
        Words::Log(query) => Operation::Log(query.into()),
        Words::Queue(words) => queue(words),
        Words::Config(ConfigWords::Export) => Operation::ConfigExport { passphrase: None },
        Words::Config(ConfigWords::Import { file }) => Operation::ConfigImport {
            text: std::fs::read_to_string(&file)?,
            name: file.display().to_string(),
        },
        Words::Map(words) => directory::map(words),
        Words::Domain(words) => directory::domain(words),
        Words::Verification(words) => directory::verification(words),
        Words::Stream(words) => directory::stream(words),
        Words::Provisioning { cycle } => Operation::Provisioning { cycle },
        Words::ValidRecipient(words) => directory::valid_recipient(words)?,
        Words::Lookup(words) => directory::lookup(words),
        Words::Login(words) => directory::login(words)?,
        Words::Reboot => Operation::Reboot,
        Words::PowerOff => Operation::PowerOff,
    })
}

fn queue(words: QueueWords) -> Operation {
    match words {
        QueueWords::List { destination, held, limit } => {
            Operation::QueueList(QueueFilter { destination, held: held.then_some(true), limit })
        }
        QueueWords::Show { delivery } => Operation::QueueShow { delivery },
        QueueWords::Retry(words) => Operation::QueueRetry(words.into()),
        QueueWords::Hold { selection, reason } => {
            Operation::QueueHold { selection: selection.into(), text: reason }
        }
        QueueWords::Release(words) => Operation::QueueRelease(words.into()),
        QueueWords::Bounce(words) => Operation::QueueBounce(words.into()),
        QueueWords::Purge(words) => Operation::QueuePurge(words.into()),
    }
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let operation = match operation(arguments.operation) {
        Ok(operation) => operation,
        Err(error) => return refused(error),
    };
    let socket = control_socket(&arguments.disk);
    match ask(&socket, operation) {
        Err(error) => refused(format_args!("{}: {error}; is the appliance running?", socket.display())),
        Ok(answer @ wire::Answer::Refused(_)) if arguments.json => {
            print!("{}", json(serde_json::to_string_pretty(&answer)));
            ExitCode::from(1)
        }
        Ok(wire::Answer::Refused(refusal)) => refused(refusal),
        Ok(wire::Answer::Done(outcome)) => {
            print!(
                "{}",
                if arguments.json {
                    json(serde_json::to_string_pretty(&outcome))
                } else {
                    print::text(&outcome)
                }
            );
            if is_no(&outcome) { ExitCode::from(1) } else { ExitCode::SUCCESS }
        }
    }
}

fn json(text: serde_json::Result<String>) -> String {
    text.map(|text| text + "\n").unwrap_or_default()
}

/// Whether the answer, though it is one, is a no to what was asked for.
fn is_no(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Import(import) => !import.imported,
        Outcome::Login(login) => !login.accepted,
        _ => false,
    }
}

fn ask(socket: &std::path::Path, operation: Operation) -> Result<wire::Answer, wire::WireError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::connect(socket).await?;
        wire::ask(stream, operation).await
    })
}
