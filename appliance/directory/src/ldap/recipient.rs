//! What an entry is to us: somebody with addresses and a stream.

use std::fmt;

use config_schema::{
    stream::{DEFAULT, STREAM_NAME_MAX},
    user_lookup::ldap::{AttributeName, Ldap},
};
use smtp::address::Address;

use super::entry::Entry;

/// Longest name of an entry that is shown to people, in characters.
const SHOWN_MAX: usize = 200;

/// What is asked of every entry beside its addresses and its stream's name.
const ALWAYS: [&str; 4] = ["objectClass", "objectGUID", "entryUUID", "msExchRecipientTypeDetails"];

/// A recipient that a directory knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// What stays when the entry is renamed: `objectGUID`, `entryUUID`, or else its name in lower case.
    pub id: Box<str>,
    /// What it is.
    pub kind: Kind,
    /// Its distinguished name, as it is asked for.
    pub dn: Box<str>,
    /// Its stream within the realm, in lower case.
    pub stream: Box<str>,
    /// Its addresses, each once, the primary one first; never empty.
    pub addresses: Vec<Address>,
}

/// What a recipient is. The order is that in which one wins where two have the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person's account.
    User,
    /// A mailbox of several people, of a room or of a device.
    SharedMailbox,
    /// A distribution list or another group.
    Group,
    /// An address elsewhere.
    Contact,
    /// A folder that receives mail.
    PublicFolder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::User => "user",
            Kind::SharedMailbox => "shared mailbox",
            Kind::Group => "group",
            Kind::Contact => "contact",
            Kind::PublicFolder => "public folder",
        })
    }
}

impl fmt::Display for Recipient {
    /// For people and the log: what it is and its name, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        let shown = self.dn.chars().take(SHOWN_MAX);
        shown.map(|c| if c.is_control() { ' ' } else { c }).try_for_each(|c| write!(f, "{c}"))
    }
}

impl Recipient {
    /// What `entry` is; `None` if it has no address that mail can be sent to.
    pub fn of(ldap: &Ldap, entry: &Entry) -> Option<Recipient> {
        let addresses = addresses(ldap, entry);
        let kind = kind(entry);
        let primary = addresses.first()?;
        Some(Recipient {
            id: id(entry),
            kind,
            dn: entry.dn.as_str().into(),
            stream: stream(ldap, entry, kind).unwrap_or_else(|| primary.key()).into_boxed_str(),
            addresses,
        })
    }

    /// Whether it has this address.
    pub fn has(&self, address: &Address) -> bool {
        let key = address.key();
        self.addresses.iter().any(|own| own.key() == key)
    }

    /// Whether this is its primary address.
    pub fn is_primary(&self, address: &Address) -> bool {
        self.addresses.first().is_some_and(|primary| primary.key() == address.key())
    }
}

/// The attributes that [`Recipient::of`] looks at.
pub(super) fn attributes(ldap: &Ldap) -> Vec<String> {
    let mut names: Vec<String> = ALWAYS.map(str::to_owned).to_vec();
    for name in ldap.address_attributes.iter().chain(&ldap.stream_attributes).chain(&ldap.login_attributes) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name.as_str())) {
            names.push(name.as_str().to_owned());
        }
    }
    names
}

fn id(entry: &Entry) -> Box<str> {
    if let Some(guid) = entry.values("objectGUID").next() {
        return guid_text(guid).into_boxed_str();
    }
    let uuid = entry.texts("entryUUID").into_iter().next();
    uuid.map_or_else(|| entry.dn.to_lowercase(), str::to_lowercase).into_boxed_str()
}

/// A GUID as Windows shows it: its first three fields come the other way round (MS-DTYP §2.3.4.2). What has not its
/// size is shown octet by octet.
fn guid_text(octets: &[u8]) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let &[a, b, c, d, e, f, g, h, i, j, ref rest @ ..] = octets else { return hex(octets) };
    if octets.len() != 16 {
        return hex(octets);
    }
    let [first, second, third] = [hex(&[d, c, b, a]), hex(&[f, e]), hex(&[h, g])];
    format!("{first}-{second}-{third}-{}-{}", hex(&[i, j]), hex(rest))
}

fn kind(entry: &Entry) -> Kind {
    let is = |classes: &[&str]| {
        let given = entry.texts("objectClass");
        given.iter().any(|given| classes.iter().any(|class| class.eq_ignore_ascii_case(given)))
    };
    if is(&[
        "group",
        "msExchDynamicDistributionList",
        "groupOfNames",
        "groupOfUniqueNames",
        "groupOfURLs",
        "posixGroup",
        "mailGroup",
        "nisMailAlias",
    ]) {
        Kind::Group
    } else if is(&["publicFolder"]) {
        Kind::PublicFolder
    } else if is(&["contact"]) {
        Kind::Contact
    } else if is_shared(entry) {
        Kind::SharedMailbox
    } else {
        Kind::User
    }
}

/// `msExchRecipientTypeDetails`: shared, room and equipment mailboxes, here or at Microsoft 365.
fn is_shared(entry: &Entry) -> bool {
    const SHARED: u64 = 1 << 2 | 1 << 4 | 1 << 5 | 1 << 33 | 1 << 34 | 1 << 35;
    let details = entry.texts("msExchRecipientTypeDetails");
    details.first().and_then(|text| text.parse::<u64>().ok()).is_some_and(|details| details & SHARED != 0)
}

/// Its addresses, the primary one first: the one written `SMTP:` in capitals, or else that of `mail`, or else the
/// first.
fn addresses(ldap: &Ldap, entry: &Entry) -> Vec<Address> {
    let mut found: Vec<(u8, Address)> = Vec::new();
    for name in &ldap.address_attributes {
        for text in entry.texts(name.as_str()) {
            let Some((prefix, text)) = split(text) else { continue };
            let Ok(address) = Address::parse(text) else { continue };
            let rank = match prefix {
                Some("SMTP") => 0,
                None if name.as_str().eq_ignore_ascii_case("mail") => 1,
                _ => 2,
            };
            found.push((rank, address));
        }
    }
    // Stable: where the rank is the same, the order of the attributes and of their characters counts.
    found.sort_by_key(|(rank, _)| *rank);
    let mut seen = std::collections::HashSet::new();
    found.into_iter().map(|(_, address)| address).filter(|address| seen.insert(address.key())).collect()
}

/// An address with the type that Exchange writes before it; `None`: an address of another kind, such as `X500:`.
fn split(text: &str) -> Option<(Option<&str>, &str)> {
    let text = text.trim();
    match text.split_once(':') {
        Some((prefix, rest)) if prefix.chars().all(|c| c.is_ascii_alphanumeric()) && !prefix.is_empty() => {
            prefix.eq_ignore_ascii_case("smtp").then_some((Some(prefix), rest))
        }
        _ => Some((None, text)),
    }
}

/// What names the stream of a person: the first stream attribute that the entry has. Others have none, since a name
/// of a group's may be that of a person.
fn stream(ldap: &Ldap, entry: &Entry, kind: Kind) -> Option<String> {
    if kind != Kind::User {
        return None;
    }
    let fits = |name: &String| {
        let long = name.len() > STREAM_NAME_MAX;
        !name.is_empty() && !long && !name.chars().any(char::is_control) && name != DEFAULT
    };
    let named = |attribute: &AttributeName| {
        let texts = entry.texts(attribute.as_str());
        // Of several addresses the one in capitals is foremost, which it is by its characters, too.
        texts.into_iter().filter_map(split).map(|(_, text)| text.trim().to_lowercase()).find(fits)
    };
    ldap.stream_attributes.iter().find_map(named)
}

#[cfg(test)]
mod tests;
