//! What lookups in Entra ID have in common: the clouds that Microsoft runs.

use toml_edit::{Table, value};

use super::entra_id::WebHost;
use crate::{mistake::Notes, reader::Section, words::Words};

/// A cloud of Microsoft's, each with hosts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cloud {
    /// All countries but those below, and GCC.
    #[default]
    Worldwide,
    /// GCC High.
    UsGovernmentHigh,
    /// The Department of Defense of the United States.
    UsGovernmentDod,
    /// China, run by 21Vianet.
    China,
}

impl Words for Cloud {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("worldwide", Cloud::Worldwide),
        ("us-government-high", Cloud::UsGovernmentHigh),
        ("us-government-dod", Cloud::UsGovernmentDod),
        ("china", Cloud::China),
    ];
}

impl Cloud {
    /// The host where people and programs sign in.
    pub fn login_host(self) -> &'static str {
        match self {
            Cloud::Worldwide => "login.microsoftonline.com",
            Cloud::UsGovernmentHigh | Cloud::UsGovernmentDod => "login.microsoftonline.us",
            Cloud::China => "login.partner.microsoftonline.cn",
        }
    }
}

/// Where people and programs sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// At one of Microsoft's clouds.
    Cloud(Cloud),
    /// At another host, which speaks the same.
    Host(WebHost),
}

impl Authority {
    /// The host.
    pub fn host(&self) -> WebHost {
        match self {
            Authority::Cloud(cloud) => WebHost::of(cloud.login_host()),
            Authority::Host(host) => host.clone(),
        }
    }

    /// Reads `cloud` and `login-host`, of which one at most stands in the file.
    pub(crate) fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Authority {
        let cloud = Cloud::read(section, "cloud", notes);
        let host = section.parsed::<WebHost>("login-host", notes);
        let Some(host) = host else { return Authority::Cloud(cloud) };
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
