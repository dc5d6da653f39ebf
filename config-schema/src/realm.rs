//! `[[realm]]`: the tenants and their settings.

use std::collections::HashMap;

use crate::{
    address::AddressKey,
    domain::Domain,
    mistake::Notes,
    name::DomainName,
    reader::{Found, Place, Section},
    setting::{self, Known, Setting, SettingValue},
    stream::{DEFAULT, StreamName},
    tls::Identity,
};

/// The root of the realms; it always exists.
pub const BASE: &str = "base";
/// Longest name of a realm, in bytes.
pub const REALM_NAME_MAX: usize = 64;
/// Streams of one realm that the file may name.
pub const REALM_STREAMS_MAX: usize = 10_000;
/// Valid recipients of one stream that the file may list.
pub const VALID_RECIPIENTS_MAX: usize = 10_000;

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Realm {
    /// Unique in the appliance. [`BASE`] exists without being in the file; there it has only settings.
    pub name: RealmName,
    /// Its parent; [`BASE`] unless the file says otherwise.
    pub parent: RealmName,
    /// Whether its mail is refused and nobody of it may log in.
    pub suspended: bool,
    /// Shown to the next hops of its own domains, not to those of realms below it; `None`: no certificate is shown.
    pub client: Option<Identity>,
    /// Settings of its `default` stream, each once.
    pub settings: Vec<Setting>,
    /// Valid recipients of its `default` stream, each once: they count for all of its streams.
    pub valid_recipients: Vec<AddressKey>,
    /// Streams with something of their own, each once; `default` is none of them.
    pub streams: Vec<RealmStream>,
}

/// A stream that has something of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct RealmStream {
    /// Its name, with the realm's.
    pub name: StreamName,
    /// Its settings, each once.
    pub settings: Vec<Setting>,
    /// Its valid recipients, each once.
    pub valid_recipients: Vec<AddressKey>,
}

/// A valid recipient of the file, to be held against the domains.
pub(crate) struct Listed {
    address: Found<AddressKey>,
    realm: RealmName,
}

/// The name of a realm: letters, digits, `-` and `_`, compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealmName(Box<str>);

/// A text that is no name of a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a realm's name, expected 1 to {REALM_NAME_MAX} letters, digits, `-` or `_`")]
pub struct RealmNameError;

impl RealmName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The root of the realms.
    pub fn base() -> RealmName {
        RealmName(BASE.into())
    }
}

impl std::fmt::Display for RealmName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for RealmName {
    type Err = RealmNameError;
    fn from_str(text: &str) -> Result<RealmName, RealmNameError> {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > REALM_NAME_MAX || !text.chars().all(known) {
            return Err(RealmNameError);
        }
        Ok(RealmName(text.to_ascii_lowercase().into_boxed_str()))
    }
}

/// A value and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The value.
    pub value: SettingValue,
    /// The stream that has it; `None`: it is the built-in one.
    pub from: Option<StreamName>,
}

/// Realms from a realm up to `base`, both counted.
pub const REALM_DEPTH_MAX: usize = 16;

/// The realms of a file by name, as far as they could be read.
#[derive(Debug, Default)]
pub(crate) struct Realms<'r>(HashMap<&'r RealmName, &'r Realm>);

impl<'r> Realms<'r> {
    pub(crate) fn new(realms: &'r [Realm]) -> Realms<'r> {
        Realms(realms.iter().map(|realm| (&realm.name, realm)).collect())
    }

    pub(crate) fn exists(&self, name: &RealmName) -> bool {
        self.0.contains_key(name) || name.as_str() == BASE
    }

    /// Whether `realm` is `ancestor` or lies below it.
    pub(crate) fn is_within(&self, realm: &RealmName, ancestor: &RealmName) -> bool {
        let mut at = realm;
        for _ in 0..REALM_DEPTH_MAX {
            if at == ancestor {
                return true;
            }
            let Some(realm) = self.0.get(at).filter(|realm| realm.name.as_str() != BASE) else { break };
            at = &realm.parent;
        }
        ancestor.as_str() == BASE
    }

    /// The value of a setting in a realm's `default` stream, which it may have from a parent.
    pub(crate) fn resolve(&self, realm: &RealmName, setting: &Known) -> Resolved {
        let mut at = self.0.get(realm);
        for _ in 0..REALM_DEPTH_MAX {
            let Some(realm) = at else { break };
            if let Some(value) = setting::of(&realm.settings, setting.id) {
                return Resolved { value, from: Some(StreamName::default_of(realm.name.clone())) };
            }
            at = if realm.name.as_str() == BASE { None } else { self.0.get(&realm.parent) };
        }
        Resolved { value: setting.usual, from: None }
    }

    /// Follows the parents up to `base`.
    fn check_parents(&self, realm: &Realm, place: &Place, notes: &mut Notes<'_>) {
        if !self.exists(&realm.parent) {
            let text =
                format!("realm `{}` does not exist, expected one of the file's or `{BASE}`", realm.parent);
            return notes.note(place.span.clone(), &place.path, text);
        }
        let mut passed = vec![&realm.name];
        let mut at = realm;
        while passed.len() < REALM_DEPTH_MAX {
            if at.name.as_str() == BASE || at.parent.as_str() == BASE {
                return;
            }
            // A parent that does not exist is told at the realm that names it.
            let Some(parent) = self.0.get(&at.parent) else { return };
            if parent.name == realm.name {
                let text = format!("realm `{}` is its own ancestor, expected a way to `{BASE}`", realm.name);
                return notes.note(place.span.clone(), &place.path, text);
            }
            // A loop further up is told at the realms that are in it.
            if passed.contains(&&parent.name) {
                return;
            }
            passed.push(&parent.name);
            at = parent;
        }
        let text = format!("more than {REALM_DEPTH_MAX} realms up to `{BASE}`, expected fewer");
        notes.note(place.span.clone(), &place.path, text);
    }
}

/// Reads them all, and what has to be held against the domains afterwards.
pub(crate) fn read(sections: Vec<Section<'_>>, notes: &mut Notes<'_>) -> (Vec<Realm>, Vec<Listed>) {
    let mut seen: HashMap<RealmName, Place> = HashMap::new();
    let (mut parents, mut realms, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for section in sections {
        if let Some((realm, place)) = read_one(section, &mut seen, &mut listed, notes) {
            realms.push(realm);
            parents.push(place);
        }
    }
    let index = Realms::new(&realms);
    for (realm, place) in realms.iter().zip(parents) {
        index.check_parents(realm, &place, notes);
    }
    (realms, listed)
}

/// The realm, and the place where its parent stands.
fn read_one(
    mut section: Section<'_>,
    seen: &mut HashMap<RealmName, Place>,
    listed: &mut Vec<Listed>,
    notes: &mut Notes<'_>,
) -> Option<(Realm, Place)> {
    let name = section.parsed::<RealmName>("name", notes);
    if !section.has("name") {
        section.missing("name", "the realm's name", notes);
    }
    let parent = section.parsed::<RealmName>("parent", notes);
    let suspended = section.boolean("suspended", notes).unwrap_or(false);
    let client = section.section("client", notes).and_then(|section| client(section, notes));
    let valid_recipients = valid_recipients(&mut section, notes);
    let settings = setting::read(section.sections("setting", notes), notes);
    // Streams of a realm whose name cannot be read are looked through all the same.
    let own = name.as_ref().map_or_else(RealmName::base, |name| name.value.clone());
    let streams = streams(section.sections("stream", notes), &own, listed, notes);
    section.finish(notes);
    let name = name?;
    if let Some(first) = seen.insert(name.value.clone(), name.place.clone()) {
        let first = notes.line(first.span);
        let text = format!("realm `{}` stands twice, first at {first}, expected each once", name.value);
        notes.note(name.place.span, &name.place.path, text);
        return None;
    }
    if let Some(parent) = parent.as_ref().filter(|_| name.value.as_str() == BASE) {
        let text = format!("`{BASE}` is the root, expected no parent");
        notes.note(parent.place.span.clone(), &parent.place.path, text);
    }
    let value = parent.as_ref().map_or_else(RealmName::base, |parent| parent.value.clone());
    let place = parent.map_or(name.place, |parent| parent.place);
    let valid_recipients = note_listed(valid_recipients, &own, listed);
    let realm =
        Realm { name: name.value, parent: value, suspended, client, settings, valid_recipients, streams };
    Some((realm, place))
}

fn client(mut section: Section<'_>, notes: &mut Notes<'_>) -> Option<Identity> {
    let identity = Identity::read(&mut section, notes);
    if !section.has("certificate") && !section.has("key") {
        section.missing("certificate", "a chain in PEM, our own certificate first", notes);
    }
    section.finish(notes);
    identity
}

fn streams(
    sections: Vec<Section<'_>>,
    realm: &RealmName,
    listed: &mut Vec<Listed>,
    notes: &mut Notes<'_>,
) -> Vec<RealmStream> {
    if let Some(extra) = sections.get(REALM_STREAMS_MAX) {
        let text = format!("one too many, expected at most {REALM_STREAMS_MAX}");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    let mut seen: HashMap<StreamName, Place> = HashMap::new();
    let mut streams = Vec::new();
    for mut section in sections.into_iter().take(REALM_STREAMS_MAX + 1) {
        let name = section.string("name", notes);
        if !section.has("name") {
            section.missing("name", "the stream's name within the realm", notes);
        }
        let valid_recipients = valid_recipients(&mut section, notes);
        let settings = setting::read(section.sections("setting", notes), notes);
        section.finish(notes);
        let Some(name) = name.and_then(|name| stream_name(name, realm, &mut seen, notes)) else { continue };
        let valid_recipients = note_listed(valid_recipients, realm, listed);
        streams.push(RealmStream { name, settings, valid_recipients });
    }
    streams
}

fn stream_name(
    found: Found<String>,
    realm: &RealmName,
    seen: &mut HashMap<StreamName, Place>,
    notes: &mut Notes<'_>,
) -> Option<StreamName> {
    let Found { value: text, place } = found;
    let wrong = match StreamName::new(realm.clone(), &text) {
        Err(why) => format!("`{text}`: {why}"),
        Ok(name) if name.is_default() => {
            format!("what `{DEFAULT}` has stands in the realm itself, expected another stream")
        }
        Ok(name) => match seen.insert(name.clone(), place.clone()) {
            None => return Some(name),
            Some(first) => {
                let first = notes.line(first.span);
                format!("stream `{}` stands twice, first at {first}, expected each once", name.name())
            }
        },
    };
    notes.note(place.span, &place.path, wrong);
    None
}

fn valid_recipients(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Vec<Found<AddressKey>> {
    let found = section.list::<AddressKey>("valid-recipients", notes).unwrap_or_default();
    if let Some(extra) = found.get(VALID_RECIPIENTS_MAX) {
        let text = format!("one too many, expected at most {VALID_RECIPIENTS_MAX}; the rest can be imported");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    let mut seen: HashMap<AddressKey, Place> = HashMap::new();
    let mut addresses = Vec::new();
    for address in found.into_iter().take(VALID_RECIPIENTS_MAX + 1) {
        match seen.insert(address.value.clone(), address.place.clone()) {
            None => addresses.push(address),
            Some(first) => {
                let first = notes.line(first.span);
                let text = format!("`{}` stands twice, first at {first}, expected each once", address.value);
                notes.note(address.place.span, &address.place.path, text);
            }
        }
    }
    addresses
}

/// Puts the addresses on the list of those to be checked.
fn note_listed(
    found: Vec<Found<AddressKey>>,
    realm: &RealmName,
    listed: &mut Vec<Listed>,
) -> Vec<AddressKey> {
    let addresses = found.iter().map(|address| address.value.clone()).collect();
    listed.extend(found.into_iter().map(|address| Listed { address, realm: realm.clone() }));
    addresses
}

/// A valid recipient that is in no domain of its realm would never be asked for.
pub(crate) fn check_listed(listed: &[Listed], domains: &[Domain], notes: &mut Notes<'_>) {
    let realms: HashMap<&DomainName, &RealmName> =
        domains.iter().map(|domain| (&domain.name, &domain.realm)).collect();
    for Listed { address, realm } in listed {
        if realms.get(address.value.domain()) != Some(&realm) {
            let text =
                format!("`{}` is in no domain of realm `{realm}`, expected one that is", address.value);
            notes.note(address.place.span.clone(), &address.place.path, text);
        }
    }
}
