//! The copy of a directory, from its first read to what becomes of mail while the directory is away.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config_schema::Config;
use directory::decision::Outcome;
use gateway::appliance::Appliance;
use gateway::clock::Clock;
use gateway::delivery::Prober;
use gateway::directory::Directory;
use gateway::dns::{Resolver, Settings};
use store::{Store, testing::MemoryDisk};
use tokio::sync::watch;

use crate::asking::served;
use crate::certificates::Authority;
use crate::failing::modify;
use crate::slapd::{BASE, entry};
use crate::world::{Doors, FIRST};

const PATIENCE: Duration = Duration::from_secs(120);

/// An appliance with one domain, whose recipients the directory knows.
struct Site {
    appliance: Appliance,
    doors: Doors,
    _config: watch::Sender<Arc<Config>>,
}

impl Site {
    fn new(authority: &Authority, doors: &Doors, keys: &str) -> Site {
        let root = STANDARD.encode(authority.root());
        let text = format!(
            "version = 1\nnetwork = {{ hostname = \"mx.example.com\", address = \"dhcp\" }}\n\
             [[user-lookup]]\nname = \"corp\"\nmethod = \"ldap\"\npreset = \"ad-windows-name\"\n\
             servers = \"[{FIRST}]\"\nbase = \"{BASE}\"\nbind-dn = \"cn=reader,{BASE}\"\n\
             bind-password = \"reader-secret\"\ntime-limit = \"30 s\"\n{keys}\n\
             [[domain]]\nname = \"example.com\"\nrealm = \"base\"\nroute = [\"[10.9.8.9]\"]\nmapping = \"corp\"\n\
             [tls]\nroots = [\"-----BEGIN CERTIFICATE-----\\n{root}\\n-----END CERTIFICATE-----\"]\n"
        );
        let config = Config::parse("test.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let store = Store::open(Arc::new(MemoryDisk::new(64 << 20)), store::Limits::default()).unwrap();
        let (sender, watched) = watch::channel(Arc::new(config));
        let appliance = Appliance::new(store, watched, Clock::system());
        Site { appliance, doors: doors.clone(), _config: sender }
    }

    /// As after a start of the gateway, once the lookup runs.
    async fn start(&self) -> Directory {
        let transport = Arc::new(self.doors.clone());
        let resolver = Resolver::new(transport.clone(), Settings::default());
        let prober = Prober::new(self.appliance.clone(), transport, resolver);
        let directory = Directory::start(self.appliance.clone(), prober, &[7; 32]);
        let until = Instant::now() + PATIENCE;
        while directory.lookup_views()[0].addresses.is_none() {
            assert!(Instant::now() < until, "{:?}", directory.lookup_views());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        directory
    }

    /// What becomes of mail for this address: the stream, or `5xx` or `4xx`.
    async fn decide(&self, directory: &Directory, address: &str) -> String {
        let config = self.appliance.config();
        match directory.decide(&config, None, &address.parse().unwrap()).await.unwrap().outcome {
            Outcome::Accept { stream, .. } => stream.to_string(),
            Outcome::Refuse { .. } => "5xx".to_owned(),
            Outcome::Defer { .. } => "4xx".to_owned(),
        }
    }
}

/// So many people.
fn people(count: usize) -> String {
    let person = |n: usize| {
        let (name, address) = (format!("u{n}"), format!("SMTP:u{n}@example.com"));
        entry(&name, "user", &[("sAMAccountName", &name), ("proxyAddresses", &address)])
    };
    (0..count).map(person).collect()
}

fn remove(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        writeln!(text, "dn: cn=u{n},{BASE}\nchangetype: delete\n").unwrap();
        text
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_while_the_directory_is_away_loses_nobody() {
    let authority = Authority::new();
    let (mut slapd, doors) = served(&authority, &people(50));
    let site = Site::new(&authority, &doors, "page-size = 10");
    let directory = site.start().await;
    let view = directory.sync_lookup(&"corp".parse().unwrap()).await.unwrap();
    assert_eq!((view.addresses, view.held.is_none(), view.alarms.len()), (Some(50), true, 0));
    assert_eq!(site.decide(&directory, "u3@example.com").await, "base:u3");
    assert_eq!(site.decide(&directory, "nobody@example.com").await, "5xx");
    directory.stop().await;
    drop(directory);
    slapd.server.kill();

    let directory = site.start().await;
    assert_eq!(site.decide(&directory, "U41@example.com").await, "base:u41");
    assert_eq!(site.decide(&directory, "u41+tag@example.com").await, "base:u41");
    assert_eq!(site.decide(&directory, "nobody@example.com").await, "4xx");
    let away = directory.lookup_views().remove(0);
    assert_eq!((away.addresses, &away.synced_at), (Some(50), &view.synced_at));
    assert!(away.state.ends_with("cannot be reached; the copy vouches for whom it knows"), "{}", away.state);
    assert!(directory.sync_lookup(&"corp".parse().unwrap()).await.is_err());

    slapd.restart();
    let until = Instant::now() + PATIENCE;
    while site.decide(&directory, "nobody@example.com").await != "5xx" {
        assert!(Instant::now() < until, "{:?}", directory.lookup_views());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_suddenly_empty_is_believed_only_when_confirmed() {
    let authority = Authority::new();
    let (mut slapd, doors) = served(&authority, &people(20));
    let site = Site::new(&authority, &doors, "");
    let directory = site.start().await;
    let name = "corp".parse().unwrap();
    directory.sync_lookup(&name).await.unwrap();
    assert!(directory.confirm_lookup(&name).await.is_err(), "nothing is held");

    modify(&slapd, &remove(20));
    let view = directory.sync_lookup(&name).await.unwrap();
    assert_eq!(view.addresses, Some(20));
    assert!(view.held.unwrap().contains("20 of 20 addresses in example.com"));
    slapd.server.kill();
    assert_eq!(site.decide(&directory, "u7@example.com").await, "base:u7", "mail flows by the old copy");
    let view = directory.confirm_lookup(&name).await.unwrap();
    assert_eq!((view.addresses, view.held), (Some(0), None));
    assert_eq!(site.decide(&directory, "u8@example.com").await, "4xx");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_while_it_is_read_leaves_the_copy_as_it_was() {
    const COUNT: usize = 5_000;
    let authority = Authority::new();
    let (mut slapd, doors) = served(&authority, &people(COUNT));
    let site = Site::new(&authority, &doors, "page-size = 10");
    let directory = site.start().await;
    let name = "corp".parse().unwrap();
    let view = directory.sync_lookup(&name).await.unwrap();
    assert_eq!(view.addresses, Some(COUNT as u64));

    // Few enough not to be held, if the read came to its end.
    modify(&slapd, &remove(10));
    let before = doors.connections.load(Ordering::Relaxed);
    let reading = {
        let (directory, name) = (directory.clone(), name.clone());
        tokio::spawn(async move { directory.sync_lookup(&name).await })
    };
    let until = Instant::now() + PATIENCE;
    while doors.connections.load(Ordering::Relaxed) == before {
        assert!(Instant::now() < until, "it is not read");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    slapd.server.kill();
    assert!(reading.await.unwrap().is_err());
    let view = directory.lookup_views().remove(0);
    assert_eq!((view.addresses, view.held), (Some(COUNT as u64), None));
    assert_eq!(site.decide(&directory, "u5@example.com").await, "base:u5");
    assert_eq!(site.decide(&directory, "nobody@example.com").await, "4xx");
    let generations = site.appliance.store.directory_generations().unwrap();
    assert_eq!(generations.len(), 1, "{generations:?}");

    slapd.restart();
    let until = Instant::now() + PATIENCE;
    while directory.sync_lookup(&name).await.is_err() {
        assert!(Instant::now() < until, "{:?}", directory.lookup_views());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(directory.lookup_views()[0].addresses, Some(COUNT as u64 - 10));
}
