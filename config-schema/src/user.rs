//! `[[user]]`: who may log in, as what, and to which streams.

use std::{collections::HashMap, fmt, str::FromStr};

use toml_edit::{Array, Table, value};

use crate::{
    Administrator,
    domain::{Around, realm},
    mistake::Notes,
    name::DomainName,
    password,
    reader::{Found, Place, Section},
    realm::{BASE, RealmName},
    secret::{Sealing, Secret, TotpSecret},
    stream::StreamName,
    user_lookup::{LookupName, Method},
    words::Words,
};

/// Users in all.
pub const USERS_MAX: usize = 4_096;
/// Streams of one user beside the home stream.
pub const STREAMS_MAX: usize = 64;
/// Longest name, in bytes: that of a mailbox (RFC 5321 §4.5.3.1).
pub const NAME_MAX: usize = 320;

/// Someone who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The log-in name, unique among users and administrators.
    pub name: UserName,
    /// The realm that the user belongs to.
    pub realm: RealmName,
    /// What the user may do.
    pub role: Role,
    /// May look and change nothing.
    pub read_only: bool,
    /// How the password is checked.
    pub password: Password,
    /// The key of the codes that are asked for beside the password.
    pub totp_secret: Option<TotpSecret>,
    /// The stream that is shown first.
    pub home_stream: StreamName,
    /// Further streams, each once.
    pub streams: Vec<StreamName>,
}

/// How a user's password is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// By its hash, as [`password::hash`] makes it.
    Hash(Secret),
    /// By a user lookup.
    Lookup(LookupName),
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Role {
    /// Sees the streams that are the user's own.
    #[default]
    EndUser,
    /// Administers the realm and those below it.
    RealmAdministrator,
    /// Administers everything.
    ApplianceAdministrator,
}

impl Words for Role {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("end-user", Role::EndUser),
        ("realm-administrator", Role::RealmAdministrator),
        ("appliance-administrator", Role::ApplianceAdministrator),
    ];
}

/// The name to log in with: `LOCAL-PART@DOMAIN`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName {
    local_part: Box<str>,
    domain: DomainName,
}

/// A text that is no user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a user's name, expected `NAME@DOMAIN` of at most {NAME_MAX} bytes without spaces")]
pub struct UserNameError;

impl UserName {
    /// What stands before the last `@`, in lower case.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// What stands behind it.
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl FromStr for UserName {
    type Err = UserNameError;
    fn from_str(text: &str) -> Result<UserName, UserNameError> {
        let (local_part, domain) = text.rsplit_once('@').ok_or(UserNameError)?;
        let domain = DomainName::parse(domain).map_err(|_| UserNameError)?;
        let name = UserName { local_part: local_part.to_lowercase().into_boxed_str(), domain };
        let printable = |c: char| !c.is_control() && !c.is_whitespace();
        let length = name.local_part.len() + 1 + name.domain.as_str().len();
        if name.local_part.is_empty() || length > NAME_MAX || !name.local_part.chars().all(printable) {
            return Err(UserNameError);
        }
        Ok(name)
    }
}

pub(crate) fn read(
    sections: Vec<Section<'_>>,
    around: &Around<'_>,
    administrators: &[Administrator],
    notes: &mut Notes<'_>,
) -> Vec<User> {
    let mut seen: HashMap<UserName, Place> = HashMap::new();
    let mut users = Vec::new();
    for (at, section) in sections.into_iter().enumerate() {
        if at == USERS_MAX {
            let text = format!("one too many, expected at most {USERS_MAX}");
            notes.note(section.place.span.clone(), &section.place.path, text);
        }
        users.extend(read_one(section, &mut seen, around, administrators, notes));
    }
    users
}

fn read_one(
    mut section: Section<'_>,
    seen: &mut HashMap<UserName, Place>,
    around: &Around<'_>,
    administrators: &[Administrator],
    notes: &mut Notes<'_>,
) -> Option<User> {
    let name = name(&mut section, seen, administrators, notes);
    let realm = realm(&mut section, around, notes);
    let role = Role::read(&mut section, "role", notes);
    let read_only = section.boolean("read-only", notes).unwrap_or(false);
    let password = password(&mut section, &realm, around, notes);
    let totp_secret = TotpSecret::read(&mut section, notes);
    let home = section.parsed::<StreamName>("home-stream", notes);
    if let Some(home) = &home {
        check_stream(home, &realm, around, notes);
    }
    let further = streams(&mut section, &realm, around, notes);
    section.finish(notes);
    let name = name?;
    let home_stream = match home {
        Some(home) => home.value,
        None => StreamName::new(realm.clone(), &name.to_string()).ok()?,
    };
    let streams = further.into_iter().filter(|stream| *stream != home_stream).collect();
    Some(User { name, realm, role, read_only, password: password?, totp_secret, home_stream, streams })
}

fn name(
    section: &mut Section<'_>,
    seen: &mut HashMap<UserName, Place>,
    administrators: &[Administrator],
    notes: &mut Notes<'_>,
) -> Option<UserName> {
    if !section.has("name") {
        section.missing("name", "the name to log in with, such as \"ann@example.com\"", notes);
    }
    let name = section.parsed::<UserName>("name", notes)?;
    let printed = name.value.to_string();
    let first = seen.insert(name.value.clone(), name.place.clone());
    let wrong = if let Some(first) = first {
        let first = notes.line(first.span);
        format!("user `{printed}` stands twice, first at {first}, expected each once")
    } else if administrators.iter().any(|other| other.name.to_lowercase() == printed) {
        format!("`{printed}` is an administrator of the file, expected another name")
    } else {
        return Some(name.value);
    };
    notes.note(name.place.span, &name.place.path, wrong);
    None
}

fn password(
    section: &mut Section<'_>,
    realm: &RealmName,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Option<Password> {
    let hash = password::read(section, notes);
    let lookup = section.string("lookup", notes);
    let both = section.has("password-hash") && section.has("lookup");
    let Some(lookup) = lookup else {
        if !section.has("password-hash") && !section.has("lookup") && !section.is_described() {
            let expected = "a PHC string such as \"$argon2id$v=19$…\", or `lookup`";
            section.missing("password-hash", expected, notes);
        }
        return hash.map(Password::Hash);
    };
    let wrong = if both {
        "stands beside `password-hash`, expected one of the two".to_owned()
    } else {
        match found_lookup(&lookup, realm, around) {
            Err(wrong) => wrong,
            Ok((_, true)) if section.has("totp-secret") => {
                "is Entra ID's, which asks for a second factor itself, expected no `totp-secret`".to_owned()
            }
            Ok((name, _)) => return Some(Password::Lookup(name)),
        }
    };
    notes.note(lookup.place.span, &lookup.place.path, format_args!("`{}`: {wrong}", lookup.value));
    None
}

/// The user lookup, and whether people sign in elsewhere by it; or what is wrong with it.
fn found_lookup(
    found: &Found<String>,
    realm: &RealmName,
    around: &Around<'_>,
) -> Result<(LookupName, bool), String> {
    let name = found.value.parse::<LookupName>().map_err(|why| why.to_string())?;
    let Some(lookup) = around.lookups.get(&name) else {
        return Err("is no user lookup of the file, expected one".to_owned());
    };
    if !around.realms.is_within(realm, &lookup.realm) {
        let expected = format!("expected one of realm `{realm}` or above it");
        return Err(format!("belongs to realm `{}`, {expected}", lookup.realm));
    }
    match &lookup.method {
        Method::Local => Err("has the passwords of this file, expected a `password-hash`".to_owned()),
        method if !method.can_authenticate() => {
            Err("knows addresses and checks no login, expected one that does".to_owned())
        }
        method => Ok((name, matches!(method, Method::Oidc(_)))),
    }
}

fn check_stream(stream: &Found<StreamName>, realm: &RealmName, around: &Around<'_>, notes: &mut Notes<'_>) {
    let of = stream.value.realm();
    let wrong = if !around.realms.exists(of) {
        format!("realm `{of}` does not exist, expected one of the file's or `{BASE}`")
    } else if !around.realms.is_within(of, realm) {
        format!("`{}` is not in the user's realm `{realm}`, expected a stream of it", stream.value)
    } else {
        return;
    };
    notes.note(stream.place.span.clone(), &stream.place.path, wrong);
}

fn streams(
    section: &mut Section<'_>,
    realm: &RealmName,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Vec<StreamName> {
    let found: Vec<Found<StreamName>> = section.list("streams", notes).unwrap_or_default();
    if let Some(extra) = found.get(STREAMS_MAX) {
        let text = format!("one too many, expected at most {STREAMS_MAX}");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    let mut streams = Vec::new();
    for stream in found {
        check_stream(&stream, realm, around, notes);
        if streams.contains(&stream.value) {
            let text = format!("`{}` stands twice, expected each once", stream.value);
            notes.note(stream.place.span, &stream.place.path, text);
        } else if streams.len() < STREAMS_MAX {
            streams.push(stream.value);
        }
    }
    streams
}

pub(crate) fn write(user: &User, sealing: &mut Sealing) -> Table {
    let mut table = Table::new();
    table.insert("name", value(user.name.to_string()));
    if user.realm != RealmName::base() {
        table.insert("realm", value(user.realm.as_str()));
    }
    if user.role != Role::default() {
        table.insert("role", value(user.role.word()));
    }
    if user.read_only {
        table.insert("read-only", value(true));
    }
    match &user.password {
        Password::Hash(hash) => table.insert("password-hash", value(sealing.value(hash))),
        Password::Lookup(name) => table.insert("lookup", value(name.as_str())),
    };
    if let Some(secret) = &user.totp_secret {
        table.insert("totp-secret", value(sealing.value(secret.base32())));
    }
    table.insert("home-stream", value(user.home_stream.to_string()));
    if !user.streams.is_empty() {
        table.insert("streams", value(user.streams.iter().map(ToString::to_string).collect::<Array>()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_domain_and_one_spelling() {
        let name: UserName = "Ann@Sales@Bücher.Example.".parse().unwrap();
        assert_eq!((name.local_part(), name.domain().as_str()), ("ann@sales", "xn--bcher-kva.example"));
        for text in
            ["", "ann", "@example.com", "ann@", "a nn@example.com", "ann@192.0.2.1", "a\u{7}@example.com"]
        {
            assert_eq!(text.parse::<UserName>(), Err(UserNameError), "{text:?}");
        }
        let longest = format!("{}@example.com", "a".repeat(NAME_MAX - 12));
        assert!(longest.parse::<UserName>().is_ok());
        assert_eq!(format!("a{longest}").parse::<UserName>(), Err(UserNameError));
    }
}
