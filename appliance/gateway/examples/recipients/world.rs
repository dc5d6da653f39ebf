//! A gateway that knows 200,000 recipients in each way, without a network before it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config_schema::name::DomainName;
use config_schema::{Config, LookupName, RouteTls};
use directory::decision::Outcome;
use directory::verification::{Action, Input, QuestionId, Settings, Verification, Via};
use gateway::appliance::Appliance;
use gateway::clock::Clock;
use gateway::delivery::Prober;
use gateway::directory::Directory;
use gateway::dns::{self, Resolver};
use gateway::listener::Listener;
use gateway::tls::identity::SelfSigned;
use gateway::tls::server::ServerTls;
use image::entra::Entra;
use smtp::Time;
use smtp::address::Address;
use smtp::client::Outcome as Replies;
use smtp::reply::Reply;
use store::{FileDisk, RecordKind, Store};
use tokio::sync::watch;

use super::loopback::Loopback;
use super::{ADDRESSES, OTHERS};

/// Whose addresses a verification server once vouched for.
pub(crate) const REMEMBERED: &str = "example.net";
/// As few others.
pub(crate) const BESIDE: &str = "example.edu";
/// Whose addresses are copied from a directory.
pub(crate) const COPIED: &str = "example.com";
/// Whose addresses are taken as they are.
pub(crate) const AS_IS: &str = "example.org";

const HOST: &str = "graph.test";
/// Objects of a page, as Graph gives them.
const PAGE: usize = 200;
const GIB: u64 = 1 << 30;
/// Records of one change.
const CHANGE: usize = 10_000;

pub(crate) fn lookup() -> LookupName {
    "m365".parse().unwrap()
}

/// The tenant's users have two addresses each: `user0`, `u0`, `user1`, `u1`, …
pub(crate) fn address(n: usize, domain: &str) -> String {
    let kind = if n.is_multiple_of(2) { "user" } else { "u" };
    format!("{kind}{}@{domain}", n / 2)
}

/// What is on the disk of an answer that a server gave just now.
pub(crate) struct Kept {
    value: Vec<u8>,
    epoch: u64,
}

impl Kept {
    /// Has the machine itself make it.
    pub(crate) fn new() -> Kept {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (mut machine, now) = (Verification::new(Settings::default()), Time::default());
        let address = Address::parse(&address(0, REMEMBERED)).unwrap();
        let server =
            Via { server: "mx.example.net".parse().unwrap(), tls: RouteTls::Opportunistic, shown: None };
        let actions = machine.handle(now, Input::Ask { question: QuestionId(1), server, address });
        let connect = |action: &Action| match action {
            Action::Connect { connection, .. } => Some(*connection),
            _ => None,
        };
        let connection = actions.iter().find_map(connect).unwrap();
        machine.handle(now, Input::Connected { connection });
        let reply = Reply::new(250, "OK");
        let outcome = Replies { recipients: vec![Some(reply.clone())], result: Ok(reply), dsn: false };
        machine.handle(now, Input::Replies { connection, outcome, open: true });
        let [(_, Some(value))] = &machine.memory().changes(epoch, 1)[..] else {
            panic!("nothing was learnt")
        };
        Kept { value: value.clone(), epoch }
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many may be remembered, so that there is room for all: of four, three may be valid.
    pub(crate) fn remembered(&self) -> usize {
        (ADDRESSES + OTHERS) / 3 * 4 + 4
    }
}

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) config: Arc<Config>,
    pub(crate) directory: Directory,
    pub(crate) listener: Listener,
    appliance: Appliance,
    entra: Arc<Mutex<Entra>>,
    file: Arc<tempfile::TempDir>,
    _config: Arc<watch::Sender<Arc<Config>>>,
}

impl World {
    pub(crate) async fn start(kept: &Kept) -> World {
        let entra = Entra::listen(HOST, |tenant| {
            tenant.page_size = PAGE;
            (tenant.empty_first, tenant.repeat) = (false, false);
            tenant.populate(ADDRESSES / 2, COPIED);
        })
        .unwrap();
        let file = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(&file.path().join("disk"), 4 * GIB).unwrap();
        let store = Store::open(Arc::new(disk), store::Limits::default()).unwrap();
        fill(&store, kept).await;
        let text = configuration(&entra, kept.remembered());
        let config = Arc::new(Config::parse("recipients.toml", &text).unwrap());
        let (sender, watched) = watch::channel(config.clone());
        let clock = Clock::system();
        let own = SelfSigned::make(&DomainName::parse("mx.example.com").unwrap(), clock.now()).unwrap();
        let appliance = Appliance::new(store, watched, clock);
        let transport = Arc::new(Loopback);
        let servers =
            dns::Settings { servers: vec!["127.0.0.1:53".parse().unwrap()], ..dns::Settings::default() };
        let resolver = Resolver::new(transport.clone(), servers);
        // Without addresses of its own it asks no verification server.
        let prober = Prober::new(appliance.clone(), transport, resolver);
        let directory = Directory::start(appliance.clone(), prober, &[7; 32]);
        let tls = ServerTls::new(own.identity()).unwrap();
        let listener = Listener::new(appliance.clone(), directory.clone(), tls);
        let (entra, file, _config) = (Arc::new(Mutex::new(entra)), Arc::new(file), Arc::new(sender));
        let world = World { config, directory, listener, appliance, entra, file, _config };
        world.wait_for_copy().await;
        world
    }

    async fn wait_for_copy(&self) {
        let last = Address::parse(&address(ADDRESSES - 1, COPIED)).unwrap();
        loop {
            let verdict = self.directory.decide(&self.config, None, &last).await.unwrap();
            let view = self.directory.lookup_views().pop().unwrap();
            if matches!(verdict.outcome, Outcome::Accept { .. }) && view.synced_at.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The tenant takes no delta any more, so that all of it must be read.
    pub(crate) fn age(&self) {
        self.entra.lock().unwrap().tenant().age();
    }

    pub(crate) fn store(&self) -> Store {
        self.appliance.store.clone()
    }

    pub(crate) async fn stop(self) {
        self.directory.stop().await;
        self.appliance.store.close();
        assert!(self.file.path().exists());
    }
}

async fn fill(store: &Store, kept: &Kept) {
    let remembered = (0..ADDRESSES).map(|n| address(n, REMEMBERED));
    let keys: Vec<String> = remembered.chain((0..OTHERS).map(|n| address(n, BESIDE))).collect();
    for part in keys.chunks(CHANGE) {
        let records = part.iter().map(|key| (key.as_str().into(), Some(kept.value().to_vec()))).collect();
        store.put_records(RecordKind::Verification, records).await.unwrap();
    }
}

fn configuration(entra: &Entra, remembered: usize) -> String {
    let (root, port) = (STANDARD.encode(entra.root()), entra.address().port());
    format!(
        "version = 1\nnetwork = {{ hostname = \"mx.example.com\", address = \"dhcp\" }}\n\
         [limits]\nidle-commands = 100000\nmessages-per-connection = 100000\n\
         [recipients]\nremembered = {remembered}\n\
         [[known-network]]\nname = \"all\"\nnetwork = [\"0.0.0.0/0\"]\n\
         [[user-lookup]]\nname = \"m365\"\nmethod = \"entra-id\"\n\
         tenant = \"2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f\"\nclient = \"7a9c3b52-1111-4222-8333-444455556666\"\n\
         secret = \"s3cret~for.tests\"\nsecret-expires = \"2099-01-01\"\n\
         login-host = \"{HOST}:{port}\"\ngraph-host = \"{HOST}:{port}\"\n\
         [[domain]]\nname = \"{COPIED}\"\nrealm = \"base\"\nroute = [\"mail.example.net\"]\nmapping = \"m365\"\n\
         [[domain]]\nname = \"{REMEMBERED}\"\nrealm = \"base\"\nroute = [\"mail.example.net\"]\n\
         verification-server = \"mail.example.net\"\n\
         [[domain]]\nname = \"{BESIDE}\"\nrealm = \"base\"\nroute = [\"mail.example.net\"]\n\
         verification-server = \"mail.example.net\"\n\
         [[domain]]\nname = \"{AS_IS}\"\nrealm = \"base\"\nroute = [\"mail.example.net\"]\n\
         [tls]\nroots = [\"-----BEGIN CERTIFICATE-----\\n{root}\\n-----END CERTIFICATE-----\"]\n"
    )
}
