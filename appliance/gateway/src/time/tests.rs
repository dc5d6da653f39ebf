use std::sync::Mutex;

use config_schema::Config;
use store::{Limits, Store, testing::MemoryDisk};
use tokio::sync::watch;

use super::{packet::tests::answer, *};
use crate::{clock::Clock, dns::Settings, transport::memory::Memory as Network};

fn keeper(network: &Network) -> Keeper {
    let text = "version = 1\n[network]\nhostname = \"gate.example\"\naddress = \"dhcp\"\n";
    let config = Config::parse("test.toml", text).unwrap();
    let store = Store::open(Arc::new(MemoryDisk::new(32 << 20)), Limits::default()).unwrap();
    // A clock that lost its battery.
    let clock = Clock::starting_at(Timestamp::from_unix_seconds(0));
    let appliance = Appliance::new(store, watch::channel(Arc::new(config)).1, clock);
    let transport: Arc<dyn Transport> = Arc::new(network.clone());
    let resolver = Resolver::new(transport.clone(), Settings::default());
    Keeper { appliance, transport, resolver, random: SystemRandom::new() }
}

fn server(n: u8) -> TimeServer {
    TimeServer::Address([192, 0, 2, n].into())
}

const TRUE: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

/// A server whose clock stands at `time`; forged answers come before its own.
fn serve(network: &Network, n: u8, time: Timestamp) {
    network.respond(SocketAddr::new([192, 0, 2, n].into(), 123), move |request| {
        let cookie = request[40..48].try_into().unwrap();
        let forged = Timestamp::from_unix_seconds(1_900_000_000);
        vec![answer([0; 8], forged, forged), answer(cookie, time, time)]
    });
}

async fn round(keeper: &Keeper, memory: &mut Memory) -> Vec<Timestamp> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let own = told.clone();
    let set = move |time| own.lock().unwrap().push(time);
    keeper.round(&[server(1), server(2), server(3)], &set, memory).await;
    let told = told.lock().unwrap();
    told.clone()
}

#[tokio::test(start_paused = true)]
async fn the_majority_sets_a_clock_that_was_never_set() {
    let network = Network::default();
    serve(&network, 1, TRUE);
    serve(&network, 2, Timestamp::from_unix_seconds(1_899_999_999));
    serve(&network, 3, TRUE);
    let (keeper, mut memory) = (keeper(&network), Memory::default());
    let told = round(&keeper, &mut memory).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].unix_seconds(), TRUE.unix_seconds());
    assert_eq!(keeper.appliance.clock.now().unix_seconds(), TRUE.unix_seconds());
    assert!(memory.was_set);
}

#[tokio::test(start_paused = true)]
async fn silence_and_a_clock_far_off_move_nothing() {
    let network = Network::default();
    let (keeper, mut memory) = (keeper(&network), Memory::default());
    assert!(round(&keeper, &mut memory).await.is_empty());
    assert!(memory.unsure && !memory.was_set);
    memory.was_set = true;
    (1..4).for_each(|n| serve(&network, n, TRUE));
    assert!(round(&keeper, &mut memory).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_us_away_is_left_alone() {
    let network = Network::default();
    (1..4).for_each(|n| serve(&network, n, TRUE));
    network.respond("192.0.2.2:123".parse().unwrap(), |request| {
        let mut packet = answer(request[40..48].try_into().unwrap(), TRUE, TRUE);
        packet[1] = 0;
        packet[12..16].copy_from_slice(b"DENY");
        vec![packet]
    });
    let (keeper, mut memory) = (keeper(&network), Memory::default());
    assert_eq!(round(&keeper, &mut memory).await.len(), 1);
    assert_eq!(memory.away, [(server(2), u32::MAX)]);
}
