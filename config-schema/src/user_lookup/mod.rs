//! `[[user-lookup]]`: named connectors to directories and login services, a file for each method.

pub mod entra_id;
mod guid;
pub mod ldap;
pub mod mailbox;
pub mod microsoft;
pub mod oidc;

use std::{collections::HashMap, fmt, str::FromStr};

use toml_edit::{Table, value};

use mailbox::{Mailbox, Protocol};
use oidc::Oidc;

use crate::{
    domain::Around,
    mistake::Notes,
    reader::{Place, Section},
    realm::{BASE, RealmName},
    secret::Sealing,
};

pub use entra_id::EntraId;
pub use guid::{Guid, GuidError};

/// User lookups in all.
pub const USER_LOOKUPS_MAX: usize = 256;
/// Longest name of a user lookup, in bytes.
pub const LOOKUP_NAME_MAX: usize = 64;
/// The words of a domain mapping that are no user lookup.
const RESERVED: [&str; 2] = ["as-is", "chop-domain"];

/// The name of a user lookup: letters, digits, `-` and `_`, compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupName(Box<str>);

/// A text that is no name of a user lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupNameError {
    /// Empty, too long, or with a character that no name has.
    #[error("not a user lookup's name, expected 1 to {LOOKUP_NAME_MAX} letters, digits, `-` or `_`")]
    Shape,
    /// The word means something else in a domain's `mapping`.
    #[error("is a domain mapping of its own, expected another name")]
    Reserved,
}

impl LookupName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LookupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LookupName {
    type Err = LookupNameError;
    fn from_str(text: &str) -> Result<LookupName, LookupNameError> {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > LOOKUP_NAME_MAX || !text.chars().all(known) {
            return Err(LookupNameError::Shape);
        }
        let text = text.to_ascii_lowercase();
        if RESERVED.contains(&text.as_str()) {
            return Err(LookupNameError::Reserved);
        }
        Ok(LookupName(text.into_boxed_str()))
    }
}

/// A named connector.
#[derive(Debug, Clone, PartialEq)]
pub struct UserLookup {
    /// Unique in the appliance.
    pub name: LookupName,
    /// Whose it is: domains of this realm and of those below it may use it.
    pub realm: RealmName,
    /// What is asked, and how.
    pub method: Method,
}

/// What a user lookup asks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The users of this configuration.
    Local,
    /// A directory that is asked by LDAP.
    Ldap(Box<ldap::Ldap>),
    /// A tenant of Microsoft 365.
    EntraId(EntraId),
    /// A mail server, which takes a password or does not.
    Mailbox(Mailbox),
    /// Entra ID, by OpenID Connect.
    Oidc(Oidc),
}

impl Method {
    /// The words of `method`, in the order of the variants.
    const WORDS: [&'static str; 6] = ["local", "ldap", "entra-id", "imap", "pop3", "oidc"];

    /// The word of `method`.
    pub fn word(&self) -> &'static str {
        match self {
            Method::Local => "local",
            Method::Ldap(_) => "ldap",
            Method::EntraId(_) => "entra-id",
            Method::Mailbox(mailbox) => match mailbox.protocol {
                Protocol::Imap => "imap",
                Protocol::Pop3 => "pop3",
            },
            Method::Oidc(_) => "oidc",
        }
    }

    /// What a domain mapping needs: can it turn an address into a stream?
    pub fn can_stream(&self) -> bool {
        match self {
            Method::Local | Method::Mailbox(_) | Method::Oidc(_) => false,
            Method::Ldap(_) | Method::EntraId(_) => true,
        }
    }

    /// What an authentication mapping needs: can it check a login?
    pub fn can_authenticate(&self) -> bool {
        match self {
            Method::Local | Method::Ldap(_) | Method::Mailbox(_) | Method::Oidc(_) => true,
            Method::EntraId(_) => false,
        }
    }

    fn read(
        word: &str,
        section: &mut Section<'_>,
        around: &Around<'_>,
        notes: &mut Notes<'_>,
    ) -> Option<Method> {
        match word {
            "local" => Some(Method::Local),
            "ldap" => ldap::Ldap::read(section, around, notes).map(|ldap| Method::Ldap(Box::new(ldap))),
            "entra-id" => EntraId::read(section, notes).map(Method::EntraId),
            "imap" => Mailbox::read(Protocol::Imap, section, around, notes).map(Method::Mailbox),
            "pop3" => Mailbox::read(Protocol::Pop3, section, around, notes).map(Method::Mailbox),
            "oidc" => Oidc::read(section, notes).map(Method::Oidc),
            _ => {
                let place = section.place_of("method", "name");
                let expected = Method::WORDS.map(|word| format!("\"{word}\"")).join(" or ");
                notes.note(place.span, &place.path, format_args!("`{word}`, expected {expected}"));
                None
            }
        }
    }

    fn write(&self, table: &mut Table, sealing: &mut Sealing) {
        match self {
            Method::Local => {}
            Method::Ldap(ldap) => ldap.write(table, sealing),
            Method::EntraId(entra) => entra.write(table, sealing),
            Method::Mailbox(mailbox) => mailbox.write(table),
            Method::Oidc(oidc) => oidc.write(table, sealing),
        }
    }
}

pub(crate) fn read(
    sections: Vec<Section<'_>>,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Vec<UserLookup> {
    let mut seen: HashMap<LookupName, Place> = HashMap::new();
    let mut lookups = Vec::new();
    for (at, section) in sections.into_iter().enumerate() {
        if at == USER_LOOKUPS_MAX {
            let text = format!("one too many, expected at most {USER_LOOKUPS_MAX}");
            notes.note(section.place.span.clone(), &section.place.path, text);
        }
        lookups.extend(read_one(section, &mut seen, around, notes));
    }
    lookups
}

fn read_one(
    mut section: Section<'_>,
    seen: &mut HashMap<LookupName, Place>,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Option<UserLookup> {
    let name = section.parsed::<LookupName>("name", notes);
    if !section.has("name") {
        section.missing("name", "the user lookup's name", notes);
    }
    let realm = section.parsed::<RealmName>("realm", notes);
    if let Some(realm) = realm.as_ref().filter(|realm| !around.realms.exists(&realm.value)) {
        let text = format!("realm `{}` does not exist, expected one of the file's or `{BASE}`", realm.value);
        notes.note(realm.place.span.clone(), &realm.place.path, text);
    }
    if !section.has("method") {
        section.missing("method", Method::WORDS.join(" or ").as_str(), notes);
    }
    let word = section.word("method", Method::WORDS.into_iter(), notes);
    if section.is_described() {
        // The schema has the keys of every method.
        for word in Method::WORDS {
            Method::read(word, &mut section, around, notes);
        }
    }
    let method = word.and_then(|word| Method::read(&word.value, &mut section, around, notes));
    section.finish(notes);
    let name = name?;
    if let Some(first) = seen.insert(name.value.clone(), name.place.clone()) {
        let first = notes.line(first.span);
        let text = format!("user lookup `{}` stands twice, first at {first}, expected each once", name.value);
        notes.note(name.place.span, &name.place.path, text);
        return None;
    }
    let realm = realm.map_or_else(RealmName::base, |realm| realm.value);
    Some(UserLookup { name: name.value, realm, method: method? })
}

pub(crate) fn write(lookup: &UserLookup, sealing: &mut Sealing) -> Table {
    let mut table = Table::new();
    table.insert("name", value(lookup.name.as_str()));
    table.insert("realm", value(lookup.realm.as_str()));
    table.insert("method", value(lookup.method.word()));
    lookup.method.write(&mut table, sealing);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_word_of_a_mapping() {
        assert_eq!("Corp_1".parse::<LookupName>().unwrap().as_str(), "corp_1");
        assert_eq!("as-is".parse::<LookupName>(), Err(LookupNameError::Reserved));
        for text in ["", "a b", "ä", &"a".repeat(LOOKUP_NAME_MAX + 1)] {
            assert_eq!(text.parse::<LookupName>(), Err(LookupNameError::Shape), "{text}");
        }
    }
}
