//! What lookups in Entra ID have in common: identifiers, and the clouds that Microsoft runs.

use std::{fmt, str::FromStr};

use toml_edit::{Table, value};

use crate::{
    domain::Around,
    mistake::Notes,
    reader::Section,
    route::{self, Route},
    words::Words,
};

/// The identifier of a tenant or of an application, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(Box<str>);

/// A text that is no [`Guid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuidError {
    /// Not of its form.
    #[error("not an identifier, expected such as \"8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c\"")]
    Form,
    /// A word by which Microsoft lets people of any tenant sign in.
    #[error("lets people of any tenant in, expected the identifier of your own tenant")]
    AnyTenant,
}

impl Guid {
    /// The identifier in lower case, with its hyphens.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Guid {
    type Err = GuidError;
    fn from_str(text: &str) -> Result<Guid, GuidError> {
        if ["common", "organizations", "consumers"].contains(&text.to_ascii_lowercase().as_str()) {
            return Err(GuidError::AnyTenant);
        }
        let lengths = text.split('-').map(str::len);
        let known = |c: char| c.is_ascii_hexdigit() || c == '-';
        if !lengths.eq([8, 4, 4, 4, 12]) || !text.chars().all(known) {
            return Err(GuidError::Form);
        }
        Ok(Guid(text.to_ascii_lowercase().into_boxed_str()))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cloud of Microsoft's, each with hosts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cloud {
    /// All countries but those below, and GCC.
    #[default]
    Worldwide,
    /// GCC High.
    GccHigh,
    /// The Department of Defense of the United States.
    Dod,
    /// China, run by 21Vianet.
    China,
}

impl Words for Cloud {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("worldwide", Cloud::Worldwide),
        ("gcc-high", Cloud::GccHigh),
        ("dod", Cloud::Dod),
        ("china", Cloud::China),
    ];
}

impl Cloud {
    /// The host where people and programs sign in.
    pub fn login_host(self) -> &'static str {
        match self {
            Cloud::Worldwide => "login.microsoftonline.com",
            Cloud::GccHigh | Cloud::Dod => "login.microsoftonline.us",
            Cloud::China => "login.partner.microsoftonline.cn",
        }
    }
}

/// Where people and programs sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// At one of Microsoft's clouds.
    Cloud(Cloud),
    /// At another host, which speaks the same: `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
    Host(Route),
}

impl Authority {
    /// The host, with its port where it is not that of HTTPS.
    pub fn host(&self) -> String {
        match self {
            Authority::Cloud(cloud) => cloud.login_host().to_owned(),
            Authority::Host(host) => host.to_string(),
        }
    }

    /// Reads `cloud` and `login-host`, of which one at most stands in the file.
    pub(crate) fn read(section: &mut Section<'_>, around: &Around<'_>, notes: &mut Notes<'_>) -> Authority {
        let cloud = Cloud::read(section, "cloud", notes);
        let host = section.parsed::<Route>("login-host", notes);
        let Some(host) = host else { return Authority::Cloud(cloud) };
        route::check(&host, around.network, notes);
        if section.has("cloud") {
            let text = "stands beside `cloud`, expected one of the two";
            notes.note(host.place.span.clone(), &host.place.path, text);
        }
        Authority::Host(host.value)
    }

    pub(crate) fn write(&self, table: &mut Table) {
        match self {
            Authority::Cloud(Cloud::Worldwide) => {}
            Authority::Cloud(cloud) => drop(table.insert("cloud", value(cloud.word()))),
            Authority::Host(host) => drop(table.insert("login-host", value(host.to_string()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_in_lower_case() {
        let guid: Guid = "8A7C0D3E-4b1f-4f0a-9d2b-0c5e6f7a8b9c".parse().unwrap();
        assert_eq!(guid.as_str(), "8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c");
    }

    #[test]
    fn what_names_no_single_tenant_is_refused() {
        for text in ["common", "Organizations", "consumers"] {
            assert_eq!(text.parse::<Guid>(), Err(GuidError::AnyTenant), "{text}");
        }
        for text in [
            "",
            "contoso.example",
            "8a7c0d3e4b1f4f0a9d2b0c5e6f7a8b9c",
            "8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9g",
        ] {
            assert_eq!(text.parse::<Guid>(), Err(GuidError::Form), "{text}");
        }
    }
}
