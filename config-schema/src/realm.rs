//! `[[realm]]`: the tenants and their settings.

use std::collections::HashMap;

use crate::{
    mistake::Notes,
    reader::{Place, Section},
    setting::{self, Known, Setting, SettingValue},
};

/// The root of the realms; it always exists.
pub const BASE: &str = "base";
/// Longest name of a realm, in bytes.
pub const REALM_NAME_MAX: usize = 64;

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Realm {
    /// Unique in the appliance. [`BASE`] exists without being in the file; there it has only settings.
    pub name: RealmName,
    /// Its parent; [`BASE`] unless the file says otherwise.
    pub parent: RealmName,
    /// Settings of its `default` stream, each once.
    pub settings: Vec<Setting>,
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
    /// The realm whose `default` stream has it; `None`: it is the built-in one.
    pub from: Option<RealmName>,
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
            if let Some(own) = realm.settings.iter().find(|own| own.id == setting.id) {
                return Resolved { value: own.value, from: Some(realm.name.clone()) };
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

pub(crate) fn read(sections: Vec<Section<'_>>, notes: &mut Notes<'_>) -> Vec<Realm> {
    let mut seen: HashMap<RealmName, Place> = HashMap::new();
    let mut parents = Vec::new();
    let mut realms = Vec::new();
    for mut section in sections {
        let name = section.parsed::<RealmName>("name", notes);
        if !section.has("name") {
            section.missing("name", "the realm's name", notes);
        }
        let parent = section.parsed::<RealmName>("parent", notes);
        let settings = setting::read(section.sections("setting", notes), notes);
        section.finish(notes);
        let Some(name) = name else { continue };
        if let Some(first) = seen.insert(name.value.clone(), name.place.clone()) {
            let first = notes.line(first.span);
            let text = format!("realm `{}` stands twice, first at {first}, expected each once", name.value);
            notes.note(name.place.span, &name.place.path, text);
            continue;
        }
        if let Some(parent) = parent.as_ref().filter(|_| name.value.as_str() == BASE) {
            let text = format!("`{BASE}` is the root, expected no parent");
            notes.note(parent.place.span.clone(), &parent.place.path, text);
        }
        let value = parent.as_ref().map_or_else(RealmName::base, |parent| parent.value.clone());
        parents.push(parent.map_or(name.place, |parent| parent.place));
        realms.push(Realm { name: name.value, parent: value, settings });
    }
    let index = Realms::new(&realms);
    for (realm, place) in realms.iter().zip(parents) {
        index.check_parents(realm, &place, notes);
    }
    realms
}
