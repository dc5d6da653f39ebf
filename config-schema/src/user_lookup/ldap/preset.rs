//! What the kinds of directories have in common, so that nobody has to know the names of attributes.

use super::{AttributeName, Filter};
use crate::words::Words;

/// Which directory it is, and by what its users are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// Active Directory, users by their Windows name.
    #[default]
    AdWindowsName,
    /// Active Directory, users by their address.
    AdEmail,
    /// Any other directory, users by `uid`.
    GenericUsername,
    /// Any other directory, users by their address.
    GenericEmail,
}

impl Words for Preset {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ad-windows-name", Preset::AdWindowsName),
        ("ad-email", Preset::AdEmail),
        ("generic-username", Preset::GenericUsername),
        ("generic-email", Preset::GenericEmail),
    ];
}

/// Every kind of entry of Exchange's that can receive mail. Accounts that are disabled are not left out: a shared
/// mailbox is one.
const AD_RECIPIENTS: &str = "(|(objectClass=user)(objectClass=group)(objectClass=contact)(objectClass=publicFolder)\
                             (objectClass=msExchDynamicDistributionList))";
const ANYTHING: &str = "(objectClass=*)";

impl Preset {
    fn is_ad(self) -> bool {
        matches!(self, Preset::AdWindowsName | Preset::AdEmail)
    }

    /// Which entries count at all.
    pub fn filter(self) -> Filter {
        let text = if self.is_ad() { AD_RECIPIENTS } else { ANYTHING };
        text.parse().expect("a test reads both")
    }

    /// Where addresses stand.
    pub fn address_attributes(self) -> Vec<AttributeName> {
        names(if self.is_ad() { &["proxyAddresses", "mail"] } else { &["mail", "mailAlternateAddress"] })
    }

    /// Where the stream's name stands.
    pub fn stream_attributes(self) -> Vec<AttributeName> {
        names(match self {
            Preset::AdWindowsName => &["sAMAccountName"],
            Preset::GenericUsername => &["uid"],
            Preset::AdEmail | Preset::GenericEmail => &["mail"],
        })
    }

    /// What a user may log in by.
    pub fn login_attributes(self) -> Vec<AttributeName> {
        names(match self {
            Preset::AdWindowsName => &["sAMAccountName", "userPrincipalName"],
            Preset::AdEmail => &["mail", "userPrincipalName"],
            Preset::GenericUsername => &["uid"],
            Preset::GenericEmail => &["mail"],
        })
    }
}

fn names(texts: &[&str]) -> Vec<AttributeName> {
    texts.iter().map(|text| text.parse().expect("a test reads them all")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_says_where_everything_stands() {
        for (_, preset) in Preset::WORDS {
            assert_eq!(preset.filter().to_string().parse::<Filter>().unwrap(), preset.filter());
            for names in [preset.address_attributes(), preset.stream_attributes(), preset.login_attributes()]
            {
                assert!(!names.is_empty(), "{preset:?}");
            }
        }
    }
}
