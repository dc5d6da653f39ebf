//! `[[realm]]` and `[[domain]]`: whose mail it is, and where it goes.

use std::collections::HashMap;

use crate::{
    mistake::Notes,
    name::DomainName,
    reader::{Place, Section},
    route::{self, Route},
    words::Words,
};

/// The root of the realms; it always exists.
pub const BASE: &str = "base";
/// Longest name of a realm, in bytes.
pub const REALM_NAME_MAX: usize = 64;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    /// Unique in the appliance.
    pub name: RealmName,
    /// Its parent; [`BASE`] unless the file says otherwise.
    pub parent: RealmName,
    /// Settings of its `default` stream, each once.
    pub settings: Vec<Setting>,
}

/// One setting by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The number behind `S-`.
    pub id: u16,
    /// Its value.
    pub value: SettingValue,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// Yes or no.
    Switch(bool),
    /// A score, a number of days, or a size.
    Number(i64),
    /// Free text.
    Text(String),
}

/// The name of a realm: letters, digits, `-` and `_`, compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealmName(Box<str>);

/// A domain whose mail we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// What stands behind the `@`.
    pub name: DomainName,
    /// The realm that it belongs to.
    pub realm: RealmName,
    /// The next hops, tried in this order, which is that of their priorities; never empty.
    pub route: Vec<Route>,
    /// How the way to the next hop is protected.
    pub tls: RouteTls,
    /// The host that is asked whether a recipient exists.
    pub verification_server: Option<Route>,
    /// How an address becomes a stream.
    pub mapping: Mapping,
    /// What is done to the envelope for Microsoft 365's sake.
    pub profile: Profile,
}

/// How an address becomes a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mapping {
    /// The whole address.
    #[default]
    AsIs,
    /// The local part.
    ChopDomain,
}

/// What is done to the envelope for Microsoft 365's sake; the two exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Nothing: Microsoft 365 skips our address by Enhanced Filtering for Connectors.
    #[default]
    EnhancedFiltering,
    /// The sender is rewritten.
    Srs,
}

/// How the way to the next hop is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouteTls {
    /// TLS when it is offered, whoever the peer is; DANE is obeyed where it is published.
    #[default]
    Opportunistic,
    /// TLS with a certificate for the host's name, or no delivery.
    Required,
}

impl Words for Mapping {
    const WORDS: &'static [(&'static str, Self)] =
        &[("as-is", Mapping::AsIs), ("chop-domain", Mapping::ChopDomain)];
}

impl Words for Profile {
    const WORDS: &'static [(&'static str, Self)] =
        &[("enhanced-filtering", Profile::EnhancedFiltering), ("srs", Profile::Srs)];
}

impl Words for RouteTls {
    const WORDS: &'static [(&'static str, Self)] =
        &[("opportunistic", RouteTls::Opportunistic), ("required", RouteTls::Required)];
}

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

pub(crate) fn read_realms(sections: Vec<Section<'_>>, notes: &mut Notes<'_>) -> Vec<Realm> {
    let mut seen: HashMap<RealmName, Place> = HashMap::new();
    let mut parents = Vec::new();
    let mut realms = Vec::new();
    for mut section in sections {
        let name = section.parsed::<RealmName>("name", notes);
        if !section.has("name") {
            section.missing("name", "the realm's name", notes);
        }
        let parent = section.parsed::<RealmName>("parent", notes);
        let settings = read_settings(section.sections("setting", notes), notes);
        section.finish(notes);
        let Some(name) = name else { continue };
        let first = (name.value == RealmName::base()).then(|| "the root, which always exists".to_owned());
        let first = first.or_else(|| seen.get(&name.value).map(|place| notes.line(place.span.clone())));
        if let Some(first) = first {
            let text = format!("realm `{}` stands twice, first at {first}", name.value);
            notes.note(name.place.span, &name.place.path, text);
            continue;
        }
        seen.insert(name.value.clone(), name.place.clone());
        let value = parent.as_ref().map_or_else(RealmName::base, |parent| parent.value.clone());
        parents.push((name.value.clone(), parent.map_or(name.place, |parent| parent.place)));
        realms.push(Realm { name: name.value, parent: value, settings });
    }
    for (name, place) in parents {
        check_parents(&name, &place, &realms, notes);
    }
    realms
}

/// Follows the parents up to `base`; a way longer than there are realms is a loop.
fn check_parents(name: &RealmName, place: &Place, realms: &[Realm], notes: &mut Notes<'_>) {
    let mut at = name.clone();
    for _ in 0..=realms.len() {
        if at == RealmName::base() {
            return;
        }
        let Some(realm) = realms.iter().find(|realm| realm.name == at) else {
            let text = format!("realm `{at}` does not exist, expected one of the file's or `{BASE}`");
            return notes.note(place.span.clone(), &place.path, text);
        };
        at = realm.parent.clone();
    }
    notes.note(place.span.clone(), &place.path, format_args!("realm `{name}` is its own ancestor"));
}

pub(crate) fn read_domains(
    sections: Vec<Section<'_>>,
    realms: &[Realm],
    notes: &mut Notes<'_>,
) -> Vec<Domain> {
    let mut seen: HashMap<DomainName, Place> = HashMap::new();
    let mut domains = Vec::new();
    for section in sections {
        let Some((domain, place)) = read_domain(section, realms, notes) else { continue };
        if let Some(first) = seen.get(&domain.name) {
            let text =
                format!("domain `{}` stands twice, first at {}", domain.name, notes.line(first.span.clone()));
            notes.note(place.span, &place.path, text);
            continue;
        }
        seen.insert(domain.name.clone(), place);
        domains.push(domain);
    }
    domains
}

fn read_domain(mut section: Section<'_>, realms: &[Realm], notes: &mut Notes<'_>) -> Option<(Domain, Place)> {
    let name = section.parsed::<DomainName>("name", notes);
    if !section.has("name") {
        section.missing("name", "the domain's name", notes);
    }
    let realm = section.parsed::<RealmName>("realm", notes);
    if let Some(realm) = &realm {
        let known = realm.value == RealmName::base() || realms.iter().any(|known| known.name == realm.value);
        if !known {
            let text =
                format!("realm `{}` does not exist, expected one of the file's or `{BASE}`", realm.value);
            notes.note(realm.place.span.clone(), &realm.place.path, text);
        }
    }
    let route = route::read_list(&mut section, notes);
    let tls = RouteTls::read(&mut section, "tls", notes);
    let mapping = Mapping::read(&mut section, "mapping", notes);
    let profile = Profile::read(&mut section, "delivery", notes);
    let verification_server = section.parsed::<Route>("verification-server", notes).map(|found| found.value);
    section.finish(notes);
    let realm = realm.map_or_else(RealmName::base, |realm| realm.value);
    let route: Vec<Route> = route?.into_iter().map(|found| found.value).collect();
    let name = name?;
    let domain = Domain { name: name.value, realm, route, tls, verification_server, mapping, profile };
    Some((domain, name.place))
}

fn read_settings(sections: Vec<Section<'_>>, notes: &mut Notes<'_>) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for mut section in sections {
        let id = section.string("id", notes);
        let value = section.setting_value("value", notes);
        if !section.has("id") {
            section.missing("id", "a setting's number such as \"S-700\"", notes);
        }
        section.finish(notes);
        let Some(id) = id else { continue };
        let number = id.value.strip_prefix("S-").and_then(|digits| digits.parse().ok());
        match (number, value) {
            (None, _) => {
                let text = format!("`{}`: not a setting, expected a number such as \"S-700\"", id.value);
                notes.note(id.place.span, &id.place.path, text);
            }
            (Some(number), _) if settings.iter().any(|known| known.id == number) => {
                notes.note(id.place.span, &id.place.path, format_args!("setting `S-{number}` stands twice"));
            }
            (Some(id), Some(value)) => settings.push(Setting { id, value }),
            (Some(_), None) => {}
        }
    }
    settings
}
