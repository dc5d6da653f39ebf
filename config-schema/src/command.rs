//! What `postern config` prints, without a running appliance.

use crate::Config;

/// A commented file that [`check`] accepts.
pub fn example() -> &'static str {
    include_str!("../example.toml")
}

/// Checks a file.
///
/// # Errors
/// One line for each mistake: `FILE:LINE:COL: path: what is wrong, what was expected`.
pub fn check(file: &str, text: &str) -> Result<(), Vec<String>> {
    Config::parse(file, text).map(|_| ()).map_err(|mistakes| mistakes.lines())
}
