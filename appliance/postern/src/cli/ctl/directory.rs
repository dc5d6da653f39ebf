//! The words for recipients, streams, domains, user lookups and logins.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use control::{
    Operation,
    operation::{CSV_MAX, ImportMode, Login},
};

#[derive(Debug, Args)]
pub(super) struct MapWords {
    /// The recipient, such as ann@example.com.
    address: String,
    /// The client's address; without one, a stranger's.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DomainWords {
    /// Every domain with its route, its MX to publish, and what its check found.
    List,
    /// One domain, with the dialogue of its check.
    Show {
        /// Such as example.com.
        domain: String,
    },
    /// Re-check domains for validation, and wait for the answer.
    Check {
        /// Such as example.com; without one, every domain.
        domain: Option<String>,
    },
    /// Take a verification server that is redundant out of the configuration.
    RemoveVerificationServer {
        /// The domain whose user lookup says it all, such as example.com.
        domain: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum VerificationWords {
    /// Forget what verification servers said, so that they are asked again.
    Forget {
        /// An address, or `@` and a domain for all its addresses; without one, everything.
        about: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum StreamWords {
    /// The streams that exist.
    List {
        /// Only those of this realm.
        #[arg(long)]
        realm: Option<String>,
    },
    /// The settings of a stream, and where each value comes from.
    Settings {
        /// `realm:stream`, whether it has begun or not.
        stream: String,
        /// Such as S-700; without one, all.
        id: Option<String>,
    },
    /// Bring a stream into being before its first mail.
    Prepare {
        /// `realm:stream`.
        stream: String,
    },
    /// Remove a stream with what is its own.
    Remove {
        /// `realm:stream`.
        stream: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ValidRecipientWords {
    /// The entries.
    List {
        /// `realm:stream`; without one, all.
        #[arg(long)]
        stream: Option<String>,
    },
    /// Add an entry.
    Add {
        #[command(flatten)]
        stream: InStream,
        /// The recipient, such as ann@example.com.
        address: String,
    },
    /// Remove an entry; those of the configuration are changed there.
    Remove {
        #[command(flatten)]
        stream: InStream,
        /// The recipient, such as ann@example.com.
        address: String,
    },
    /// Import CSV: a column `address`, perhaps `stream`; or what `Get-EXORecipient` exports.
    Import {
        #[command(flatten)]
        stream: InStream,
        /// The file; `-` for standard input.
        file: PathBuf,
        /// Remove what is not in the file.
        #[arg(long)]
        replace: bool,
        /// Import the good lines although there are bad ones.
        #[arg(long)]
        skip_bad: bool,
    },
    /// Print the table as CSV.
    Export {
        /// `realm:stream`; without one, all.
        #[arg(long)]
        stream: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct InStream {
    /// `realm:stream` that the entries belong to; those of a `default` stream count for all of its realm.
    #[arg(long, value_name = "STREAM")]
    stream: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum LookupWords {
    /// The user lookups and how each is.
    List,
    /// Read the directory again now.
    Sync {
        /// The name of a user lookup that knows addresses.
        lookup: String,
    },
    /// Apply a read that was held because it would remove too much.
    Confirm {
        /// The name of a user lookup that keeps a copy.
        lookup: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum LoginWords {
    /// Check a login; the password is read from standard input.
    Check {
        /// The name to log in with, such as ann@example.com.
        user: String,
        /// A one-time code or a recovery code.
        #[arg(long)]
        code: Option<String>,
        /// The client's address; attempts are counted for it.
        #[arg(long, value_name = "ADDRESS")]
        source: Option<String>,
    },
    /// Offer a user of the configuration a key for one-time codes.
    Enrol {
        /// The user's name, such as ann@example.com.
        user: String,
    },
    /// Take the key that was offered into use; prints the recovery codes, once.
    Confirm {
        /// The user's name, such as ann@example.com.
        user: String,
        /// What the authenticator shows now.
        code: String,
    },
    /// Forget a user's second factor.
    Reset {
        /// The user's name, such as ann@example.com.
        user: String,
    },
}

pub(super) fn map(words: MapWords) -> Operation {
    Operation::Map { address: words.address, client: words.client }
}

pub(super) fn domain(words: DomainWords) -> Operation {
    match words {
        DomainWords::List => Operation::DomainList,
        DomainWords::Show { domain } => Operation::DomainShow { domain },
        DomainWords::Check { domain } => Operation::DomainCheck { domain },
        DomainWords::RemoveVerificationServer { domain } => {
            Operation::DomainRemoveVerificationServer { domain }
        }
    }
}

pub(super) fn verification(words: VerificationWords) -> Operation {
    let VerificationWords::Forget { about } = words;
    Operation::VerificationForget { about }
}

pub(super) fn stream(words: StreamWords) -> Operation {
    match words {
        StreamWords::List { realm } => Operation::StreamList { realm },
        StreamWords::Settings { stream, id } => Operation::Settings { stream, id },
        StreamWords::Prepare { stream } => Operation::StreamPrepare { stream },
        StreamWords::Remove { stream } => Operation::StreamRemove { stream },
    }
}

pub(super) fn valid_recipient(words: ValidRecipientWords) -> io::Result<Operation> {
    Ok(match words {
        ValidRecipientWords::List { stream } => Operation::ValidRecipientList { stream },
        ValidRecipientWords::Add { stream, address } => {
            Operation::ValidRecipientAdd { stream: stream.stream, address }
        }
        ValidRecipientWords::Remove { stream, address } => {
            Operation::ValidRecipientRemove { stream: stream.stream, address }
        }
        ValidRecipientWords::Import { stream, file, replace, skip_bad } => Operation::ValidRecipientImport {
            stream: stream.stream,
            csv: csv(&file)?,
            mode: if replace { ImportMode::Replace } else { ImportMode::Add },
            skip_bad,
        },
        ValidRecipientWords::Export { stream } => Operation::ValidRecipientExport { stream },
    })
}

/// One byte more than an import may have is enough for the appliance to say so.
fn csv(file: &PathBuf) -> io::Result<String> {
    let most = CSV_MAX as u64 + 1;
    let mut text = String::new();
    if file.as_os_str() == "-" {
        io::stdin().take(most).read_to_string(&mut text)?;
    } else {
        let opened = std::fs::File::open(file)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        opened.take(most).read_to_string(&mut text)?;
    }
    Ok(text)
}

pub(super) fn lookup(words: LookupWords) -> Operation {
    match words {
        LookupWords::List => Operation::LookupList,
        LookupWords::Sync { lookup } => Operation::LookupSync { lookup },
        LookupWords::Confirm { lookup } => Operation::LookupConfirm { lookup },
    }
}

/// Longest password that is read, in bytes.
const PASSWORD_MAX: u64 = 4096;

pub(super) fn login(words: LoginWords) -> io::Result<Operation> {
    let (user, code, source) = match words {
        LoginWords::Check { user, code, source } => (user, code, source),
        LoginWords::Enrol { user } => return Ok(Operation::LoginEnrol { user }),
        LoginWords::Confirm { user, code } => return Ok(Operation::LoginConfirm { user, code }),
        LoginWords::Reset { user } => return Ok(Operation::LoginReset { user }),
    };
    let mut password = String::new();
    io::BufRead::read_line(&mut io::stdin().lock().take(PASSWORD_MAX), &mut password)?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    Ok(Operation::LoginCheck(Login { user, password, code, source }))
}
