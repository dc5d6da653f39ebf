use config_schema::Config;
use store::{Limits, Store, testing::MemoryDisk};

use super::*;
use crate::transport::memory::Memory;

fn config(network: &str) -> Arc<Config> {
    let text =
        format!("version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n{network}");
    Arc::new(Config::parse("test.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

fn appliance(network: &str) -> (watch::Sender<Arc<Config>>, Appliance) {
    let store = Store::open(Arc::new(MemoryDisk::new(64 << 20)), Limits::default()).unwrap();
    let (sender, config) = watch::channel(config(network));
    (sender, Appliance::new(store, config, Clock::system()))
}

fn lease() -> Lease {
    let address = "192.0.2.10/24".parse().unwrap();
    Lease { address, router: None, dns: vec!["192.0.2.53".parse().unwrap()], ntp: vec![], lifetime_s: 60 }
}

/// With the configuration's own default for the cache.
fn usual(settings: Settings) -> Settings {
    Settings { cache: 20_000, ..settings }
}

#[tokio::test]
async fn the_limits_of_dns_are_obeyed() {
    let limits = "[limits]\ndns-time = \"2s\"\ndns-tries = 7\ndns-cache-entries = 100";
    let settings = resolvers(&appliance(limits).1, None);
    let patience = Patience { tries: 7, time: Duration::from_secs(2) };
    assert_eq!(settings, Settings { patience, cache: 100, ..Settings::default() });
}

#[tokio::test]
async fn resolvers_that_a_lease_brings_are_never_trusted_to_validate() {
    let (_sender, leased) = appliance("");
    let settings = resolvers(&leased, Some(&lease()));
    assert_eq!(
        settings,
        usual(Settings { servers: vec!["192.0.2.53:53".parse().unwrap()], ..Settings::default() })
    );
    for validating in [true, false] {
        let (_sender, named) = appliance(&format!("dns = \"192.0.2.54\"\ndns-validates = {validating}"));
        let settings = resolvers(&named, Some(&lease()));
        assert_eq!(
            settings,
            usual(Settings {
                servers: vec!["192.0.2.54:53".parse().unwrap()],
                validating,
                ..Settings::default()
            })
        );
    }
}

#[tokio::test]
async fn a_new_configuration_names_other_resolvers_at_once() {
    let (sender, appliance) = appliance("dns = \"192.0.2.54\"");
    let resolver = Resolver::new(Arc::new(Memory::default()), resolvers(&appliance, None));
    let (_lease, leases) = watch::channel(None);
    tokio::spawn(follow_resolvers(leases, appliance, resolver.clone()));
    assert!(!resolver.validates());
    tokio::task::yield_now().await;
    sender.send_replace(config("dns = \"192.0.2.54\"\ndns-validates = true"));
    while !resolver.validates() {
        tokio::task::yield_now().await;
    }
}
