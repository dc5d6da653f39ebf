//! What `postern config` prints, without a running appliance.

use crate::{Config, ReadFile, Secret, SecretSources, Warning};

/// A commented file that [`check`] accepts.
pub fn example() -> String {
    crate::example::example()
}

/// The JSON Schema of the file, for editors; its `$id` names the version.
pub fn schema() -> String {
    format!("{:#}\n", crate::schema::schema())
}

/// Checks a file and returns what is no mistake and yet seldom meant. `files` reads what it names. Seals are taken on trust when there is no passphrase for them.
///
/// # Errors
/// One line for each mistake: `FILE:LINE:COL: path: what is wrong, what was expected`.
pub fn check_with(
    file: &str,
    text: &str,
    files: &ReadFile,
    passphrase: Option<&Secret>,
) -> Result<Vec<Warning>, Vec<String>> {
    let sources = SecretSources::unopened().with_files(files);
    let sources = match passphrase {
        Some(passphrase) => sources.with_passphrase(passphrase),
        None => sources,
    };
    let config = Config::parse_with(file, text, &sources);
    config.map(|config| config.warnings()).map_err(|mistakes| mistakes.lines())
}

/// Checks a file that stands alone.
///
/// # Errors
/// As [`check_with`].
pub fn check(file: &str, text: &str) -> Result<Vec<Warning>, Vec<String>> {
    check_with(file, text, &|_| Err("no file can be read from here".to_owned()), None)
}
