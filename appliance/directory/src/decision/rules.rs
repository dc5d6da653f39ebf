//! What the configuration says about one recipient.

use config_schema::{
    AddressKey, Config, Domain, KnownNetwork, PlusAddresses, Route, SettingValue, StreamName, Unlisted,
};
use smtp::address::Address;

/// The number of the setting that enforces the table of valid recipients.
const ONLY_VALID: u16 = 700;

/// What the configuration says about one recipient.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'c> {
    config: &'c Config,
    known: Option<&'c KnownNetwork>,
    pub(super) domain: &'c Domain,
    pub(super) verification_server: Option<&'c Route>,
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
        known: Option<&'c KnownNetwork>,
        address: &Address,
    ) -> Result<Rules<'c>, NotOurs> {
        let name = address.domain().ok_or(NotOurs)?;
        let domain = config.domain(name).ok_or(NotOurs)?;
        Ok(Rules { config, known, domain, verification_server: config.verification_server(name) })
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.config.realm(&self.domain.realm).is_some_and(|realm| realm.suspended)
    }

    pub(super) fn plus_addresses(&self) -> PlusAddresses {
        self.domain.plus_addresses
    }

    pub(super) fn unlisted(&self) -> Unlisted {
        self.domain.unlisted
    }

    /// The client's network, if it forces a stream, and that stream.
    pub(super) fn forced(&self) -> Option<(&'c str, &'c StreamName)> {
        let known = self.known?;
        known.stream.as_ref().map(|stream| (known.name.as_str(), stream))
    }

    pub(super) fn address_mapping(&self, address: &Address) -> Option<&'c StreamName> {
        self.config.address_mapping(&address.key()).map(|mapping| &mapping.stream)
    }

    /// Whether only listed addresses are accepted for this stream.
    pub(super) fn only_valid(&self, stream: &StreamName) -> OnlyValid {
        let resolved = self.config.setting(stream, ONLY_VALID);
        let on = resolved.as_ref().is_some_and(|setting| setting.value == SettingValue::Switch(true));
        let from = resolved.and_then(|setting| setting.from);
        OnlyValid { on, from }
    }

    /// Whether the file itself lists the address among this stream's valid recipients.
    pub(super) fn lists(&self, stream: &StreamName, address: &Address) -> bool {
        let own: Option<&[AddressKey]> = if stream.is_default() {
            self.config.realm(stream.realm()).map(|realm| realm.valid_recipients.as_slice())
        } else {
            self.config.stream(stream).map(|own| own.valid_recipients.as_slice())
        };
        let key = address.key();
        own.is_some_and(|listed| listed.iter().any(|listed| listed.as_str() == key))
    }
}
