//! What somebody at the machine's console may change: the addresses, and that there is a configuration at all.

use config_schema::{Addressing, Config, SecretMode};
use ipnet::IpNet;
use sys::status::{Addresses, Change, FromRole};

use crate::{
    appliance::Appliance,
    startup::{self, BLANK},
    status::Status,
};

/// Who changed the configuration, as the audit log has it.
const BY: &str = "the console";

/// Puts the change in force with a restart of the machine, or says on the console why not.
pub(crate) async fn obey(appliance: Appliance, status: Status, change: Change) {
    match put_in_force(&appliance, change).await {
        Ok(()) => status.tell(FromRole::Reboot),
        Err(why) => status.tell(FromRole::Event(format!("nothing was changed: {why}"))),
    }
}

async fn put_in_force(appliance: &Appliance, change: Change) -> Result<(), String> {
    let text = match change {
        Change::Addresses(addresses) => with_addresses(&appliance.config(), addresses)?,
        Change::ForgetSettings => BLANK.to_owned(),
    };
    // As if it were a file: a seed volume that is still there has another one, and is imported anew.
    let forgotten = text == BLANK;
    let set = startup::set(&appliance.store, &appliance.clock, &text, BY, forgotten);
    set.await.map_err(|error| error.to_string()).map(|_| ())
}

/// The text of `config` with other addresses, checked as every configuration is.
fn with_addresses(config: &Config, addresses: Addresses) -> Result<String, String> {
    let mut config = config.clone();
    match addresses {
        Addresses::Dhcp => config.network.addressing = Addressing::Dhcp,
        Addresses::Static { addresses, gateways, resolvers } => {
            let net = |(address, length)| IpNet::new(address, length).map_err(|error| error.to_string());
            let addresses = addresses.into_iter().map(net).collect::<Result<Vec<_>, _>>()?;
            config.network.addressing = Addressing::Static { addresses, gateways };
            if !resolvers.is_empty() {
                config.network.dns =
                    resolvers.into_iter().map(|resolver| (resolver, DNS_PORT).into()).collect();
                // Said of the resolvers that were there before.
                config.network.dns_validates = false;
            }
        }
    }
    let text = config.export(&SecretMode::Plain).map_err(|error| error.to_string())?;
    match Config::parse(BY, &text) {
        Ok(_) => Ok(text),
        Err(mistakes) => Err(mistakes.lines().join("; ")),
    }
}

const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::{Limits, Store, testing::MemoryDisk};
    use tokio::sync::watch;

    use super::*;
    use crate::{Seed, clock::Clock};

    const TEXT: &str = "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = [\"192.0.2.10/24\"]\n\
        dns = [\"192.0.2.53\"]\ndns-validates = true\n[[realm]]\nname = \"example\"\n\
        [[domain]]\nname = \"example.com\"\nrealm = \"example\"\nroute = [\"[192.0.2.25]\"]\n";

    fn seed() -> Seed {
        Seed { name: "postern.toml".into(), bytes: TEXT.into() }
    }

    fn appliance() -> (watch::Sender<Arc<Config>>, Appliance) {
        let store = Store::open(Arc::new(MemoryDisk::new(64 << 20)), Limits::default()).unwrap();
        let clock = Clock::system();
        let in_force = startup::configuration(&store, &clock, Some(&seed())).unwrap();
        let (sender, config) = watch::channel(in_force.config);
        (sender, Appliance::new(store, config, clock))
    }

    /// The configuration at the next start, where the volume `seed` is still there or not.
    fn next(appliance: &Appliance, seed: Option<&Seed>) -> Arc<Config> {
        startup::configuration(&appliance.store, &appliance.clock, seed).unwrap().config
    }

    fn fixed(address: &str, resolvers: &[&str]) -> Change {
        Change::Addresses(Addresses::Static {
            addresses: vec![(address.parse().unwrap(), 24)],
            gateways: vec!["198.51.100.1".parse().unwrap()],
            resolvers: resolvers.iter().map(|resolver| resolver.parse().unwrap()).collect(),
        })
    }

    #[tokio::test]
    async fn addresses_change_and_nothing_else() {
        let (_sender, appliance) = appliance();
        put_in_force(&appliance, fixed("198.51.100.10", &[])).await.unwrap();
        // The volume holds what was imported already: the change stays.
        let config = next(&appliance, Some(&seed()));
        let Addressing::Static { addresses, gateways } = &config.network.addressing else { panic!("DHCP") };
        assert_eq!((addresses[0].to_string().as_str(), gateways.len()), ("198.51.100.10/24", 1));
        assert_eq!(config.network.dns, ["192.0.2.53:53".parse().unwrap()]);
        assert!(config.network.dns_validates && config.domains.len() == 1);
    }

    #[tokio::test]
    async fn other_resolvers_are_not_believed_to_validate() {
        let (_sender, appliance) = appliance();
        put_in_force(&appliance, fixed("198.51.100.10", &["198.51.100.53"])).await.unwrap();
        let config = next(&appliance, None);
        assert_eq!(config.network.dns, ["198.51.100.53:53".parse().unwrap()]);
        assert!(!config.network.dns_validates);
        put_in_force(&appliance, Change::Addresses(Addresses::Dhcp)).await.unwrap();
        assert_eq!(next(&appliance, None).network.addressing, Addressing::Dhcp);
    }

    #[tokio::test]
    async fn a_gateway_out_of_reach_is_refused_and_nothing_changes() {
        let (_sender, appliance) = appliance();
        let why = put_in_force(&appliance, fixed("203.0.113.10", &[])).await.unwrap_err();
        assert!(why.contains("network.gateway"), "{why}");
        assert_eq!(*next(&appliance, None), *appliance.config());
    }

    #[tokio::test]
    async fn settings_are_forgotten_until_a_volume_brings_some() {
        let (_sender, appliance) = appliance();
        put_in_force(&appliance, Change::ForgetSettings).await.unwrap();
        let blank = startup::configuration(&appliance.store, &appliance.clock, None).unwrap();
        assert!(blank.config.domains.is_empty() && blank.notice.contains("no configuration yet"));
        assert_eq!(next(&appliance, Some(&seed())).domains.len(), 1);
    }
}
