//! What is no mistake and yet seldom meant.

use std::{collections::HashMap, fmt};

use crate::{
    Config, Domain, KnownNetwork, Mapping, Unlisted,
    realm::{BASE, Realm, RealmName},
    setting::{self, SettingValue},
    stream::DEFAULT,
};

/// The number of the setting that lets in only valid recipients.
const ONLY_VALID: u16 = 700;

/// Something that works, but perhaps not as it was meant. Printed as `path: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key's path, such as `domain[0].mapping`.
    pub path: String,
    /// What will happen, and what to do if that is not wanted.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

impl Config {
    /// What is no mistake and yet seldom meant, in the order of the sections.
    pub fn warnings(&self) -> Vec<Warning> {
        let realms = self.realms.iter().enumerate().filter_map(|(at, realm)| for_everybody(at, realm));
        let domains = self.domains.iter().enumerate().flat_map(|(at, domain)| {
            [
                self.needless_server(at, domain),
                self.nobody_to_verify(at, domain),
                self.accepts_all(at, domain),
            ]
        });
        let networks = self.known_networks.iter().enumerate().filter_map(|(at, known)| no_stream(at, known));
        realms.chain(self.collisions()).chain(domains.flatten()).chain(networks).collect()
    }

    /// Domains of one realm whose local parts name the same streams.
    fn collisions(&self) -> Vec<Warning> {
        let mut first: HashMap<&RealmName, &Domain> = HashMap::new();
        let mut warnings = Vec::new();
        for (at, domain) in self.domains.iter().enumerate() {
            if domain.mapping != Mapping::ChopDomain {
                continue;
            }
            let Some(other) = first.get(&domain.realm) else {
                first.insert(&domain.realm, domain);
                continue;
            };
            let text = format!(
                "\"chop-domain\" as in `{other}`, of the same realm: `info@{other}` and `info@{own}` share the \
                 stream `{realm}:info`; \"as-is\" keeps them apart",
                other = other.name,
                own = domain.name,
                realm = domain.realm
            );
            warnings.push(Warning { path: format!("domain[{at}].mapping"), text });
        }
        warnings
    }

    /// The server of a domain whose user lookup has the last word.
    fn needless_server(&self, at: usize, domain: &Domain) -> Option<Warning> {
        let Mapping::Lookup(lookup) = &domain.mapping else { return None };
        if domain.unlisted == Unlisted::Verify {
            return None;
        }
        let path = match &domain.verification_server {
            Some(_) => format!("domain[{at}].verification-server"),
            None => {
                let named = |server: &crate::VerificationServer| server.domain.as_ref() == Some(&domain.name);
                format!("verification-server[{}]", self.verification_servers.iter().position(named)?)
            }
        };
        let text = format!(
            "user lookup `{lookup}` alone says who is a recipient in `{}`, so that the server is never asked; remove \
             it, or set unlisted = \"verify\"",
            domain.name
        );
        Some(Warning { path, text })
    }

    /// `verify` where it leads nowhere.
    fn nobody_to_verify(&self, at: usize, domain: &Domain) -> Option<Warning> {
        if domain.unlisted != Unlisted::Verify {
            return None;
        }
        let text = match &domain.mapping {
            Mapping::Lookup(_) if self.verification_server(&domain.name).is_some() => return None,
            Mapping::Lookup(_) => format!(
                "`{}` has no verification server, so that an address is accepted although its user lookup does not \
                 list it",
                domain.name
            ),
            mapping => {
                format!(
                    "the mapping \"{}\" lists no addresses, so that this changes nothing",
                    mapping.as_str()
                )
            }
        };
        Some(Warning { path: format!("domain[{at}].unlisted"), text })
    }

    /// A domain of which nobody says who is a recipient.
    fn accepts_all(&self, at: usize, domain: &Domain) -> Option<Warning> {
        let default = crate::StreamName::default_of(domain.realm.clone());
        let only_valid = self.setting(&default, ONLY_VALID)?.value == SettingValue::Switch(true);
        let is_known = matches!(domain.mapping, Mapping::Lookup(_)) || only_valid;
        if is_known || self.verification_server(&domain.name).is_some() {
            return None;
        }
        let text = format!(
            "nothing says who is a recipient in `{}`, so that every address is accepted; name a user lookup or a \
             verification server, or set S-{ONLY_VALID}",
            domain.name
        );
        Some(Warning { path: format!("domain[{at}]"), text })
    }
}

/// S-700 where it reaches every realm.
fn for_everybody(at: usize, realm: &Realm) -> Option<Warning> {
    let on = setting::of(&realm.settings, ONLY_VALID) == Some(SettingValue::Switch(true));
    let place = realm.settings.iter().position(|setting| setting.id == ONLY_VALID)?;
    if !on || realm.name.as_str() != BASE {
        return None;
    }
    let text = format!(
        "S-{ONLY_VALID} in `{BASE}:{DEFAULT}` holds for every realm that does not say otherwise: all mail is refused \
         but that for valid recipients"
    );
    Some(Warning { path: format!("realm[{at}].setting[{place}]"), text })
}

/// A network that sends to everybody, in nobody's name.
fn no_stream(at: usize, known: &KnownNetwork) -> Option<Warning> {
    if !known.relay || known.stream.is_some() {
        return None;
    }
    let text =
        "may relay without `stream`: what it sends to foreign domains is in nobody's stream".to_owned();
    Some(Warning { path: format!("known-network[{at}]"), text })
}

#[cfg(test)]
mod tests;
