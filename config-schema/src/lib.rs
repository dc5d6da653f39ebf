//! The configuration: types, limits, and every mistake of a file at once.
//!
//! [`Config::parse`] gives a [`Config`] that holds no invalid state, or all [`Mistakes`], each with its line.

#![warn(missing_docs)]

pub mod administrator;
mod bounded;
pub mod command;
mod date;
pub mod delivery;
mod depth;
pub mod domain;
mod example;
mod export;
mod json;
pub mod known_network;
pub mod limits;
mod mistake;
pub mod name;
pub mod network;
pub mod password;
mod reader;
pub mod realm;
pub mod route;
mod schema;
pub mod secret;
pub mod setting;
pub mod stream;
pub mod time;
pub mod tls;
pub mod user;
pub mod user_lookup;
pub mod value;
pub mod verification_server;
mod words;

pub use administrator::Administrator;
pub use date::{Date, DateError};
pub use delivery::Delivery;
pub use depth::DEPTH_MAX;
pub use domain::{Domain, Mapping, Profile, RouteTls};
pub use known_network::KnownNetwork;
pub use limits::{Limits, TcpLimits};
pub use mistake::{Mistake, Mistakes};
pub use network::{Addressing, Network};
pub use realm::{Realm, RealmName, Resolved};
pub use route::{Route, RouteHost};
pub use secret::{ReadFile, SealError, Secret, SecretMode, SecretSources, TotpSecret};
pub use setting::{Setting, SettingValue};
pub use stream::{StreamName, StreamNameError};
pub use time::TimeServer;
pub use tls::{Identity, Pem, PemError, Tls, TlsVersion};

pub use user::{Role, User, UserName};
pub use user_lookup::{EntraId, Guid, LookupName, Method, UserLookup};
pub use verification_server::VerificationServer;

use std::collections::HashMap;

use domain::Around;
use mistake::Notes;
use name::DomainName;
use reader::{Place, Section};
use realm::Realms;

/// The version of the file that this program writes.
pub const VERSION: u64 = 1;
/// Longest file, in bytes.
pub const TEXT_MAX: usize = 1 << 20;
/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Who the appliance is.
    pub network: Network,
    /// The tenants; `base` is among them only when the file gives it settings.
    pub realms: Vec<Realm>,
    /// Connectors to directories and login services, each name once.
    pub user_lookups: Vec<UserLookup>,
    /// The domains, each name once.
    pub domains: Vec<Domain>,
    /// Hosts that are asked about recipients, for domains that name none themselves.
    pub verification_servers: Vec<VerificationServer>,
    /// Networks with privileges.
    pub known_networks: Vec<KnownNetwork>,
    /// What peers may take.
    pub limits: Limits,
    /// How long a TCP connection may stay in each phase.
    pub tcp: TcpLimits,
    /// How mail is handed on.
    pub delivery: Delivery,
    /// Time servers; empty: those that DHCP names.
    pub time_servers: Vec<TimeServer>,
    /// Certificates of ours and of those we trust.
    pub tls: Tls,
    /// Who may log in and change everything.
    pub administrators: Vec<Administrator>,
    /// Who else may log in, each name once.
    pub users: Vec<User>,
}

impl Config {
    /// Reads a file whose secrets stand in it. `file` is its name in messages.
    ///
    /// # Errors
    /// Every mistake of the file, in the order of its lines.
    pub fn parse(file: &str, text: &str) -> Result<Config, Mistakes> {
        Config::parse_with(file, text, &SecretSources::default())
    }

    /// Reads a file, and what it names of other files and seals.
    ///
    /// # Errors
    /// As [`Config::parse`]; a file that cannot be read or a seal that cannot be opened is a mistake too.
    pub fn parse_with(file: &str, text: &str, secrets: &SecretSources<'_>) -> Result<Config, Mistakes> {
        let mut notes = Notes::new(file, text, secrets);
        let config = read(text, &mut notes);
        match (notes.finish(), config) {
            (None, Some(config)) => Ok(config),
            (Some(mistakes), _) => Err(mistakes),
            (None, None) => {
                let mut notes = Notes::new(file, text, secrets);
                notes.note(None, "", "the file is not complete");
                Err(notes.into_mistakes())
            }
        }
    }

    fn read(mut root: Section<'_>, notes: &mut Notes<'_>) -> Option<Config> {
        read_version(&mut root, notes);
        if !root.has("network") {
            root.missing("network", "a table [network]", notes);
        }
        let network = root.section("network", notes).and_then(|section| Network::read(section, notes));
        let realms = realm::read(root.sections("realm", notes), notes);
        let mut around =
            Around { realms: Realms::new(&realms), network: network.as_ref(), lookups: HashMap::new() };
        let user_lookups = user_lookup::read(root.sections("user-lookup", notes), &around, notes);
        around.lookups = user_lookups.iter().map(|lookup| (&lookup.name, lookup)).collect();
        let domains = domain::read(root.sections("domain", notes), &around, notes);
        let servers = root.sections("verification-server", notes);
        let verification_servers = verification_server::read(servers, &domains, &around, notes);
        let known_networks = known_network::read(root.sections("known-network", notes), notes);
        let (limits, tcp) =
            root.section("limits", notes).map(|section| Limits::read(section, notes)).unwrap_or_default();
        let delivery =
            root.section("delivery", notes).map(|section| Delivery::read(section, notes)).unwrap_or_default();
        let time_servers =
            root.section("time", notes).map(|section| time::read(section, notes)).unwrap_or_default();
        let tls = root.section("tls", notes).map(|section| Tls::read(section, notes)).unwrap_or_default();
        let administrators = administrator::read(root.sections("administrator", notes), notes);
        let users = user::read(root.sections("user", notes), &around, &administrators, notes);
        root.finish(notes);
        Some(Config {
            network: network?,
            realms,
            user_lookups,
            domains,
            verification_servers,
            known_networks,
            limits,
            tcp,
            delivery,
            time_servers,
            tls,
            administrators,
            users,
        })
    }

    /// The domain of this exact name.
    pub fn domain(&self, name: &DomainName) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.name == *name)
    }

    /// The user of this name.
    pub fn user(&self, name: &UserName) -> Option<&User> {
        self.users.iter().find(|user| user.name == *name)
    }

    /// The host that is asked whether a recipient in this domain exists: its own, or else the one for all.
    pub fn verification_server(&self, domain: &DomainName) -> Option<&Route> {
        let own = self.domain(domain).and_then(|domain| domain.verification_server.as_ref());
        let named = |name: Option<&DomainName>| {
            let found = self.verification_servers.iter().find(|server| server.domain.as_ref() == name);
            found.map(|found| &found.server)
        };
        own.or_else(|| named(Some(domain))).or_else(|| named(None))
    }

    /// The value of a setting in a realm's `default` stream, and the realm that it comes from. `None`: there is no
    /// such setting.
    pub fn setting(&self, realm: &RealmName, id: u16) -> Option<Resolved> {
        let setting = setting::Known::find(id)?;
        let realms = Realms::new(&self.realms);
        let own = realms.resolve(realm, setting);
        Some(if own.from.is_some() { own } else { realms.resolve(&RealmName::base(), setting) })
    }

    /// The first known network that holds this address.
    pub fn known_network(&self, address: std::net::IpAddr) -> Option<&KnownNetwork> {
        self.known_networks
            .iter()
            .find(|known| known.networks.iter().any(|network| network.contains(&address)))
    }
}

fn read(text: &str, notes: &mut Notes<'_>) -> Option<Config> {
    if text.len() > TEXT_MAX {
        notes.note(None, "", format_args!("{} bytes, expected at most {TEXT_MAX}", text.len()));
        return None;
    }
    let document = match toml_edit::Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            notes.note(error.span(), "", error.message().replace('\n', ", "));
            return None;
        }
    };
    if let Err(depth::TooDeep(span)) = depth::check(document.as_table()) {
        notes.note(span, "", format_args!("nested deeper than {DEPTH_MAX}, expected no more"));
        return None;
    }
    let place = Place { span: Some(0..0), path: String::new() };
    Config::read(Section::new(document.as_table(), place), notes)
}

fn read_version(root: &mut Section<'_>, notes: &mut Notes<'_>) {
    let place = root.place_of("version", "version");
    if !root.has("version") {
        root.missing("version", &format!("version = {VERSION}"), notes);
    }
    // The schema is that of one version.
    let most = if root.is_described() { VERSION } else { i64::MAX.unsigned_abs() };
    let version = root.number("version", 1..=most, notes);
    if let Some(version) = version.filter(|version| *version > VERSION) {
        let text = format!("{version} is newer than this program, expected {VERSION} at most");
        notes.note(place.span, &place.path, text);
    }
}

#[cfg(test)]
mod tests;
