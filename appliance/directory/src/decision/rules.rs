//! What the configuration says about one recipient.

use config_schema::{Config, Domain, KnownNetwork, Route, SettingValue, StreamName};
use smtp::address::Address;

use crate::mapping::PlusAddresses;

/// The number of the setting that enforces the table of valid recipients.
const ONLY_VALID: u16 = 700;

/// What the configuration says about one recipient.
#[derive(Debug, Clone)]
pub struct Rules<'c> {
    config: &'c Config,
    /// The recipient's domain.
    pub domain: &'c Domain,
    /// Whether the domain's realm is suspended.
    pub suspended: bool,
    /// The stream that the client's network forces.
    pub forced: Option<Forced<'c>>,
    /// What becomes of an address that the domain's user lookup does not list.
    pub unlisted: Unlisted,
    /// Whether the tags of plus addresses count.
    pub plus_addresses: PlusAddresses,
    /// Who is asked whether the recipient exists.
    pub verification_server: Option<&'c Route>,
    /// Addresses, by their keys, that have a mapping of their own.
    pub address_mappings: &'c [(Address, StreamName)],
}

/// A stream that a known network forces.
#[derive(Debug, Clone, Copy)]
pub struct Forced<'c> {
    /// The network's name.
    pub network: &'c str,
    /// The stream.
    pub stream: &'c StreamName,
}

/// What becomes of an address that the domain's user lookup does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unlisted {
    /// It is refused.
    #[default]
    Refuse,
    /// The verification server is asked.
    Verify,
}

/// The value of S-700 for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlyValid {
    /// Whether only listed addresses are accepted.
    pub on: bool,
    /// The stream that says so; `None`: it is built in.
    pub from: Option<StreamName>,
}

/// The domain is none of the configuration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the domain is not ours")]
pub struct NotOurs;

impl<'c> Rules<'c> {
    /// The rules for mail to `address` from a client of the network `known`.
    ///
    /// # Errors
    /// The domain is none of the configuration's.
    pub fn of(
        config: &'c Config,
        _known: Option<&'c KnownNetwork>,
        address: &Address,
    ) -> Result<Rules<'c>, NotOurs> {
        let name = address.domain().ok_or(NotOurs)?;
        let domain = config.domain(name).ok_or(NotOurs)?;
        Ok(Rules {
            config,
            domain,
            suspended: false,
            forced: None,
            unlisted: Unlisted::default(),
            plus_addresses: PlusAddresses::default(),
            verification_server: config.verification_server(name),
            address_mappings: &[],
        })
    }

    pub(super) fn address_mapping(&self, address: &Address) -> Option<&'c StreamName> {
        let key = address.key();
        self.address_mappings.iter().find(|(mapped, _)| mapped.key() == key).map(|(_, stream)| stream)
    }

    /// Whether only listed addresses are accepted for this stream.
    pub(super) fn only_valid(&self, stream: &StreamName) -> OnlyValid {
        let resolved = self.config.setting(stream, ONLY_VALID);
        let on = resolved.as_ref().is_some_and(|setting| setting.value == SettingValue::Switch(true));
        let from = resolved.and_then(|setting| setting.from);
        OnlyValid { on, from }
    }
}
