//! `postern config`: on a file, or on the disk of a stopped appliance.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Subcommand;
use config_schema::{Config, Secret, SecretMode, SecretSources, command};
use store::{FileDisk, Limits, NewConfiguration, Store, Timestamp, log::Event};

use super::refused;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a file; each mistake is a line `FILE:LINE:COL: path: what is wrong, what was expected`.
    Check {
        file: PathBuf,
        /// A file whose first line opens sealed secrets.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Print the JSON Schema of the file, for editors.
    Schema,
    /// Print a commented example that `check` accepts.
    Example,
    /// Print the configuration that a stopped appliance's disk holds.
    Export {
        /// The appliance's disk.
        #[arg(long, value_name = "FILE")]
        disk: PathBuf,
        /// A file whose first line seals the secrets; without it they are left out.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Put a configuration in force on the disk of a stopped appliance, all or nothing.
    Import {
        /// The appliance's disk; it must exist.
        #[arg(long, value_name = "FILE")]
        disk: PathBuf,
        file: PathBuf,
        /// A file whose first line opens sealed secrets.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

pub(crate) fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Check { file, passphrase_file } => check(&file, passphrase_file.as_deref()),
        Command::Schema => Ok(command::schema()),
        Command::Example => Ok(command::example()),
        Command::Export { disk, passphrase_file } => export(&disk, passphrase_file.as_deref()),
        Command::Import { disk, file, passphrase_file } => import(&disk, &file, passphrase_file.as_deref()),
    };
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(Failure::Mistakes(lines)) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::from(1)
        }
        Err(Failure::Other(why)) => refused(why),
    }
}

enum Failure {
    Mistakes(Vec<String>),
    Other(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Other(error.to_string())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}

fn passphrase(path: Option<&Path>) -> Result<Option<Secret>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let text = read(path)?;
    Ok(Some(Secret::new(text.lines().next().unwrap_or_default())))
}

fn read_secret(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn check(file: &Path, passphrase_file: Option<&Path>) -> Result<String, Failure> {
    let passphrase = passphrase(passphrase_file)?;
    let name = file.display().to_string();
    match command::check_with(&name, &read(file)?, &read_secret, passphrase.as_ref()) {
        Ok(warnings) => {
            warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            Ok(String::new())
        }
        Err(lines) => Err(Failure::Mistakes(lines)),
    }
}

/// Opens the disk of a stopped appliance; a running one holds its lock.
fn open(disk: &Path) -> Result<Store, Failure> {
    let at = |error: &dyn std::fmt::Display| Failure::Other(format!("{}: {error}", disk.display()));
    let length = std::fs::metadata(disk).map_err(|error| at(&error))?.len();
    let file = FileDisk::open(disk, length).map_err(|error| at(&error))?;
    file.lock().map_err(|error| at(&error))?;
    Store::open(Arc::new(file), Limits::default()).map_err(|error| at(&error))
}

fn export(disk: &Path, passphrase_file: Option<&Path>) -> Result<String, Failure> {
    let store = open(disk)?;
    let Some(kept) = store.configuration()? else {
        return Err(Failure::Other(format!("{}: holds no configuration yet", disk.display())));
    };
    let config = Config::parse("the configuration in force", &kept.text)?;
    let mode = passphrase(passphrase_file)?.map_or(SecretMode::LeftOut, SecretMode::Sealed);
    Ok(config.export(&mode)?)
}

fn import(disk: &Path, file: &Path, passphrase_file: Option<&Path>) -> Result<String, Failure> {
    let passphrase = passphrase(passphrase_file)?;
    let name = file.display().to_string();
    let sources = SecretSources::none().with_files(&read_secret);
    let sources = match &passphrase {
        Some(passphrase) => sources.with_passphrase(passphrase),
        None => sources,
    };
    let config = match Config::parse_with(&name, &read(file)?, &sources) {
        Ok(config) => config,
        Err(mistakes) => return Err(Failure::Mistakes(mistakes.lines())),
    };
    // As the appliance keeps it: complete, without files or seals that it could not open by itself.
    let text = config.export(&SecretMode::Plain)?;
    let store = open(disk)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let at = Timestamp::from_unix_seconds(seconds);
    let audit = Event::new(at, "config.imported").field("by", &name).field("bytes", text.len());
    store
        .set_configuration(NewConfiguration { text, from_file: false, at, by: name.into() }, audit)
        .wait()?;
    store.close();
    Ok(String::new())
}
