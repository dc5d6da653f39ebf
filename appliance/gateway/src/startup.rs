//! What happens before the network is up: the store, the configuration, our own certificate.

use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use config_schema::Config;
use store::{Disk, Limits, NewConfiguration, Store, StoreError, Value, log::Event};

use crate::{
    Seed,
    appliance::Appliance,
    clock::Clock,
    tls::identity::{IdentityError, SelfSigned},
};

/// The configuration of an appliance that has none yet: it takes an address, and no mail.
pub(crate) const BLANK: &str =
    "version = 1\n[network]\nhostname = \"postern.localdomain\"\naddress = \"dhcp\"\n";

/// Why the gateway cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    #[error("our own certificate: {0}")]
    Identity(#[from] IdentityError),
    #[error("no random numbers")]
    Random,
}

/// The configuration in force, and what an administrator should know about how it came to be.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) config: Arc<Config>,
    /// Shown on the console; empty when all is well.
    pub(crate) notice: String,
}

pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Store, StartError> {
    Ok(Store::open(disk, Limits::default())?)
}

/// Has the store obey the limits of the configuration in force, and of each that follows.
pub(crate) async fn follow_limits(appliance: Appliance) {
    let mut config = appliance.config.clone();
    loop {
        let limits = limits(&config.borrow_and_update(), appliance.store.usage().capacity);
        appliance.store.set_limits(limits);
        if config.changed().await.is_err() {
            return;
        }
    }
}

/// The store's limits as the configuration has them, on a disk of `capacity` bytes.
fn limits(config: &Config, capacity: u64) -> Limits {
    let limits = &config.limits;
    let share = |percent: u32| (u128::from(capacity) * u128::from(percent) / 100) as u64;
    Limits {
        message_bytes: limits.message_size.bytes(),
        writer_memory_bytes: limits.receiving_memory.bytes(),
        recipients: usize::try_from(limits.recipients).unwrap_or(usize::MAX),
        reserve_percent: u8::try_from(limits.disk_reserve_percent).unwrap_or(100),
        reserve_bytes: limits.disk_reserve.bytes(),
        log_bytes: Some(share(limits.log_percent)),
        audit_bytes: Some(share(limits.audit_percent)),
        ..Limits::default()
    }
}

/// Imports the seed if it differs from the one imported last, all or nothing; otherwise what was in force stays.
pub(crate) fn configuration(
    store: &Store,
    clock: &Clock,
    seed: Option<&Seed>,
) -> Result<InForce, StartError> {
    let kept = store.configuration()?;
    let imported = kept.as_ref().and_then(|kept| kept.imported);
    let mut notice = String::new();
    if let Some(seed) = seed
        && imported != Some(digest(&seed.bytes))
    {
        match import(store, clock, seed)? {
            Ok(config) => return Ok(InForce { config: Arc::new(config), notice }),
            Err(why) => notice = why,
        }
    }
    let config = kept.and_then(|kept| match Config::parse("the configuration in force", &kept.text) {
        Ok(config) => Some(config),
        Err(mistakes) => {
            notice = mistakes.to_string();
            None
        }
    });
    let none = config.as_ref().is_none_or(|config| config.domains.is_empty());
    if none && notice.is_empty() {
        notice = "no configuration yet: give one as postern.toml on a volume labelled POSTERN".to_owned();
    }
    let config = match config {
        Some(config) => config,
        None => {
            Config::parse("blank", BLANK).expect("the blank configuration has no mistake; a test reads it")
        }
    };
    Ok(InForce { config: Arc::new(config), notice })
}

/// The inner error is the file's mistakes, a line each; nothing was changed then.
fn import(store: &Store, clock: &Clock, seed: &Seed) -> Result<Result<Config, String>, StartError> {
    let Ok(text) = std::str::from_utf8(&seed.bytes) else {
        return Ok(Err(format!("{}: not UTF-8, expected a text file", seed.name)));
    };
    let config = match Config::parse(&seed.name, text) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes.iter() {
                store.event(Event::new(clock.now(), "config.mistake").field("mistake", mistake));
            }
            return Ok(Err(mistakes.to_string()));
        }
    };
    set(store, clock, text, &seed.name, true).wait()?;
    Ok(Ok(config))
}

/// Puts a text that was checked in force, with its audit entry.
pub(crate) fn set(
    store: &Store,
    clock: &Clock,
    text: &str,
    by: &str,
    from_file: bool,
) -> store::Pending<u64> {
    let new = NewConfiguration { text: text.to_owned(), from_file, at: clock.now(), by: by.into() };
    let audit = Event::new(clock.now(), "config.imported").field("by", by).field("bytes", text.len());
    store.set_configuration(new, audit)
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

/// The certificate that was made at first boot, renewed when its time is near or the host name has changed.
pub(crate) fn identity(store: &Store, clock: &Clock, config: &Config) -> Result<SelfSigned, StartError> {
    let host_name = &config.network.hostname;
    let kept = store.value(Value::TlsIdentity)?;
    let kept = kept.and_then(|bytes| SelfSigned::from_bytes(&bytes).ok());
    let made = match &kept {
        Some(kept) => kept.renewed(host_name, clock.now())?,
        None => Some(SelfSigned::make(host_name, clock.now())?),
    };
    match (made, kept) {
        (Some(made), _) => {
            store.set_value(Value::TlsIdentity, Some(made.to_bytes())).wait()?;
            store.event(Event::new(clock.now(), "tls.certificate-changed").field("host", host_name));
            Ok(made)
        }
        (None, Some(kept)) => Ok(kept),
        (None, None) => Err(StartError::Random),
    }
}

/// The key from which lasting secrets are derived; made once.
pub(crate) fn signing_key(store: &Store) -> Result<[u8; 32], StartError> {
    if let Some(kept) = store.value(Value::SigningKey)?
        && let Ok(key) = kept.try_into()
    {
        return Ok(key);
    }
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).map_err(|_| StartError::Random)?;
    store.set_value(Value::SigningKey, Some(key.to_vec())).wait()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Limits {
        let text =
            format!("version = 1\n[network]\nhostname = \"a.example\"\naddress = \"dhcp\"\n[limits]\n{text}");
        limits(&Config::parse("test.toml", &text).unwrap(), 1_000_000_000)
    }

    #[test]
    fn the_store_has_the_limits_of_the_configuration() {
        let limits = of("message-size = \"1MB\"\nreceiving-memory = \"5MiB\"\nrecipients = 2000\n\
             disk-reserve-percent = 20\ndisk-reserve = \"17MB\"\nlog-percent = 3\naudit-percent = 4");
        let expected = Limits {
            message_bytes: 1_000_000,
            writer_memory_bytes: 5 << 20,
            recipients: 2_000,
            reserve_percent: 20,
            reserve_bytes: 17_000_000,
            log_bytes: Some(30_000_000),
            audit_bytes: Some(40_000_000),
            ..Limits::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn the_defaults_of_both_agree() {
        let expected =
            Limits { log_bytes: Some(100_000_000), audit_bytes: Some(20_000_000), ..Limits::default() };
        assert_eq!(of(""), expected);
    }

    #[test]
    fn the_blank_configuration_has_no_mistake() {
        let config = Config::parse("blank", BLANK).unwrap();
        assert!(config.domains.is_empty());
    }
}
