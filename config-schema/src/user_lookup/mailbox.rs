//! `method = "imap"` and `method = "pop3"`: a password is right when the mail server takes it.

use std::{fmt, str::FromStr};

use toml_edit::{Array, Table, value};

use crate::{
    domain::{Around, Mapping},
    mistake::Notes,
    name::DomainName,
    reader::{Found, Section},
    route::{self, Route, RouteError, RouteHost},
    words::Words,
};

/// Servers of one lookup.
pub const SERVERS_MAX: usize = 8;
/// Longest time that good credentials are remembered, in days.
pub const CACHE_DAYS_MAX: u8 = 30;

/// A lookup that logs in to a mail server with the password that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// What is spoken.
    pub protocol: Protocol,
    /// The servers, asked in this order while one cannot be reached; never empty.
    pub servers: Vec<Server>,
    /// How the way to them is protected.
    pub security: Security,
    /// The server knows its users without their domain.
    pub strip_domain: bool,
    /// The server is told the user's name in lower case.
    pub lower_case: bool,
    /// The home stream is named in lower case.
    pub lower_case_stream: bool,
    /// The home stream has no domain; what fits depends on the domain's mapping.
    pub strip_domain_from_stream: bool,
    /// Days for which good credentials are remembered; 0: not at all.
    pub cache_days: u8,
}

/// How to log in to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 9051 and RFC 3501.
    Imap,
    /// RFC 1939.
    Pop3,
}

/// How the way is protected. The certificate has to be the host's in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// TLS from the first byte (RFC 8314 §3).
    #[default]
    Tls,
    /// TLS after STARTTLS or STLS, or no login.
    StartTls,
}

impl Words for Security {
    const WORDS: &'static [(&'static str, Self)] =
        &[("tls", Security::Tls), ("starttls", Security::StartTls)];
}

/// A mail server, written as a next hop is. A name is looked up by its addresses, never by MX.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server(Route);

impl Server {
    /// The host.
    pub fn host(&self) -> &RouteHost {
        &self.0.host
    }

    /// The port, which is the protocol's unless the file names one.
    pub fn port(&self, protocol: Protocol, security: Security) -> u16 {
        self.0.port.unwrap_or(match (protocol, security) {
            (Protocol::Imap, Security::Tls) => 993,
            (Protocol::Imap, Security::StartTls) => 143,
            (Protocol::Pop3, Security::Tls) => 995,
            (Protocol::Pop3, Security::StartTls) => 110,
        })
    }
}

impl FromStr for Server {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Server, RouteError> {
        text.parse().map(Server)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where Microsoft 365 keeps mailboxes.
const MICROSOFT: [&str; 6] =
    ["office365.com", "office.com", "outlook.com", "office365.us", "partner.outlook.cn", "apps.mil"];

impl Mailbox {
    /// What keeps the lookup from naming the streams that a domain's mapping names.
    pub(crate) fn misfit(&self, mapping: &Mapping) -> Option<String> {
        let (mapping, expected) = match mapping {
            Mapping::AsIs => ("as-is", false),
            Mapping::ChopDomain => ("chop-domain", true),
            // What a directory calls a stream cannot be made of a name.
            Mapping::Lookup(_) => return None,
        };
        (self.strip_domain_from_stream != expected).then(|| {
            format!(
                "has strip-domain-from-stream = {}, expected {expected} beside mapping = \"{mapping}\"",
                self.strip_domain_from_stream
            )
        })
    }

    /// What people should know of a lookup that is right and still cannot work.
    pub fn warning(&self) -> Option<String> {
        let of_microsoft = |server: &&Server| match server.host() {
            RouteHost::Name(name) => MICROSOFT
                .iter()
                .any(|domain| DomainName::parse(domain).is_ok_and(|domain| name.is_within(&domain))),
            RouteHost::Address(_) => false,
        };
        let server = self.servers.iter().find(of_microsoft)?;
        Some(format!(
            "`{server}` is a server of Microsoft 365, which has taken no passwords since 31 December 2022: nobody \
             can log in by this user lookup. Use one with method = \"oidc\""
        ))
    }

    pub(crate) fn read(
        protocol: Protocol,
        section: &mut Section<'_>,
        around: &Around<'_>,
        notes: &mut Notes<'_>,
    ) -> Option<Mailbox> {
        let servers = servers(section, around, notes);
        let security = Security::read(section, "security", notes);
        let mut flag = |key| section.boolean(key, notes);
        let strip_domain = flag("strip-domain").unwrap_or(false);
        let lower_case = flag("lower-case").unwrap_or(false);
        let lower_case_stream = flag("lower-case-stream").unwrap_or(true);
        let strip_domain_from_stream = flag("strip-domain-from-stream").unwrap_or(false);
        let cache_days = section.number("cache-days", 0..=CACHE_DAYS_MAX.into(), notes).unwrap_or(0);
        Some(Mailbox {
            protocol,
            servers: servers?,
            security,
            strip_domain,
            lower_case,
            lower_case_stream,
            strip_domain_from_stream,
            cache_days: u8::try_from(cache_days).unwrap_or(0),
        })
    }

    pub(crate) fn write(&self, table: &mut Table) {
        let servers: Array = self.servers.iter().map(ToString::to_string).collect();
        table.insert("servers", value(servers));
        if self.security != Security::default() {
            table.insert("security", value(self.security.word()));
        }
        for (key, given, usual) in [
            ("strip-domain", self.strip_domain, false),
            ("lower-case", self.lower_case, false),
            ("lower-case-stream", self.lower_case_stream, true),
            ("strip-domain-from-stream", self.strip_domain_from_stream, false),
        ] {
            if given != usual {
                table.insert(key, value(given));
            }
        }
        if self.cache_days != 0 {
            table.insert("cache-days", value(i64::from(self.cache_days)));
        }
    }
}

fn servers(section: &mut Section<'_>, around: &Around<'_>, notes: &mut Notes<'_>) -> Option<Vec<Server>> {
    // The keys of the schema are those of every method; none of them is required by all.
    if !section.has("servers") && !section.is_described() {
        section.missing("servers", "at least one mail server, such as [\"imap.example.com\"]", notes);
    }
    let found: Vec<Found<Route>> = section.list("servers", notes)?;
    if section.is_empty_list("servers") {
        let place = section.place_of("servers", "name");
        notes.note(place.span, &place.path, "an empty list, expected at least one mail server");
    }
    if let Some(extra) = found.get(SERVERS_MAX) {
        let text = format!("one too many, expected at most {SERVERS_MAX} servers");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    for server in &found {
        route::check(server, around.network, notes);
    }
    Some(found.into_iter().map(|found| Server(found.value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(server: &str) -> Mailbox {
        Mailbox {
            protocol: Protocol::Imap,
            servers: vec!["imap.example.com".parse().unwrap(), server.parse().unwrap()],
            security: Security::Tls,
            strip_domain: false,
            lower_case: false,
            lower_case_stream: true,
            strip_domain_from_stream: false,
            cache_days: 0,
        }
    }

    #[test]
    fn servers_of_microsoft_365_are_warned_of() {
        for server in ["outlook.office365.com", "OUTLOOK.office365.com:993", "imap-mail.outlook.com"] {
            let warning = mailbox(server).warning().unwrap();
            assert!(warning.contains("oidc") && warning.contains("outlook"), "{warning}");
        }
        for server in ["mail.example.com", "notoffice365.com", "[192.0.2.7]"] {
            assert_eq!(mailbox(server).warning(), None, "{server}");
        }
    }

    #[test]
    fn a_port_follows_from_the_protocol_unless_it_is_named() {
        let ports = |server: &str| {
            let server: Server = server.parse().unwrap();
            [Protocol::Imap, Protocol::Pop3].map(|protocol| {
                [Security::Tls, Security::StartTls].map(|security| server.port(protocol, security))
            })
        };
        assert_eq!(ports("mail.example.com"), [[993, 143], [995, 110]]);
        assert_eq!(ports("mail.example.com:9993"), [[9993, 9993], [9993, 9993]]);
    }
}
