//! Where secrets and certificates come from when they do not stand in the document itself.

use std::fmt;

use toml_edit::{Item, TableLike};

use super::{Opener, Secret};
use crate::{mistake::Notes, reader::Found, reader::Place};

/// Reads a file by the name that the document gives it; its error says why it cannot.
pub type ReadFile = dyn Fn(&str) -> Result<String, String>;

/// Where the secrets of a document come from that do not stand in it.
#[derive(Default)]
pub struct SecretSources<'s> {
    files: Option<&'s ReadFile>,
    passphrase: Option<&'s Secret>,
    unopened: bool,
    opener: Opener,
}

impl<'s> SecretSources<'s> {
    /// Nowhere: a seal or the name of a file is a mistake.
    pub fn none() -> SecretSources<'s> {
        SecretSources::default()
    }

    /// Reads the files that `{ file = "…" }` names.
    #[must_use]
    pub fn with_files(self, files: &'s ReadFile) -> SecretSources<'s> {
        SecretSources { files: Some(files), ..self }
    }

    /// Opens what an export has sealed.
    #[must_use]
    pub fn with_passphrase(self, passphrase: &'s Secret) -> SecretSources<'s> {
        SecretSources { passphrase: Some(passphrase), ..self }
    }

    /// Takes seals that cannot be opened on trust: enough to find what else is wrong, and never enough for a
    /// configuration that is used.
    pub(crate) fn unopened() -> SecretSources<'s> {
        SecretSources { unopened: true, ..SecretSources::default() }
    }
}

/// What stood under a key.
pub(crate) enum Text {
    /// The text itself.
    Given(Secret),
    /// A seal that nobody opened.
    Unopened,
}

const EXPECTED: &str = "expected a string, { file = \"…\" }, or { sealed = \"…\" } from an export";

impl Text {
    /// Reads a text that may stand in the document, in a file or under a seal.
    pub(crate) fn read(item: &Item, place: Place, notes: &mut Notes<'_>) -> Option<Found<Text>> {
        let value = match (item.as_str(), item.as_table_like()) {
            (Some(text), _) => Ok(Text::Given(Secret::new(text))),
            (None, Some(table)) => from_elsewhere(table, notes.secrets()),
            (None, None) => Err(format!("{}, {EXPECTED}", item.type_name())),
        };
        let value = value.and_then(|value| match &value {
            Text::Given(text) if text.expose().len() > Secret::MAX => {
                Err(format!("{} bytes, expected at most {}", text.expose().len(), Secret::MAX))
            }
            _ => Ok(value),
        });
        match value {
            Ok(value) => Some(Found { value, place }),
            Err(wrong) => {
                notes.note(place.span, &place.path, wrong);
                None
            }
        }
    }
}

fn from_elsewhere(table: &dyn TableLike, sources: &SecretSources<'_>) -> Result<Text, String> {
    let mut entries = table.iter();
    let (Some((key, item)), None) = (entries.next(), entries.next()) else {
        return Err(format!("a table, {EXPECTED}"));
    };
    match (key, item.as_str()) {
        ("sealed", Some(_)) if sources.unopened && sources.passphrase.is_none() => Ok(Text::Unopened),
        ("sealed", Some(seal)) => {
            sources.opener.open(seal, sources.passphrase).map(Text::Given).map_err(|why| why.to_string())
        }
        ("file", Some(name)) => {
            let read =
                sources.files.ok_or("no file can be read from here, expected its content as a string")?;
            let why = |why| format!("the file `{name}` cannot be read ({why}), expected one that can");
            read(name).map(|text| Text::Given(Secret::new(text))).map_err(why)
        }
        ("left-out", _) => Err(format!("the secret was left out of this export, {EXPECTED}")),
        _ => Err(format!("a table with the key `{key}`, {EXPECTED}")),
    }
}

impl fmt::Debug for SecretSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSources").field("passphrase", &self.passphrase).finish_non_exhaustive()
    }
}
