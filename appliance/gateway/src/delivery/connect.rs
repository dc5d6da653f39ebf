//! Opens a TCP connection to one of a host's addresses: the race, run over the transport.

use std::sync::Arc;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    connection::CONNECT,
    race::{Action, Race},
};
use crate::{
    clock::Clock,
    route::Hop,
    transport::{ConnectFault, Stream, Transport},
};

/// What came of connecting to a host.
pub(super) struct Connected {
    /// The number of the address that answered first, and its stream; `None` when none did.
    pub(super) won: Option<(usize, Stream)>,
    /// The addresses that failed until then, and why.
    pub(super) lost: Vec<(usize, ConnectFault)>,
}

/// Connects to the first of `hops` that answers; attempts that are not needed any more are given up.
pub(super) async fn connect(transport: &Arc<dyn Transport>, clock: &Clock, hops: &[Hop]) -> Connected {
    let mut race = Race::new(hops.len(), clock.elapsed());
    let mut attempts = JoinSet::new();
    let mut lost = Vec::new();
    loop {
        let until = match race.poll(clock.elapsed()) {
            Action::Lost => return Connected { won: None, lost },
            Action::Start(index) => {
                let Some(hop) = hops.get(index) else { continue };
                let (transport, address) = (transport.clone(), hop.address);
                attempts.spawn(async move { (index, transport.connect(address, CONNECT).await) });
                continue;
            }
            // Each attempt has a deadline of its own.
            Action::Wait(until) => until.map_or_else(|| Instant::now() + CONNECT * 2, |at| clock.instant(at)),
        };
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok((index, Ok(stream))) => return Connected { won: Some((index, stream)), lost },
                Ok((index, Err(fault))) => {
                    lost.push((index, fault));
                    race.failed();
                }
                // It panicked, and said so.
                Err(_) => race.failed(),
            },
            () = sleep_until(until) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use config_schema::name::DomainName;

    use super::*;
    use crate::{route::HopHost, transport::memory::Memory};

    fn hops(count: u8) -> Vec<Hop> {
        let host = HopHost::Name(DomainName::parse("mx.example").unwrap());
        let address = |n| SocketAddr::from(([198, 51, 100, n], 25));
        (1..=count)
            .map(|n| Hop { host: host.clone(), address: address(n), proof: None, microsoft: false })
            .collect()
    }

    async fn run(network: &Memory, hops: &[Hop]) -> (Connected, Duration) {
        let transport: Arc<dyn Transport> = Arc::new(network.clone());
        let clock = Clock::system();
        let start = Instant::now();
        (connect(&transport, &clock, hops).await, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_quarter_of_a_second() {
        let (network, hops) = (Memory::default(), hops(3));
        network.hush(hops[0].address);
        let mut second = network.listen(hops[1].address);
        let _third = network.listen(hops[2].address);
        let (connected, took) = run(&network, &hops).await;
        assert_eq!(connected.won.map(|(index, stream)| (index, stream.peer)), Some((1, hops[1].address)));
        assert!(connected.lost.is_empty() && took.as_millis() == 250, "{took:?}");
        assert!(second.recv().await.is_some());
        assert_eq!(
            *network.tried.lock().unwrap(),
            [hops[0].address, hops[1].address],
            "the third is left alone"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_address_costs_nothing() {
        let (network, hops) = (Memory::default(), hops(2));
        let _second = network.listen(hops[1].address);
        let (connected, took) = run(&network, &hops).await;
        assert_eq!(connected.won.map(|(index, _)| index), Some(1));
        assert_eq!((connected.lost, took), (vec![(0, ConnectFault::Refused)], Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_everywhere_ends() {
        let (network, hops) = (Memory::default(), hops(4));
        hops.iter().for_each(|hop| network.hush(hop.address));
        let (connected, took) = run(&network, &hops).await;
        assert!(connected.won.is_none() && connected.lost.len() == 4);
        assert_eq!(took, CONNECT + Duration::from_millis(750));
    }
}
