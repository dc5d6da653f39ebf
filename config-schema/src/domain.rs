//! `[[domain]]`: whose mail is taken, and where it goes.

use std::collections::HashMap;

use crate::{
    mistake::Notes,
    name::DomainName,
    network::Network,
    reader::{Found, Place, Section},
    realm::{BASE, RealmName, Realms},
    route::{self, Route},
    setting::{Known, SettingValue},
    stream::StreamName,
    user_lookup::{LookupName, Method, UserLookup},
    words::Words,
};

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
    /// What becomes of an address that the mapping's user lookup does not list.
    pub unlisted: Unlisted,
    /// Whether the tag of a plus address counts.
    pub plus_addresses: PlusAddresses,
    /// The user lookup that checks the logins of the domain's people.
    pub authentication: Option<LookupName>,
    /// What is done to the envelope for Microsoft 365's sake.
    pub profile: Profile,
}

/// What becomes of an address that the mapping's user lookup does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unlisted {
    /// It is refused.
    #[default]
    Refuse,
    /// The verification server is asked.
    Verify,
}

/// Whether the tag of a plus address counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlusAddresses {
    /// `user+tag@` is `user@`.
    #[default]
    Base,
    /// Both are addresses of their own.
    Exact,
}

/// How an address becomes a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Mapping {
    /// The whole address.
    #[default]
    AsIs,
    /// The local part.
    ChopDomain,
    /// What this user lookup says; an address that it does not know is no recipient.
    Lookup(LookupName),
}

impl Mapping {
    /// The text that is read as this value.
    pub fn as_str(&self) -> &str {
        match self {
            Mapping::AsIs => "as-is",
            Mapping::ChopDomain => "chop-domain",
            Mapping::Lookup(name) => name.as_str(),
        }
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RouteTls {
    /// TLS when it is offered, whoever the peer is; DANE is obeyed where it is published.
    #[default]
    Opportunistic,
    /// TLS with a certificate for the host's name, or no delivery.
    Required,
}

impl Words for Profile {
    const WORDS: &'static [(&'static str, Self)] =
        &[("enhanced-filtering", Profile::EnhancedFiltering), ("srs", Profile::Srs)];
}

impl Words for Unlisted {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Unlisted::Refuse), ("verify", Unlisted::Verify)];
}

impl Words for PlusAddresses {
    const WORDS: &'static [(&'static str, Self)] =
        &[("base", PlusAddresses::Base), ("exact", PlusAddresses::Exact)];
}

impl Words for RouteTls {
    const WORDS: &'static [(&'static str, Self)] =
        &[("opportunistic", RouteTls::Opportunistic), ("required", RouteTls::Required)];
}

/// What the domains are checked against.
pub(crate) struct Around<'c> {
    pub(crate) realms: Realms<'c>,
    /// `None` when it could not be read.
    pub(crate) network: Option<&'c Network>,
    pub(crate) lookups: HashMap<&'c LookupName, &'c UserLookup>,
}

pub(crate) fn read(sections: Vec<Section<'_>>, around: &Around<'_>, notes: &mut Notes<'_>) -> Vec<Domain> {
    let mut seen: HashMap<DomainName, Place> = HashMap::new();
    sections.into_iter().filter_map(|section| read_one(section, &mut seen, around, notes)).collect()
}

fn read_one(
    mut section: Section<'_>,
    seen: &mut HashMap<DomainName, Place>,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Option<Domain> {
    let name = name(&mut section, seen, notes);
    let realm = realm(&mut section, around, notes);
    let route = route::read_list(&mut section, notes);
    for hop in route.iter().flatten() {
        route::check(hop, around.network, notes);
    }
    let tls = RouteTls::read(&mut section, "tls", notes);
    let mapping = mapping(&mut section, &realm, around, notes);
    let unlisted = Unlisted::read(&mut section, "unlisted", notes);
    let plus_addresses = PlusAddresses::read(&mut section, "plus-addresses", notes);
    let authentication = authentication(&mut section, &realm, &mapping, around, notes);
    let profile = Profile::read(&mut section, "delivery", notes);
    check_profile(&section, profile, &realm, around, notes);
    let verification_server = section.parsed::<Route>("verification-server", notes);
    if let Some(server) = &verification_server {
        route::check(server, around.network, notes);
    }
    section.finish(notes);
    let verification_server = verification_server.map(|found| found.value);
    let route = route?.into_iter().map(|found| found.value).collect();
    Some(Domain {
        name: name?,
        realm,
        route,
        tls,
        verification_server,
        mapping,
        unlisted,
        plus_addresses,
        authentication,
        profile,
    })
}

fn name(
    section: &mut Section<'_>,
    seen: &mut HashMap<DomainName, Place>,
    notes: &mut Notes<'_>,
) -> Option<DomainName> {
    if !section.has("name") {
        section.missing("name", "the domain's name", notes);
    }
    let name = section.domain_name("name", notes)?;
    let Some(first) = seen.insert(name.value.clone(), name.place.clone()) else { return Some(name.value) };
    let first = notes.line(first.span);
    let text = format!("domain `{}` stands twice, first at {first}, expected each once", name.value);
    notes.note(name.place.span, &name.place.path, text);
    None
}

/// The realm that something belongs to; [`BASE`] where the file does not say.
pub(crate) fn realm(section: &mut Section<'_>, around: &Around<'_>, notes: &mut Notes<'_>) -> RealmName {
    let Some(realm) = section.parsed::<RealmName>("realm", notes) else { return RealmName::base() };
    if !around.realms.exists(&realm.value) {
        let text = format!("realm `{}` does not exist, expected one of the file's or `{BASE}`", realm.value);
        notes.note(realm.place.span, &realm.place.path, text);
    }
    realm.value
}

fn mapping(
    section: &mut Section<'_>,
    realm: &RealmName,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Mapping {
    let Some(found) = section.string("mapping", notes) else { return Mapping::AsIs };
    match found.value.as_str() {
        "as-is" => return Mapping::AsIs,
        "chop-domain" => return Mapping::ChopDomain,
        _ => {}
    }
    let unknown = "is neither \"as-is\" nor \"chop-domain\" nor a user lookup of the file, expected one";
    let lookup = around.lookup(&found, realm, unknown, notes);
    if let Some(lookup) = lookup.filter(|lookup| !lookup.method.can_stream()) {
        let text =
            format!("user lookup `{}` only checks logins, expected one that knows addresses", lookup.name);
        notes.note(found.place.span, &found.place.path, text);
    }
    lookup.map_or(Mapping::AsIs, |lookup| Mapping::Lookup(lookup.name.clone()))
}

fn authentication(
    section: &mut Section<'_>,
    realm: &RealmName,
    mapping: &Mapping,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Option<LookupName> {
    let found = section.string("authentication", notes)?;
    let lookup = around.lookup(&found, realm, "is no user lookup of the file, expected one", notes)?;
    if !lookup.method.can_authenticate() {
        let text =
            format!("user lookup `{}` only knows addresses, expected one that checks logins", lookup.name);
        notes.note(found.place.span, &found.place.path, text);
        return None;
    }
    // Otherwise people would log in to a stream to which no mail comes.
    if let Method::Mailbox(mailbox) = &lookup.method
        && let Some(wrong) = mailbox.misfit(mapping)
    {
        let text = format!("user lookup `{}` {wrong}", lookup.name);
        notes.note(found.place.span, &found.place.path, text);
    }
    Some(lookup.name.clone())
}

impl<'c> Around<'c> {
    /// The user lookup of this name, if a domain of `realm` may use it; otherwise the mistake is noted, `unknown`
    /// being what is said of a name that none has.
    pub(crate) fn lookup(
        &self,
        found: &Found<String>,
        realm: &RealmName,
        unknown: &str,
        notes: &mut Notes<'_>,
    ) -> Option<&'c UserLookup> {
        let lookup = found.value.parse::<LookupName>().ok().and_then(|name| self.lookups.get(&name).copied());
        let wrong = match lookup {
            None => format!("`{}` {unknown}", found.value),
            Some(lookup) if !self.realms.is_within(realm, &lookup.realm) => format!(
                "user lookup `{}` belongs to realm `{}`, expected one of realm `{realm}` or above it",
                lookup.name, lookup.realm
            ),
            Some(_) => return lookup,
        };
        notes.note(found.place.span.clone(), &found.place.path, wrong);
        None
    }
}

/// The number of the setting that turns the rewriting of senders on.
const SRS: u16 = 930;

/// The profile and S-930 say the same thing in two places; they exclude each other where they differ.
fn check_profile(
    section: &Section<'_>,
    profile: Profile,
    realm: &RealmName,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) {
    let Some(setting) = Known::find(SRS) else { return };
    let resolved = around.realms.resolve(realm, setting);
    let Some(from) = resolved.from.as_ref().map(StreamName::realm) else { return };
    let on = resolved.value == SettingValue::Switch(true);
    if on != (profile == Profile::Srs) {
        let place = section.place_of("delivery", "name");
        let right = if on { Profile::Srs } else { Profile::EnhancedFiltering };
        let text = format!(
            "\"{}\" beside S-{SRS} = {on} in realm `{from}`, expected delivery = \"{}\" or no S-{SRS}",
            profile.word(),
            right.word()
        );
        notes.note(place.span, &place.path, text);
    }
}
