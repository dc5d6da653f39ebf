//! The configuration: types, limits, and every mistake of a file at once.
//!
//! [`Config::parse`] gives a [`Config`] that holds no invalid state, or all [`Mistakes`], each with its line.

#![warn(missing_docs)]

pub mod address;
pub mod address_mapping;
pub mod administrator;
mod bounded;
pub mod command;
mod date;
pub mod delivery;
mod depth;
pub mod domain;
mod example;
mod export;
mod index;
mod json;
pub mod known_network;
pub mod limits;
mod mistake;
pub mod name;
pub mod network;
pub mod password;
pub mod provisioning;
mod reader;
pub mod realm;
pub mod recipients;
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
mod warning;
mod words;

pub use address::{AddressKey, AddressKeyError};
pub use address_mapping::AddressMapping;
pub use administrator::Administrator;
pub use date::{Date, DateError};
pub use delivery::Delivery;
pub use depth::DEPTH_MAX;
pub use domain::{Domain, Mapping, PlusAddresses, Profile, RouteTls, Unlisted};
pub use known_network::KnownNetwork;
pub use limits::{Limits, TcpLimits};
pub use mistake::{Mistake, Mistakes};
pub use network::{Addressing, Network};
pub use provisioning::Provisioning;
pub use realm::{Realm, RealmName, RealmStream, Resolved};
pub use recipients::{ProbeSender, Recipients};
pub use route::{Route, RouteHost};
pub use secret::{ReadFile, SealError, Secret, SecretMode, SecretSources, TotpSecret};
pub use setting::{Setting, SettingValue};
pub use stream::{StreamName, StreamNameError};
pub use time::TimeServer;
pub use tls::{Identity, Pem, PemError, Tls, TlsVersion};

pub use user::{Role, User, UserName};
pub use user_lookup::{EntraId, Guid, LookupName, Method, UserLookup};
pub use verification_server::VerificationServer;
pub use warning::Warning;

use std::collections::HashMap;

use domain::Around;
use index::Index;
use mistake::Notes;
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
    /// Addresses that have a stream of their own.
    pub address_mappings: Vec<AddressMapping>,
    /// Networks with privileges.
    pub known_networks: Vec<KnownNetwork>,
    /// What peers may take.
    pub limits: Limits,
    /// How long a TCP connection may stay in each phase.
    pub tcp: TcpLimits,
    /// How it is found out whether a recipient is real.
    pub recipients: Recipients,
    /// Which sender is named when a verification server is asked.
    pub probe_sender: ProbeSender,
    /// The billing cycle.
    pub provisioning: Provisioning,
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
    index: Index,
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
        let (realms, listed) = realm::read(root.sections("realm", notes), notes);
        let mut around =
            Around { realms: Realms::new(&realms), network: network.as_ref(), lookups: HashMap::new() };
        let user_lookups = user_lookup::read(root.sections("user-lookup", notes), &around, notes);
        around.lookups = user_lookups.iter().map(|lookup| (&lookup.name, lookup)).collect();
        let domains = domain::read(root.sections("domain", notes), &around, notes);
        let servers = root.sections("verification-server", notes);
        let verification_servers = verification_server::read(servers, &domains, &around, notes);
        realm::check_listed(&listed, &domains, notes);
        let address_mappings =
            address_mapping::read(root.sections("address-mapping", notes), &domains, notes);
        let known_networks = known_network::read(root.sections("known-network", notes), &around, notes);
        let (limits, tcp) = table(&mut root, "limits", notes, Limits::read);
        let (recipients, probe_sender) = table(&mut root, "recipients", notes, Recipients::read);
        let provisioning = table(&mut root, "provisioning", notes, Provisioning::read);
        let delivery = table(&mut root, "delivery", notes, Delivery::read);
        let time_servers = table(&mut root, "time", notes, time::read);
        let tls = table(&mut root, "tls", notes, Tls::read);
        let administrators = administrator::read(root.sections("administrator", notes), notes);
        let users = user::read(root.sections("user", notes), &around, &administrators, notes);
        root.finish(notes);
        let mut config = Config {
            network: network?,
            realms,
            user_lookups,
            domains,
            verification_servers,
            address_mappings,
            known_networks,
            limits,
            tcp,
            recipients,
            probe_sender,
            provisioning,
            delivery,
            time_servers,
            tls,
            administrators,
            users,
            index: Index::default(),
        };
        config.index = Index::of(&config);
        Some(config)
    }

    /// The value of a setting for a stream, and the stream that it comes from: itself, its realm's `default`, that of
    /// a realm above, `base:default`, or none. `None`: there is no such setting.
    pub fn setting(&self, stream: &StreamName, id: u16) -> Option<Resolved> {
        let setting = setting::Known::find(id)?;
        if let Some(own) = self.stream(stream).and_then(|own| setting::of(&own.settings, id)) {
            return Some(Resolved { value: own, from: Some(stream.clone()) });
        }
        let base = RealmName::base();
        let mut name = stream.realm();
        for _ in 0..=realm::REALM_DEPTH_MAX {
            let realm = self.realm(name);
            if let Some(value) = realm.and_then(|realm| setting::of(&realm.settings, id)) {
                return Some(Resolved { value, from: Some(StreamName::default_of(name.clone())) });
            }
            if *name == base {
                break;
            }
            // A realm that is gone has what all have.
            name = realm.map_or(&base, |realm| &realm.parent);
        }
        Some(Resolved { value: setting.usual, from: None })
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

/// The table under this key, or what it means that there is none.
fn table<'t, T: Default>(
    root: &mut Section<'t>,
    key: &'static str,
    notes: &mut Notes<'_>,
    read: impl FnOnce(Section<'t>, &mut Notes<'_>) -> T,
) -> T {
    match root.section(key, notes) {
        Some(section) => read(section, notes),
        None => T::default(),
    }
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
