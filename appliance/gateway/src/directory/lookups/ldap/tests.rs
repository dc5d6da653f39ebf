use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{MutexGuard, PoisonError},
};

use config_schema::{LookupName, Method};
use store::{Store, testing::MemoryDisk};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
    time::sleep,
};

use super::{super::Lookups, *};
use crate::{
    clock::Clock,
    dns::{Resolver, Settings},
    transport::memory::Memory as Net,
};

const SERVER: &str = "10.0.0.1:389";
const HOUR: Duration = Duration::from_secs(3_600);
/// What a test waits for at most, by a clock that does not stand still.
const REAL_PATIENCE: Duration = Duration::from_secs(60);

/// What the server has and does.
#[derive(Default)]
struct Script {
    /// Addresses, the first one of each entry the primary one, by common names.
    people: BTreeMap<String, Vec<String>>,
    /// Closes every connection.
    away: bool,
    /// Pages after which a read is broken off.
    pages: Option<usize>,
    /// Reads that were begun.
    reads: usize,
}

struct World {
    net: Net,
    script: Arc<Mutex<Script>>,
    appliance: Appliance,
    config: watch::Sender<Arc<Config>>,
}

fn configuration(keys: &str) -> Arc<Config> {
    let text = format!(
        "version = 1\nnetwork = {{ hostname = \"mx.example.com\", address = \"dhcp\" }}\n{keys}\n\
         [[domain]]\nname = \"example.com\"\nrealm = \"base\"\nroute = [\"mail.example.net\"]\nmapping = \"corp\"\n"
    );
    Arc::new(Config::parse("test.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

fn lookup(keys: &str) -> String {
    let base = if keys.contains("base") { "" } else { "base = \"dc=example\"\n" };
    format!(
        "[[user-lookup]]\nname = \"corp\"\nmethod = \"ldap\"\npreset = \"generic-username\"\npage-size = 10\n\
         servers = \"[10.0.0.1]\"\nsecurity = \"plain\"\nbind-dn = \"cn=me\"\nbind-password = \"secret\"\n{base}{keys}"
    )
}

impl World {
    /// With as many people.
    fn new(people: usize) -> World {
        let net = Net::default();
        let script = Arc::new(Mutex::new(Script::default()));
        stand(&net, script.clone());
        let store = Store::open(Arc::new(MemoryDisk::new(48 << 20)), store::Limits::default()).unwrap();
        let (config, watched) = watch::channel(configuration(&lookup("")));
        let appliance = Appliance::new(store, watched, Clock::system());
        let world = World { net, script, appliance, config };
        world.set_people(0..people);
        world
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn set_people(&self, numbers: std::ops::Range<usize>) {
        let addresses = |n| vec![format!("u{n}@example.com"), format!("also{n}@example.com")];
        self.script().people = numbers.map(|n| (format!("u{n}"), addresses(n))).collect();
    }

    fn prober(&self) -> Prober {
        let transport = Arc::new(self.net.clone());
        let resolver = Resolver::new(transport.clone(), Settings::default());
        Prober::new(self.appliance.clone(), transport, resolver)
    }

    /// The lookup by these keys, as after a start of the gateway.
    async fn start(&self, keys: &str) -> LdapLookup {
        let config = configuration(&lookup(keys));
        let given = &config.user_lookups[0];
        let Method::Ldap(ldap) = &given.method else { panic!("another method") };
        let domains = [DomainName::parse("example.com").unwrap()];
        LdapLookup::start(&self.appliance, &self.prober(), &config, (given, &domains), ldap).await
    }

    /// The same, once it has read.
    async fn read(&self, keys: &str) -> LdapLookup {
        let lookup = self.start(keys).await;
        lookup.sync().await.unwrap();
        lookup
    }

    fn alarms(&self) -> String {
        self.appliance.alarms.lines().join("\n")
    }

    fn generations(&self) -> Vec<u32> {
        self.appliance.store.directory_generations().unwrap().into_iter().map(|(_, at)| at).collect()
    }
}

/// BER (RFC 4511 §5.1): a tag with its content.
fn ber(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82][..], &len, &content].concat()
}

fn message(id: u8, operation: &[u8], controls: &[u8]) -> Vec<u8> {
    ber(0x30, &[&[2, 1, id], operation, controls])
}

fn result(tag: u8) -> Vec<u8> {
    ber(tag, &[&[10, 1, 0, 4, 0, 4, 0]])
}

fn entry(name: &str, addresses: &[String]) -> Vec<u8> {
    let text = |text: &str| ber(4, &[text.as_bytes()]);
    let attribute = |name: &str, values: &[String]| {
        let values: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
        ber(0x30, &[&text(name), &ber(0x31, &[&values])])
    };
    let attributes = [
        attribute("objectClass", &["inetOrgPerson".to_owned()]),
        attribute("uid", &[name.to_owned()]),
        attribute("mail", addresses),
    ];
    ber(0x64, &[&text(&format!("cn={name},dc=example")), &ber(0x30, &[&attributes.concat()])])
}

/// RFC 2696: the cookie of the next page; none: this was the last.
fn paging(cookie: &[u8]) -> Vec<u8> {
    let value = ber(0x30, &[&[2, 1, 0], &ber(4, &[cookie])]);
    ber(0xa0, &[&ber(0x30, &[&ber(4, &[PAGING]), &ber(4, &[&value])])])
}

const PAGING: &[u8] = b"1.2.840.113556.1.4.319";

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

/// What is answered to a request; `None`: the connection is closed. `at` is how far a read has come.
fn answer(script: &mut Script, request: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    if script.away {
        return None;
    }
    // Requests are short and come one by one: number and operation stand where the lengths put them.
    let body = if request[1] < 0x80 { 2 } else { 2 + usize::from(request[1] & 0x7f) };
    let (id, operation) = (request[body + 2], request[body + 3]);
    match operation {
        0x60 => Some(message(id, &result(0x61), &[])),
        0x63 if contains(request, PAGING) => {
            script.reads += usize::from(*at == 0);
            if script.pages.is_some_and(|pages| *at >= pages * 10) {
                return None;
            }
            let page = script.people.iter().skip(*at).take(10);
            let mut octets: Vec<u8> =
                page.flat_map(|(name, addresses)| message(id, &entry(name, addresses), &[])).collect();
            *at += 10;
            let cookie: &[u8] = if *at < script.people.len() { b"more" } else { b"" };
            octets.extend(message(id, &result(0x65), &paging(cookie)));
            Some(octets)
        }
        0x63 => {
            let asked = |addresses: &Vec<String>| {
                // As a value, behind its length.
                let is = |address: &String| {
                    contains(request, &[&[u8::try_from(address.len()).unwrap()], address.as_bytes()].concat())
                };
                addresses.iter().any(is)
            };
            let found = script.people.iter().filter(|(_, addresses)| asked(addresses));
            let mut octets: Vec<u8> =
                found.flat_map(|(name, addresses)| message(id, &entry(name, addresses), &[])).collect();
            octets.extend(message(id, &result(0x65), &[]));
            Some(octets)
        }
        _ => None,
    }
}

async fn serve(mut connection: DuplexStream, script: Arc<Mutex<Script>>) {
    let (mut heard, mut at) = ([0; 16 * 1024], 0);
    while let Ok(read) = connection.read(&mut heard).await {
        let answer = match read {
            0 => None,
            read => {
                answer(&mut script.lock().unwrap_or_else(PoisonError::into_inner), &heard[..read], &mut at)
            }
        };
        let Some(answer) = answer else { return };
        if connection.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn stand(net: &Net, script: Arc<Mutex<Script>>) {
    let mut connections = net.listen(SERVER.parse::<SocketAddr>().unwrap());
    tokio::spawn(async move {
        while let Some(connection) = connections.recv().await {
            tokio::spawn(serve(connection, script.clone()));
        }
    });
}

async fn ask(lookup: &LdapLookup, address: &str) -> LookupAnswer {
    lookup.ask(&address.parse().unwrap()).await
}

async fn stream(lookup: &LdapLookup, address: &str) -> String {
    match ask(lookup, address).await {
        LookupAnswer::Stream { stream, .. } => stream.into(),
        other => panic!("{other:?}"),
    }
}

async fn is_unavailable(lookup: &LdapLookup, address: &str) -> bool {
    matches!(ask(lookup, address).await, LookupAnswer::Unavailable { .. })
}

async fn until(what: impl Fn() -> bool) {
    let end = std::time::Instant::now() + REAL_PATIENCE;
    while !what() {
        assert!(std::time::Instant::now() < end, "it does not come");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_copy_vouches_for_whom_it_knows() {
    let world = World::new(25);
    let lookup = world.read("").await;
    assert_eq!(stream(&lookup, "also7@example.com").await, "u7");
    assert_eq!(ask(&lookup, "x@example.com").await, LookupAnswer::Unknown);
    let view = lookup.view();
    assert_eq!((view.addresses, view.held.is_none(), view.alarms.len()), (Some(50), true, 0));
    lookup.end().await;
    world.script().away = true;

    let lookup = world.start("").await;
    assert_eq!(lookup.view().synced_at, view.synced_at);
    let LookupAnswer::Stream { stream: named, because } = ask(&lookup, "Also7@Example.com").await else {
        panic!("not known")
    };
    assert_eq!(&*named, "u7");
    assert_eq!(&*because, "user cn=u7,dc=example (cn=u7,dc=example), by the copy of the directory");
    assert!(is_unavailable(&lookup, "x@example.com").await, "nobody can say that it is unknown");
    let state = lookup.view().state;
    assert!(state.ends_with("cannot be reached; the copy vouches for whom it knows"), "{state}");

    // Once the directory answers again, what it says counts.
    world.script().people.remove("u7");
    world.script().away = false;
    sleep(HOUR).await;
    assert_eq!(ask(&lookup, "also7@example.com").await, LookupAnswer::Unknown);
}

#[tokio::test(start_paused = true)]
async fn it_is_read_as_often_as_was_said_and_soon_again_after_a_failure() {
    let world = World::new(3);
    let lookup = world.read("sync-every = \"2 h\"").await;
    let first = world.script().reads;
    world.set_people(0..4);
    sleep(HOUR).await;
    assert_eq!((world.script().reads, lookup.view().addresses), (first, Some(6)));
    sleep(HOUR + Duration::from_secs(1)).await;
    until(|| lookup.view().addresses == Some(8)).await;
    assert_eq!(world.script().reads, first + 1);
    // A restart is no reason to read.
    lookup.end().await;
    let lookup = world.start("sync-every = \"2 h\"").await;
    sleep(HOUR).await;
    assert_eq!((world.script().reads, lookup.view().addresses), (first + 1, Some(8)));
    world.script().away = true;
    world.set_people(0..5);
    sleep(2 * HOUR).await;
    assert_eq!(lookup.view().addresses, Some(8));
    world.script().away = false;
    sleep(HOUR).await;
    until(|| lookup.view().addresses == Some(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_great_loss_waits_to_be_confirmed() {
    let world = World::new(20);
    let lookup = world.read("").await;
    world.set_people(0..17);
    lookup.sync().await.unwrap();
    let held = lookup.view().held.unwrap();
    assert_eq!(
        held,
        "the last read would remove 6 of 40 addresses in example.com: confirm it, or mend the directory"
    );
    until(|| world.alarms().contains("directory corp: held: a reading waits to be confirmed: 6 of 40")).await;
    assert_eq!(lookup.view().addresses, Some(40));
    // Whole again: nothing is to be confirmed.
    world.set_people(0..20);
    lookup.sync().await.unwrap();
    assert_eq!(lookup.view().held, None);
    assert_eq!(lookup.confirm().await, Err("nothing is held".to_owned()));
    until(|| world.alarms().is_empty()).await;

    world.set_people(0..17);
    lookup.sync().await.unwrap();
    lookup.confirm().await.unwrap();
    assert_eq!((lookup.view().held, lookup.view().addresses), (None, Some(34)));
    lookup.end().await;
    world.script().away = true;
    let lookup = world.start("").await;
    assert!(is_unavailable(&lookup, "u18@example.com").await, "what was confirmed is kept");
    assert_eq!(stream(&lookup, "u16@example.com").await, "u16");
}

#[tokio::test(start_paused = true)]
async fn a_directory_without_anybody_is_believed_only_when_confirmed() {
    let world = World::new(0);
    let lookup = world.start("").await;
    assert_eq!(lookup.sync().await, Err("no entry with an address below `base`".to_owned()));
    until(|| world.alarms().contains("directory corp: fault: no entry with an address below `base`")).await;
    world.set_people(0..2);
    lookup.sync().await.unwrap();
    until(|| world.alarms().is_empty()).await;
    world.set_people(0..0);
    lookup.sync().await.unwrap();
    assert_eq!(lookup.view().addresses, Some(4));
    assert!(lookup.view().held.unwrap().contains("4 of 4 addresses"));
    lookup.confirm().await.unwrap();
    assert_eq!(lookup.view().addresses, Some(0));
    assert_eq!(world.generations(), [] as [u32; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_breaks_off_leaves_the_copy_as_it_was() {
    let world = World::new(30);
    let lookup = world.read("").await;
    let kept = world.generations();
    world.set_people(0..40);
    world.script().pages = Some(2);
    lookup.sync().await.unwrap_err();
    assert_eq!((lookup.view().addresses, world.generations()), (Some(60), kept.clone()));
    assert_eq!(lookup.view().alarms.len(), 1, "{:?}", lookup.view().alarms);
    assert_eq!(world.alarms(), "", "it may pass");
    world.script().pages = None;
    lookup.sync().await.unwrap();
    assert_eq!((lookup.view().addresses, lookup.view().alarms.len()), (Some(80), 0));
    let replaced = world.generations();
    assert!(replaced.len() == 1 && replaced != kept, "{replaced:?}");
    // Nothing has changed: nothing but the time is written.
    lookup.sync().await.unwrap();
    assert_eq!(world.generations(), replaced);
}

#[tokio::test(start_paused = true)]
async fn a_day_of_silence_is_an_alarm() {
    let world = World::new(3);
    let lookup = world.read("").await;
    world.script().away = true;
    sleep(29 * HOUR).await;
    assert_eq!(world.alarms(), "");
    sleep(2 * HOUR).await;
    assert!(
        world.alarms().starts_with("directory corp: stale: not reached for a day: "),
        "{}",
        world.alarms()
    );
    lookup.end().await;
    assert_eq!(world.alarms(), "");
    // After a restart it is known how old the copy is.
    let lookup = world.start("").await;
    sleep(HOUR / 2).await;
    assert_eq!(world.alarms(), "");
    sleep(HOUR).await;
    assert!(world.alarms().contains("stale"));
    world.script().away = false;
    sleep(2 * HOUR).await;
    assert_eq!(world.alarms(), "");
    assert_eq!(stream(&lookup, "u1@example.com").await, "u1");
}

#[tokio::test(start_paused = true)]
async fn no_copy_is_kept_where_none_is_wanted_or_of_anything_else() {
    let world = World::new(3);
    world.read("").await.end().await;
    assert_eq!(world.generations().len(), 1);
    world.script().away = true;
    let other = world.start("base = \"dc=other\"").await;
    assert!(is_unavailable(&other, "u1@example.com").await, "another base is another directory");
    other.end().await;
    let none = world.start("sync-every = \"0 s\"").await;
    assert_eq!((world.generations().len(), none.view().addresses), (0, None));
    assert_eq!(world.appliance.store.directory_state("corp"), Ok(None));
    world.script().away = false;
    sleep(HOUR).await;
    none.sync().await.unwrap();
    assert_eq!((world.generations().len(), none.view().addresses), (0, None));
    assert_eq!(stream(&none, "u1@example.com").await, "u1");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_left_out_and_told() {
    let world = World::new(2);
    let many = (0..1_200).map(|n| format!("many{n}@example.com")).collect();
    world.script().people.insert("many".into(), many);
    let lookup = world.read("").await;
    let view = lookup.view();
    assert_eq!(view.addresses, Some(4));
    let told = "1 entries are not in the copy, the first as cn=many,dc=example: 1200 addresses, expected at most 1000";
    assert_eq!(view.alarms, [told]);
}

#[tokio::test(start_paused = true)]
async fn what_a_lookup_that_is_gone_has_left_is_dropped() {
    let world = World::new(1_200);
    let store = &world.appliance.store;
    let others = store::DirectoryChange {
        lookup: "other".into(),
        generation: 4,
        put: vec![(Box::from(*b"key"), b"object".to_vec())],
        remove: Vec::new(),
        state: Some(b"state".to_vec()),
    };
    store.change_directory(others).wait().unwrap();
    let lookups = Lookups::start(&world.appliance, &world.prober());
    let name: LookupName = "corp".parse().unwrap();
    let is_read = || lookups.get(&name).is_some_and(|lookup| lookup.view().addresses == Some(2_400));
    until(|| is_read() && world.generations().len() == 1).await;
    // The other one is none of the configuration's.
    until(|| store.directories() == Ok(vec![Box::from("corp")])).await;

    let text = "version = 1\nnetwork = { hostname = \"mx.example.com\", address = \"dhcp\" }\n";
    world.config.send(Arc::new(Config::parse("test.toml", text).unwrap())).unwrap();
    until(|| world.generations().is_empty() && store.directories() == Ok(vec![])).await;
    assert!(lookups.get(&name).is_none());
}
