//! `method = "oidc"`: people sign in with Entra ID, by OpenID Connect.

use std::{fmt, str::FromStr};

use toml_edit::{Table, value};

use super::{Guid, microsoft::Authority};
use crate::{
    mistake::Notes,
    name::DomainName,
    reader::Section,
    secret::{Sealing, Secret, Text},
    tls::Identity,
};

/// Longest redirect address, in bytes: what Entra ID takes.
pub const REDIRECT_URL_MAX: usize = 256;

/// A lookup that sends people to Entra ID and believes what it signs of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// The one tenant whose people may sign in.
    pub tenant: Guid,
    /// The application as which we are registered there.
    pub client: Guid,
    /// How we prove to be that application.
    pub credential: Credential,
    /// Where people sign in.
    pub authority: Authority,
    /// Where they come back to; exactly as it is registered.
    pub redirect_url: RedirectUrl,
}

/// How an application proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// By a secret, which expires.
    Secret(Secret),
    /// By a signature with the key of a certificate that is uploaded there.
    Certificate(Identity),
}

/// An address of ours to which a browser is sent back: `https://HOST[:PORT]/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUrl(Box<str>);

/// A text that is no redirect address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address to come back to, expected such as \"https://mx.example.com/login/oidc\" without `?` or `#`"
)]
pub struct RedirectUrlError;

impl RedirectUrl {
    /// The address as it was given, which is compared byte by byte.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RedirectUrl {
    type Err = RedirectUrlError;
    fn from_str(text: &str) -> Result<RedirectUrl, RedirectUrlError> {
        let rest = text.strip_prefix("https://").ok_or(RedirectUrlError)?;
        let (host, path) = rest.split_once('/').ok_or(RedirectUrlError)?;
        let (name, port) = host.split_once(':').unwrap_or((host, "443"));
        let port = port.parse::<u16>().is_ok_and(|port| port > 0);
        // RFC 3986 §3.3, without what has to be percent-encoded: an exact comparison allows no other spelling.
        let known = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        let name = name.is_ascii() && DomainName::parse(name).is_ok();
        if text.len() > REDIRECT_URL_MAX || !name || !port || path.is_empty() || !path.chars().all(known) {
            return Err(RedirectUrlError);
        }
        Ok(RedirectUrl(text.into()))
    }
}

impl Oidc {
    pub(crate) fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Oidc> {
        // The keys of the schema are those of every method; none of them is required by all.
        if !section.is_described() {
            for (key, expected) in [
                ("tenant", "the tenant's identifier"),
                ("client", "the application's identifier"),
                ("redirect-url", "such as \"https://mx.example.com/login/oidc\""),
            ] {
                if !section.has(key) {
                    section.missing(key, expected, notes);
                }
            }
        }
        let tenant = section.parsed::<Guid>("tenant", notes);
        let client = section.parsed::<Guid>("client", notes);
        let redirect_url = section.parsed::<RedirectUrl>("redirect-url", notes);
        let authority = Authority::read(section, notes);
        let credential = Credential::read(section, notes);
        Some(Oidc {
            tenant: tenant?.value,
            client: client?.value,
            credential: credential?,
            authority,
            redirect_url: redirect_url?.value,
        })
    }

    pub(crate) fn write(&self, table: &mut Table, sealing: &mut Sealing) {
        table.insert("tenant", value(self.tenant.to_string()));
        table.insert("client", value(self.client.to_string()));
        table.insert("redirect-url", value(self.redirect_url.as_str()));
        self.authority.write(table);
        self.credential.write(table, sealing);
    }
}

impl Credential {
    /// Reads `secret`, or `certificate` and `key`.
    pub(crate) fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Credential> {
        let secret = section.text("secret", notes);
        let identity = Identity::read(section, notes);
        let has_certificate = section.has("certificate") || section.has("key");
        match (section.has("secret"), has_certificate) {
            (true, true) => {
                let place = section.place_of("secret", "name");
                let text = "stands beside a certificate, expected one of the two";
                notes.note(place.span, &place.path, text);
                None
            }
            (false, false) => {
                if !section.is_described() {
                    section.missing("secret", "it, or `certificate` and `key`", notes);
                }
                None
            }
            (false, true) => identity.map(Credential::Certificate),
            (true, false) => {
                let found = secret?;
                match found.value {
                    Text::Unopened => Some(Credential::Secret(Secret::new(""))),
                    Text::Given(secret) if !secret.expose().trim().is_empty() => {
                        Some(Credential::Secret(Secret::new(secret.expose().trim())))
                    }
                    Text::Given(_) => {
                        let text = "is empty, expected the application's secret";
                        notes.note(found.place.span, &found.place.path, text);
                        None
                    }
                }
            }
        }
    }

    pub(crate) fn write(&self, table: &mut Table, sealing: &mut Sealing) {
        match self {
            Credential::Secret(secret) => drop(table.insert("secret", value(sealing.value(secret)))),
            Credential::Certificate(identity) => {
                table.insert("certificate", value(identity.certificate.as_str()));
                table.insert("key", value(sealing.value(&identity.key)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_address_has_one_spelling() {
        for text in ["https://mx.example.com/login/oidc", "https://mx.example.com:8443/x"] {
            assert_eq!(text.parse::<RedirectUrl>().unwrap().as_str(), text);
        }
        for text in [
            "http://mx.example.com/login",
            "https://mx.example.com",
            "https://mx.example.com/",
            "https://mx.example.com/a?b=c",
            "https://mx.example.com/a#b",
            "https://ann@mx.example.com/a",
            "https://mx.example.com:0/a",
            "https://mx.example.com/a%2f",
            "https:///a",
        ] {
            assert_eq!(text.parse::<RedirectUrl>(), Err(RedirectUrlError), "{text}");
        }
        let longest = format!("https://mx.example.com/{}", "a".repeat(REDIRECT_URL_MAX - 23));
        assert!(longest.parse::<RedirectUrl>().is_ok());
        assert!(format!("{longest}a").parse::<RedirectUrl>().is_err());
    }
}
