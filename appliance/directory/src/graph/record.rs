//! What is kept of an object, and which of its addresses get mail.

use serde::{Deserialize, Serialize};
use smtp::address::Address;

use super::{
    collection::Collection,
    page::{Change, PROXIES_BYTES_MAX, PROXIES_MAX, Properties},
};

/// Longest name that is kept, in characters.
const NAME_MAX: usize = 64;

/// What is kept of an object. Addresses are kept whatever their domain, as domains come and go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Record {
    name: Box<str>,
    /// `mail`, as [`Address::key`] writes it.
    mail: Option<Box<str>>,
    /// The addresses out of `proxyAddresses`, a line each, the primary one first.
    proxies: Box<str>,
    sign_in: Switch,
    mail_enabled: Switch,
    guest: bool,
    unified: bool,
}

/// A property that is true or false, or was never told.
type Switch = Option<bool>;

impl Record {
    /// The record after a page's changes.
    pub(super) fn after(self, change: Properties) -> Record {
        let mail = match change.mail {
            Change::Unchanged => self.mail,
            Change::Cleared => None,
            Change::Set(text) => key(&text),
        };
        let proxies = match change.proxy_addresses {
            Change::Unchanged => self.proxies,
            Change::Cleared => Box::default(),
            Change::Set(texts) => smtp_addresses(&texts).into(),
        };
        let name = match change.display_name {
            Change::Unchanged => self.name,
            Change::Cleared => Box::default(),
            Change::Set(text) => {
                text.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect::<String>().into()
            }
        };
        let switch = |change, old| match change {
            Change::Unchanged => old,
            Change::Cleared => None,
            Change::Set(new) => Some(new),
        };
        Record {
            name,
            mail,
            proxies,
            sign_in: switch(change.account_enabled, self.sign_in),
            mail_enabled: switch(change.mail_enabled, self.mail_enabled),
            guest: is(change.user_type, self.guest, |text| text.eq_ignore_ascii_case("guest")),
            unified: is(change.group_types, self.unified, |types| types.iter().any(|kind| kind == "Unified")),
        }
    }

    /// Every address that gets this object mail, the one that names its stream first; each once.
    pub(super) fn addresses(&self, collection: Collection) -> impl Iterator<Item = &str> {
        let takes_mail = collection != Collection::Groups || self.mail_enabled == Some(true);
        let proxies = if takes_mail { &*self.proxies } else { "" };
        // What a guest has under `mail` is his address elsewhere.
        let mail = self.mail.as_deref().filter(|_| takes_mail && !self.guest);
        let beside = mail.filter(|mail| !proxies.lines().any(|proxy| proxy == *mail));
        proxies.lines().chain(beside)
    }

    /// What it is, for people.
    pub(super) fn describe(&self, collection: Collection) -> String {
        let kind = match collection {
            Collection::Users if self.guest => "guest",
            // So are shared, room and equipment mailboxes, and people who were locked out.
            Collection::Users if self.sign_in == Some(false) => "mailbox without sign-in",
            Collection::Users => "user",
            Collection::Groups if self.unified => "Microsoft 365 group",
            Collection::Groups => "group",
            Collection::Contacts => "mail contact",
        };
        if self.name.is_empty() { kind.to_owned() } else { format!("{kind} {}", self.name) }
    }
}

fn is<T>(change: Change<T>, old: bool, test: impl Fn(T) -> bool) -> bool {
    match change {
        Change::Unchanged => old,
        Change::Cleared => false,
        Change::Set(new) => test(new),
    }
}

fn key(text: &str) -> Option<Box<str>> {
    Address::parse(text.trim()).ok().map(|address| address.key().into())
}

/// The SMTP addresses among proxies, a line each: `SMTP:` is the primary one, `smtp:` any other. No address holds a
/// line break.
fn smtp_addresses(proxies: &[String]) -> String {
    let mut found: Vec<Box<str>> = Vec::new();
    let mut bytes = 0;
    for proxy in proxies.iter().take(PROXIES_MAX) {
        let Some((kind, text)) = proxy.split_once(':') else { continue };
        // Others are X500, SIP, EUM, SPO.
        if !kind.eq_ignore_ascii_case("smtp") {
            continue;
        }
        let Some(address) = key(text) else { continue };
        bytes += address.len() + 1;
        if bytes > PROXIES_BYTES_MAX {
            break;
        }
        if kind == "SMTP" {
            found.retain(|known| *known != address);
            found.insert(0, address);
        } else if !found.contains(&address) {
            found.push(address);
        }
    }
    found.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(list: &[&str]) -> Change<Vec<String>> {
        Change::Set(list.iter().map(|text| (*text).to_owned()).collect())
    }

    fn addresses(record: &Record, collection: Collection) -> Vec<&str> {
        record.addresses(collection).collect()
    }

    #[test]
    fn only_smtp_addresses_count_and_the_primary_one_is_first() {
        let properties = Properties {
            proxy_addresses: set(&[
                "smtp:a.smith@example.com",
                "X500:/o=x/cn=y",
                "SIP:ann@example.com",
                "SPO:SPO_1@SPO_2",
                "SMTP:Ann@Example.com",
                "smtp:ANN@example.COM",
                "smtp:not an address",
            ]),
            mail: Change::Set("ann@example.com".into()),
            ..Properties::default()
        };
        let record = Record::default().after(properties);
        assert_eq!(addresses(&record, Collection::Users), ["ann@example.com", "a.smith@example.com"]);
    }

    #[test]
    fn sign_in_never_matters_and_mail_counts_where_it_is_an_address_here() {
        let shared = Properties {
            account_enabled: Change::Set(false),
            mail: Change::Set("info@example.com".into()),
            display_name: Change::Set("Info\r\ndesk".into()),
            ..Properties::default()
        };
        let record = Record::default().after(shared);
        assert_eq!(addresses(&record, Collection::Users), ["info@example.com"]);
        assert_eq!(record.describe(Collection::Users), "mailbox without sign-in Infodesk");
        let guest = Properties { user_type: Change::Set("Guest".into()), ..Properties::default() };
        assert_eq!(addresses(&record.after(guest), Collection::Users), [""; 0]);
    }

    #[test]
    fn groups_count_when_they_take_mail() {
        let properties = Properties {
            proxy_addresses: set(&["SMTP:team@example.com", "smtp:all@example.com"]),
            group_types: set(&["Unified"]),
            ..Properties::default()
        };
        let group = Record::default().after(properties);
        assert_eq!(addresses(&group, Collection::Groups), [""; 0]);
        let group = group.after(Properties { mail_enabled: Change::Set(true), ..Properties::default() });
        assert_eq!(addresses(&group, Collection::Groups), ["team@example.com", "all@example.com"]);
        assert_eq!(group.describe(Collection::Groups), "Microsoft 365 group");
        assert_eq!(group.clone().after(Properties::default()), group);
        let cleared = group.after(Properties { proxy_addresses: Change::Cleared, ..Properties::default() });
        assert_eq!(addresses(&cleared, Collection::Groups), [""; 0]);
    }

    #[test]
    fn addresses_of_one_object_are_bounded() {
        let many: Vec<String> = (0..PROXIES_MAX + 5).map(|n| format!("smtp:a{n}@example.com")).collect();
        let many = Properties { proxy_addresses: Change::Set(many), ..Properties::default() };
        assert_eq!(Record::default().after(many).addresses(Collection::Users).count(), PROXIES_MAX);
        let long = "x".repeat(60);
        let many: Vec<String> = (0..900).map(|n| format!("smtp:{long}{n}@example.com")).collect();
        let many = Properties { proxy_addresses: Change::Set(many), ..Properties::default() };
        let record = Record::default().after(many);
        assert!((PROXIES_BYTES_MAX - 100..PROXIES_BYTES_MAX).contains(&record.proxies.len()));
    }
}
