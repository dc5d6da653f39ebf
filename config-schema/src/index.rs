//! Where things stand in a configuration, by their names: look-ups at each recipient take no walk.

use std::{
    borrow::Borrow,
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
};

use crate::{
    Config, name::DomainName, realm::RealmName, stream::StreamName, user::UserName, user_lookup::LookupName,
};

/// Places in the lists of a [`Config`], as it was read. A list that was changed since has none for what is new.
#[derive(Clone, Default)]
pub(crate) struct Index {
    domains: HashMap<DomainName, usize>,
    realms: HashMap<RealmName, usize>,
    /// The realm's place and the stream's.
    streams: HashMap<StreamName, (usize, usize)>,
    user_lookups: HashMap<LookupName, usize>,
    address_mappings: HashMap<Box<str>, usize>,
    verification_servers: HashMap<Option<DomainName>, usize>,
    users: HashMap<UserName, usize>,
    /// The valid recipients of each stream, by their keys.
    listed: HashMap<StreamName, HashSet<Box<str>>>,
}

impl Index {
    pub(crate) fn of(config: &Config) -> Index {
        let streams = config.realms.iter().enumerate().flat_map(|(realm, found)| {
            found.streams.iter().enumerate().map(move |(at, stream)| (stream.name.clone(), (realm, at)))
        });
        Index {
            domains: places(&config.domains, |domain| domain.name.clone()),
            realms: places(&config.realms, |realm| realm.name.clone()),
            streams: streams.collect(),
            user_lookups: places(&config.user_lookups, |lookup| lookup.name.clone()),
            address_mappings: places(&config.address_mappings, |mapping| mapping.address.as_str().into()),
            verification_servers: places(&config.verification_servers, |server| server.domain.clone()),
            users: places(&config.users, |user| user.name.clone()),
            listed: listed(config),
        }
    }
}

fn listed(config: &Config) -> HashMap<StreamName, HashSet<Box<str>>> {
    let mut streams: HashMap<StreamName, HashSet<Box<str>>> = HashMap::new();
    for (stream, address) in config.listed_recipients() {
        streams.entry(stream).or_default().insert(address.into());
    }
    streams
}

fn places<T, K: Hash + Eq>(list: &[T], name: impl Fn(&T) -> K) -> HashMap<K, usize> {
    list.iter().enumerate().map(|(at, item)| (name(item), at)).collect()
}

/// What stands in `list` under this name.
fn find<'l, T, K, Q>(
    list: &'l [T],
    places: &HashMap<K, usize>,
    name: &Q,
    own: impl Fn(&T) -> &Q,
) -> Option<&'l T>
where
    K: Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    let found = list.get(*places.get(name)?)?;
    (own(found) == name).then_some(found)
}

impl Config {
    /// The domain of this exact name.
    pub fn domain(&self, name: &DomainName) -> Option<&crate::Domain> {
        find(&self.domains, &self.index.domains, name, |domain| &domain.name)
    }

    /// The realm of this name, if it stands in the file; `base` exists without.
    pub fn realm(&self, name: &RealmName) -> Option<&crate::Realm> {
        find(&self.realms, &self.index.realms, name, |realm| &realm.name)
    }

    /// The stream of this name, if it stands in the file. A `default` stream is the realm's own.
    pub fn stream(&self, name: &StreamName) -> Option<&crate::RealmStream> {
        let (realm, at) = *self.index.streams.get(name)?;
        self.realms.get(realm)?.streams.get(at).filter(|stream| stream.name == *name)
    }

    /// The user lookup of this name.
    pub fn user_lookup(&self, name: &LookupName) -> Option<&crate::UserLookup> {
        find(&self.user_lookups, &self.index.user_lookups, name, |lookup| &lookup.name)
    }

    /// The mapping of an address that has one of its own, by its key.
    pub fn address_mapping(&self, key: &str) -> Option<&crate::AddressMapping> {
        find(&self.address_mappings, &self.index.address_mappings, key, |mapping| mapping.address.as_str())
    }

    /// Whether the file lists an address, by its key, among the valid recipients of this very stream.
    pub fn lists_recipient(&self, stream: &StreamName, key: &str) -> bool {
        self.index.listed.get(stream).is_some_and(|listed| listed.contains(key))
    }

    /// The valid recipients of the file, each with the stream whose table lists it.
    pub fn listed_recipients(&self) -> impl Iterator<Item = (StreamName, &str)> {
        self.realms.iter().flat_map(|realm| {
            let own = realm
                .valid_recipients
                .iter()
                .map(|address| (StreamName::default_of(realm.name.clone()), address.as_str()));
            let of_streams = realm.streams.iter().flat_map(|stream| {
                stream.valid_recipients.iter().map(|address| (stream.name.clone(), address.as_str()))
            });
            own.chain(of_streams)
        })
    }

    /// Whether there is such a realm; `base` always is.
    pub fn has_realm(&self, name: &RealmName) -> bool {
        name.as_str() == crate::realm::BASE || self.realm(name).is_some()
    }

    /// How many settings a stream has of its own.
    pub fn own_settings(&self, stream: &StreamName) -> usize {
        let of_realm = || self.realm(stream.realm()).map_or(0, |realm| realm.settings.len());
        let own = self.stream(stream).map_or(0, |stream| stream.settings.len());
        if stream.is_default() { of_realm() } else { own }
    }

    /// The same without the verification server that a domain names itself; `None` if it names none.
    pub fn without_verification_server(&self, name: &DomainName) -> Option<Config> {
        let mut config = self.clone();
        let domain = config.domains.iter_mut().find(|domain| domain.name == *name)?;
        domain.verification_server.take()?;
        Some(config)
    }

    /// The user of this name.
    pub fn user(&self, name: &UserName) -> Option<&crate::User> {
        find(&self.users, &self.index.users, name, |user| &user.name)
    }

    /// The host that is asked whether a recipient in this domain exists: its own, or else the one for all.
    pub fn verification_server(&self, domain: &DomainName) -> Option<&crate::Route> {
        let own = self.domain(domain).and_then(|domain| domain.verification_server.as_ref());
        let named = |name: &Option<DomainName>| {
            find(&self.verification_servers, &self.index.verification_servers, name, |server| &server.domain)
                .map(|found| &found.server)
        };
        own.or_else(|| named(&Some(domain.clone()))).or_else(|| named(&None))
    }
}

/// Two configurations are the same when their files say the same.
impl PartialEq for Index {
    fn eq(&self, _: &Index) -> bool {
        true
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index")
    }
}
