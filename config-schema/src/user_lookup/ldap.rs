//! `method = "ldap"`: a directory that is asked by LDAP (RFC 4511), such as Active Directory.

mod filter;
mod name;
mod preset;
mod server;

use toml_edit::{Array, Table, value};

use crate::{
    bounded::bounded,
    domain::Around,
    mistake::Notes,
    reader::{Found, Place, Section},
    secret::{Sealing, Secret, Text},
    value::Period,
    words::Words,
};

pub use filter::{FILTER_DEPTH_MAX, FILTER_MAX, Filter, FilterError, FilterProblem, Test};
pub use name::{ATTRIBUTE_MAX, AttributeName, AttributeNameError, DN_MAX, Dn, DnError};
pub use preset::Preset;
pub use server::{Server, ServerError};

/// Servers of one directory.
pub const SERVERS_MAX: usize = 8;
/// Attributes in one list.
pub const ATTRIBUTES_MAX: usize = 16;
/// Longest name to bind with, in bytes.
pub const BIND_NAME_MAX: usize = 1_024;

/// A directory that is asked by LDAP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ldap {
    /// What it was set up as; what follows may differ from it.
    pub preset: Preset,
    /// The servers of the directory, tried in this order; at least one.
    pub servers: Vec<Server>,
    /// How the way to them is protected.
    pub security: Security,
    /// Whether a server has to show a certificate for its name.
    pub verify_certificate: bool,
    /// The entry below which everything is looked for.
    pub base: Dn,
    /// Whom we ask as; `None`: nobody in particular.
    pub bind: Option<Bind>,
    /// Which entries count, beside those that the preset names.
    pub filter: Option<Filter>,
    /// Where addresses stand, the foremost first.
    pub address_attributes: Vec<AttributeName>,
    /// Where the stream's name stands; the first that an entry has decides.
    pub stream_attributes: Vec<AttributeName>,
    /// What a user may log in by.
    pub login_attributes: Vec<AttributeName>,
    /// How much is asked at once, how long is waited, and how long an answer holds.
    pub pace: LdapPace,
}

/// An account of the directory that we ask as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Its distinguished name; Active Directory takes `user@domain` and `DOMAIN\user`, too.
    pub name: String,
    /// Its password; never empty.
    pub password: Secret,
}

/// How the way to a server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// TLS from the first byte on.
    #[default]
    Ldaps,
    /// TLS after asking for it (RFC 4511 §4.14); never without.
    StartTls,
    /// None: only for servers by addresses of a private network.
    Plain,
}

impl Words for Security {
    const WORDS: &'static [(&'static str, Self)] =
        &[("ldaps", Security::Ldaps), ("starttls", Security::StartTls), ("plain", Security::Plain)];
}

impl Security {
    /// The port of a server that names none.
    pub const fn port(self) -> u16 {
        match self {
            Security::Ldaps => 636,
            Security::StartTls | Security::Plain => 389,
        }
    }
}

const SECOND: Period = Period::from_secs(1);
const MINUTE: Period = Period::from_secs(60);
const HOUR: Period = Period::from_secs(3_600);
const DAY: Period = Period::from_secs(86_400);
const WEEK: Period = Period::from_secs(7 * 86_400);

bounded! {
    /// How much is asked of a directory at once, how long is waited, and how long an answer holds.
    pub struct LdapPace {
        /// Entries in one page when the whole directory is read.
        page_size: u32 = "page-size", 500, 10, 1_000;
        /// How long an answer may take.
        time_limit: Period = "time-limit", Period::from_secs(10), SECOND, MINUTE;
        /// How long an address counts as known before it is asked again.
        known_for: Period = "known-for", HOUR, SECOND, WEEK;
        /// How long an address counts as unknown before it is asked again.
        unknown_for: Period = "unknown-for", Period::from_secs(300), SECOND, DAY;
        /// How often the whole directory is read into the local copy; 0 s: never, and no copy is kept.
        sync_every: Period = "sync-every", Period::from_secs(6 * 3_600), Period::from_secs(0), WEEK;
    }
}

impl Ldap {
    pub(super) fn read(
        section: &mut Section<'_>,
        around: &Around<'_>,
        notes: &mut Notes<'_>,
    ) -> Option<Ldap> {
        if !section.has("preset") {
            missing(section, "preset", "one such as \"ad-windows-name\" or \"generic-username\"", notes);
        }
        let preset = Preset::read(section, "preset", notes);
        let security = Security::read(section, "security", notes);
        let servers = servers(section, security, around, notes);
        let verify_certificate = section.boolean("verify-certificate", notes).unwrap_or(true);
        if !section.has("base") {
            missing(section, "base", "the entry below which is looked, such as \"dc=example,dc=com\"", notes);
        }
        let base = section.parsed::<Dn>("base", notes);
        let bind = bind(section, notes);
        let filter = section.parsed::<Filter>("filter", notes);
        let mut attributes =
            |key, usual: Vec<AttributeName>| attributes(section, key, notes).unwrap_or(usual);
        let address_attributes = attributes("address-attributes", preset.address_attributes());
        let stream_attributes = attributes("stream-attributes", preset.stream_attributes());
        let login_attributes = attributes("login-attributes", preset.login_attributes());
        let pace = LdapPace::read_keys(section, notes);
        Some(Ldap {
            preset,
            servers: servers?,
            security,
            verify_certificate,
            base: base?.value,
            bind,
            filter: filter.map(|filter| filter.value),
            address_attributes,
            stream_attributes,
            login_attributes,
            pace,
        })
    }

    pub(super) fn write(&self, table: &mut Table, sealing: &mut Sealing) {
        table.insert("preset", value(self.preset.word()));
        let list = |items: Vec<String>| value(items.into_iter().collect::<Array>());
        table.insert("servers", list(self.servers.iter().map(Server::to_string).collect()));
        if self.security != Security::default() {
            table.insert("security", value(self.security.word()));
        }
        if !self.verify_certificate {
            table.insert("verify-certificate", value(false));
        }
        table.insert("base", value(self.base.as_str()));
        if let Some(bind) = &self.bind {
            table.insert("bind-dn", value(bind.name.as_str()));
            table.insert("bind-password", value(sealing.value(&bind.password)));
        }
        if let Some(filter) = &self.filter {
            table.insert("filter", value(filter.to_string()));
        }
        let lists = [
            ("address-attributes", &self.address_attributes, self.preset.address_attributes()),
            ("stream-attributes", &self.stream_attributes, self.preset.stream_attributes()),
            ("login-attributes", &self.login_attributes, self.preset.login_attributes()),
        ];
        for (key, given, usual) in lists {
            if *given != usual {
                table.insert(key, list(given.iter().map(AttributeName::to_string).collect()));
            }
        }
        self.pace.write(table);
    }

    /// The entries that count: those of the preset, narrowed by what was written.
    pub fn entries(&self) -> Filter {
        match &self.filter {
            Some(filter) => Filter::And(vec![self.preset.filter(), filter.clone()]),
            None => self.preset.filter(),
        }
    }
}

/// Notes that a key of this method is missing; other methods' lookups need not have it, so the schema does not.
fn missing(section: &Section<'_>, key: &str, expected: &str, notes: &mut Notes<'_>) {
    if !section.is_described() {
        section.missing(key, expected, notes);
    }
}

fn servers(
    section: &mut Section<'_>,
    security: Security,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Option<Vec<Server>> {
    if !section.has("servers") {
        missing(section, "servers", "at least one, such as [\"dc1.example.com\"]", notes);
    }
    if section.is_empty_list("servers") {
        let place = section.place_of("servers", "name");
        notes.note(place.span, &place.path, "an empty list, expected at least one server");
    }
    let found = section.list::<Server>("servers", notes)?;
    if let Some(extra) = found.get(SERVERS_MAX) {
        let text = format!("one too many, expected at most {SERVERS_MAX} servers");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    for (at, server) in found.iter().enumerate() {
        server::check(server, around.network, notes);
        if security == Security::Plain && !server.value.is_private() {
            let text = format!(
                "`{}` with security = \"plain\", where passwords and answers can be read and forged on their way; \
                 expected \"ldaps\" or \"starttls\", or an address of a private network such as \"[10.0.0.5]\"",
                server.value
            );
            notes.note(server.place.span.clone(), &server.place.path, text);
        }
        if found.iter().take(at).any(|earlier| earlier.value == server.value) {
            let text = format!("server `{}` stands twice, expected each once", server.value);
            notes.note(server.place.span.clone(), &server.place.path, text);
        }
    }
    let servers: Vec<Server> = found.into_iter().map(|server| server.value).collect();
    (!servers.is_empty()).then_some(servers)
}

fn bind(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Bind> {
    let name = section.string("bind-dn", notes);
    let password = section.text("bind-password", notes);
    for (present, absent) in [("bind-dn", "bind-password"), ("bind-password", "bind-dn")] {
        if section.has(present) && !section.has(absent) {
            section.missing(absent, &format!("it beside `{present}`"), notes);
        }
    }
    let name = name.filter(|name| {
        let fits =
            (1..=BIND_NAME_MAX).contains(&name.value.len()) && !name.value.chars().any(char::is_control);
        if !fits {
            let text = format!("not a name to bind with, expected 1 to {BIND_NAME_MAX} bytes of text");
            notes.note(name.place.span.clone(), &name.place.path, text);
        }
        fits
    });
    let password = password.and_then(|password| bind_password(password, notes));
    Some(Bind { name: name?.value, password: password? })
}

fn bind_password(found: Found<Text>, notes: &mut Notes<'_>) -> Option<Secret> {
    match found.value {
        Text::Unopened => Some(Secret::new("")),
        // RFC 4513 §5.1.2: a name with an empty password is bound as nobody, and succeeds.
        Text::Given(password) if password.expose().is_empty() => {
            notes.note(found.place.span, &found.place.path, "empty, expected the password of `bind-dn`");
            None
        }
        Text::Given(password) => Some(password),
    }
}

fn attributes(
    section: &mut Section<'_>,
    key: &'static str,
    notes: &mut Notes<'_>,
) -> Option<Vec<AttributeName>> {
    let place: Place = section.place_of(key, "name");
    let found = section.list::<AttributeName>(key, notes)?;
    if section.is_empty_list(key) {
        notes.note(place.span, &place.path, "an empty list, expected at least one attribute");
    }
    if let Some(extra) = found.get(ATTRIBUTES_MAX) {
        let text = format!("one too many, expected at most {ATTRIBUTES_MAX} attributes");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    for (at, name) in found.iter().enumerate() {
        if found.iter().take(at).any(|earlier| earlier.value == name.value) {
            let text = format!("attribute `{}` stands twice, expected each once", name.value);
            notes.note(name.place.span.clone(), &name.place.path, text);
        }
    }
    let names: Vec<AttributeName> = found.into_iter().map(|name| name.value).collect();
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests;
