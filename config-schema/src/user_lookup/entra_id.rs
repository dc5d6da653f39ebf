//! `method = "entra-id"`: recipients of a Microsoft 365 tenant, read through Microsoft Graph.

use std::{fmt, str::FromStr};

use toml_edit::{Table, value};

use super::{Guid, microsoft::Cloud};
use crate::{
    bounded::Bounded,
    date::Date,
    mistake::Notes,
    name::DomainName,
    reader::{Found, Section},
    secret::{Sealing, Secret, Text},
    tls::{self, Identity},
    value::Period,
    words::Words,
};

/// How often a tenant is asked what has changed, unless the file says otherwise.
pub const SYNC_EVERY: Period = Period::from_secs(10 * 60);
/// Graph's limits are far away from one question a minute; a delta link lives for seven days.
const SYNC_RANGE: (Period, Period) = (Period::from_secs(60), Period::from_secs(24 * 60 * 60));
/// Longest client secret, in bytes; Entra ID makes them of 40 characters.
const SECRET_MAX: usize = 1024;

/// A tenant, and as whom it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraId {
    /// The tenant's directory.
    pub tenant: Guid,
    /// The application that was registered there for us.
    pub client: Guid,
    /// What proves that we are that application.
    pub credential: Credential,
    /// Who is asked.
    pub hosts: Hosts,
    /// How often it is asked what has changed.
    pub sync_every: Period,
}

/// What proves that we are the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A text that the portal showed once.
    Secret {
        /// The text.
        text: Secret,
        /// The day on which it ends.
        expires: Date,
    },
    /// A key whose certificate was uploaded there.
    Certificate(Identity),
}

/// The hosts of a cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// One of Microsoft's.
    Cloud(Cloud),
    /// Somebody's own.
    Own {
        /// Gives out tokens.
        login: WebHost,
        /// Has the directory.
        graph: WebHost,
    },
}

impl Hosts {
    /// The host that gives out tokens.
    pub fn login(&self) -> WebHost {
        match self {
            Hosts::Own { login, .. } => login.clone(),
            Hosts::Cloud(cloud) => WebHost::of(cloud.login_host()),
        }
    }

    /// The host that has the directory.
    pub fn graph(&self) -> WebHost {
        match self {
            Hosts::Own { graph, .. } => graph.clone(),
            Hosts::Cloud(Cloud::Worldwide) => WebHost::of("graph.microsoft.com"),
            Hosts::Cloud(Cloud::UsGovernmentHigh) => WebHost::of("graph.microsoft.us"),
            Hosts::Cloud(Cloud::UsGovernmentDod) => WebHost::of("dod-graph.microsoft.us"),
            Hosts::Cloud(Cloud::China) => WebHost::of("microsoftgraph.chinacloudapi.cn"),
        }
    }
}

/// A host that is asked by HTTPS, written `HOST` or `HOST:PORT`. It has a name, since a certificate is for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebHost {
    /// The host's name.
    pub name: DomainName,
    /// 443 unless it was written.
    pub port: u16,
}

/// A text that is no such host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebHostError {
    /// No name of a host.
    #[error("not a host name, expected HOST or HOST:PORT")]
    Name,
    /// Not a port.
    #[error("the port is wrong, expected a number from 1 to 65535")]
    Port,
}

impl WebHost {
    /// The port of HTTPS (RFC 9110 §4.2.2).
    pub const PORT: u16 = 443;

    pub(super) fn of(name: &'static str) -> WebHost {
        WebHost { name: DomainName::parse(name).expect("one of our own"), port: WebHost::PORT }
    }
}

impl FromStr for WebHost {
    type Err = WebHostError;
    fn from_str(text: &str) -> Result<WebHost, WebHostError> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| WebHostError::Port)?),
            None => (text, WebHost::PORT),
        };
        let name = DomainName::parse(name).map_err(|_| WebHostError::Name)?;
        if port == 0 { Err(WebHostError::Port) } else { Ok(WebHost { name, port }) }
    }
}

impl fmt::Display for WebHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        if self.port == WebHost::PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl EntraId {
    pub(super) fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<EntraId> {
        let tenant = guid(section, "tenant", "the tenant's ID (Directory ID in the portal), a GUID", notes);
        let client = guid(section, "client", "the application's ID (Client ID in the portal), a GUID", notes);
        let credential = Credential::read(section, notes);
        let hosts = Hosts::read(section, notes);
        let sync_every = Period::read(section, "sync-every", SYNC_RANGE, notes).unwrap_or(SYNC_EVERY);
        Some(EntraId { tenant: tenant?, client: client?, credential: credential?, hosts: hosts?, sync_every })
    }

    pub(super) fn write(&self, table: &mut Table, sealing: &mut Sealing) {
        table.insert("tenant", value(self.tenant.to_string()));
        table.insert("client", value(self.client.to_string()));
        match &self.credential {
            Credential::Secret { text, expires } => {
                table.insert("secret", value(sealing.value(text)));
                table.insert("secret-expires", value(expires.to_string()));
            }
            Credential::Certificate(identity) => {
                table.insert("certificate", value(identity.certificate.as_str()));
                table.insert("key", value(sealing.value(&identity.key)));
            }
        }
        match &self.hosts {
            Hosts::Cloud(cloud) if *cloud == Cloud::default() => {}
            Hosts::Cloud(cloud) => drop(table.insert("cloud", value(cloud.word()))),
            Hosts::Own { login, graph } => {
                table.insert("login-host", value(login.to_string()));
                table.insert("graph-host", value(graph.to_string()));
            }
        }
        if self.sync_every != SYNC_EVERY {
            table.insert("sync-every", self.sync_every.value().into());
        }
    }
}

/// Notes that a key of this method is missing. In the schema it is not required, as other methods lack it.
fn missing(section: &Section<'_>, key: &str, expected: &str, notes: &mut Notes<'_>) {
    if !section.is_described() && !section.has(key) {
        section.missing(key, expected, notes);
    }
}

fn guid(section: &mut Section<'_>, key: &'static str, expected: &str, notes: &mut Notes<'_>) -> Option<Guid> {
    missing(section, key, expected, notes);
    section.parsed::<Guid>(key, notes).map(|found| found.value)
}

impl Credential {
    fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Credential> {
        let text = section.text("secret", notes).and_then(|found| secret(found, notes));
        let expires = section.parsed::<Date>("secret-expires", notes);
        let certificate =
            section.text("certificate", notes).and_then(|found| tls::certificates(found, notes));
        let key = section.text("key", notes).and_then(|found| tls::private_key(found, notes));
        let by_secret = section.has("secret") || section.has("secret-expires");
        let by_certificate = section.has("certificate") || section.has("key");
        match (by_secret, by_certificate) {
            (false, false) => missing(section, "secret", "it, or `certificate` and `key`", notes),
            (true, true) => {
                let place = section.place_of("certificate", "key");
                let why = "beside `secret`, expected the one or the other";
                notes.note(place.span, &place.path, why);
                return None;
            }
            (true, false) => {
                missing(section, "secret", "the application's secret", notes);
                missing(section, "secret-expires", "the day on which the secret ends", notes);
            }
            (false, true) => {
                missing(section, "certificate", "it beside `key`", notes);
                missing(section, "key", "it beside `certificate`", notes);
            }
        }
        if let (Some(text), Some(expires)) = (text, expires) {
            return Some(Credential::Secret { text, expires: expires.value });
        }
        Some(Credential::Certificate(Identity { certificate: certificate?, key: key? }))
    }
}

fn secret(found: Found<Text>, notes: &mut Notes<'_>) -> Option<Secret> {
    let text = match found.value {
        Text::Unopened => return Some(Secret::new("")),
        Text::Given(text) => text,
    };
    // A file ends with a line break that is none of the secret's.
    let bare = text.expose().trim();
    let shown = |c: u8| c.is_ascii_graphic();
    if (1..=SECRET_MAX).contains(&bare.len()) && bare.bytes().all(shown) {
        return Some(Secret::new(bare));
    }
    let why = format!("no secret of an application, expected 1 to {SECRET_MAX} printable characters");
    notes.note(found.place.span, &found.place.path, why);
    None
}

impl Hosts {
    fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Hosts> {
        let cloud = Cloud::read(section, "cloud", notes);
        let login = section.parsed::<WebHost>("login-host", notes);
        let graph = section.parsed::<WebHost>("graph-host", notes);
        if !section.has("login-host") && !section.has("graph-host") {
            return Some(Hosts::Cloud(cloud));
        }
        if section.has("cloud") {
            let place = section.place_of("cloud", "login-host");
            notes.note(place.span, &place.path, "beside hosts of one's own, expected the one or the other");
        }
        missing(section, "login-host", "it beside `graph-host`", notes);
        missing(section, "graph-host", "it beside `login-host`", notes);
        Some(Hosts::Own { login: login?.value, graph: graph?.value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Method};

    const HEAD: &str = r#"version = 1
network = { hostname = "mx.example.com", address = "dhcp" }
[[user-lookup]]
name = "m365"
method = "entra-id"
"#;
    const IDS: &str = "tenant = \"2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f\"\n\
                       client = \"7a9c3b52-1111-4222-8333-444455556666\"\n";
    const SECRET: &str = "secret = \"Q~x8\"\nsecret-expires = \"2027-05-31\"\n";
    const CERTIFICATE: &str =
        "certificate = \"-----BEGIN CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----\\n\"\n";

    fn read(rest: &str) -> EntraId {
        let config =
            Config::parse("f", &format!("{HEAD}{rest}")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        match &config.user_lookups[0].method {
            Method::EntraId(entra) => entra.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lookup_by_secret_has_defaults_for_the_rest() {
        let entra = read(&format!("{IDS}{SECRET}"));
        assert_eq!(entra.tenant.to_string(), "2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f");
        assert_eq!(entra.sync_every, SYNC_EVERY);
        assert_eq!(entra.hosts.login().to_string(), "login.microsoftonline.com");
        assert_eq!(entra.hosts.graph().to_string(), "graph.microsoft.com");
        let Credential::Secret { text, expires } = &entra.credential else { panic!("no secret") };
        assert_eq!((text.expose(), expires.to_string().as_str()), ("Q~x8", "2027-05-31"));
    }

    #[test]
    fn each_cloud_has_its_hosts() {
        for (cloud, login, graph) in [
            ("us-government-high", "login.microsoftonline.us", "graph.microsoft.us"),
            ("us-government-dod", "login.microsoftonline.us", "dod-graph.microsoft.us"),
            ("china", "login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"),
        ] {
            let entra = read(&format!("{IDS}{SECRET}cloud = \"{cloud}\"\n"));
            assert_eq!(
                (entra.hosts.login().to_string(), entra.hosts.graph().to_string()),
                (login.into(), graph.into())
            );
        }
        let own =
            read(&format!("{IDS}{SECRET}login-host = \"a.example:8443\"\ngraph-host = \"b.example\"\n"));
        assert_eq!(own.hosts.login().port, 8443);
        assert_eq!(own.hosts.graph().to_string(), "b.example");
    }

    #[test]
    fn every_mistake_is_told() {
        let long = format!("secret = \"{}\"\nsecret-expires = \"2027-05-31\"\n", "x".repeat(SECRET_MAX + 1));
        let cases = [
            (SECRET.to_owned(), "tenant: missing, expected the tenant's ID"),
            (IDS.to_owned(), "secret: missing, expected it, or `certificate` and `key`"),
            (
                format!("{IDS}{SECRET}").replace("2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f", "common"),
                "tenant: `common`: stands for any tenant",
            ),
            (
                format!("{IDS}{SECRET}").replace("2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f", "organizations"),
                "tenant: `organizations`: stands for any tenant",
            ),
            (
                format!("{IDS}{SECRET}").replace("7a9c3b52-", ""),
                "client: `1111-4222-8333-444455556666`: not a GUID",
            ),
            (
                format!("{IDS}secret = \"x\"\n"),
                "secret-expires: missing, expected the day on which the secret ends",
            ),
            (
                format!("{IDS}secret = \"\"\nsecret-expires = \"2027-05-31\"\n"),
                "secret: no secret of an application",
            ),
            (format!("{IDS}{long}"), "secret: no secret of an application"),
            (
                format!("{IDS}secret = \"x\"\nsecret-expires = \"soon\"\n"),
                "secret-expires: `soon`: not a day",
            ),
            (format!("{IDS}{CERTIFICATE}"), "key: missing, expected it beside `certificate`"),
            (
                format!("{IDS}{SECRET}{CERTIFICATE}"),
                "certificate: beside `secret`, expected the one or the other",
            ),
            (format!("{IDS}{SECRET}cloud = \"moon\"\n"), "cloud: `moon`, expected \"worldwide\" or"),
            (
                format!("{IDS}{SECRET}login-host = \"a.example\"\n"),
                "graph-host: missing, expected it beside `login-host`",
            ),
            (
                format!(
                    "{IDS}{SECRET}cloud = \"china\"\nlogin-host = \"a.example\"\ngraph-host = \"b.example\"\n"
                ),
                "cloud: beside hosts of one's own",
            ),
            (
                format!("{IDS}{SECRET}login-host = \"192.0.2.1\"\ngraph-host = \"b.example\"\n"),
                "login-host: `192.0.2.1`: not a host name",
            ),
            (
                format!("{IDS}{SECRET}login-host = \"a.example:0\"\ngraph-host = \"b.example\"\n"),
                "login-host: `a.example:0`: the port is wrong",
            ),
            (
                format!("{IDS}{SECRET}sync-every = \"1 s\"\n"),
                "sync-every: 1 s, expected from 1 min to 1 days",
            ),
        ];
        for (rest, told) in cases {
            let mistakes = Config::parse("f", &format!("{HEAD}{rest}")).expect_err(&rest).to_string();
            assert!(
                mistakes.contains(&format!("user-lookup[0].{told}")) || mistakes.contains(told),
                "{rest}\n{mistakes}"
            );
        }
    }
}
