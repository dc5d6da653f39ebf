//! What time it is, by SNTP (RFC 5905 §14): several servers are asked, and their majority is believed.
//!
//! [`packet`] and [`agreement`] are pure; what is here asks, and moves the gateway's clock.

pub mod agreement;
pub mod packet;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use config_schema::TimeServer;
use store::{Timestamp, log::FaultClass};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    appliance::Appliance,
    dns::{Lookup, Resolver},
    event::Kind,
    transport::Transport,
};
use agreement::Advice;
use packet::{Asked, LEN, Refusal, Sample};

/// Servers asked in a round.
const SERVERS_MAX: usize = 8;
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(3);
/// Datagrams read while waiting for the one that fits.
const STRAYS_MAX: usize = 16;
/// Until the first success: the network may not be up yet.
const SOON: Duration = Duration::from_secs(16);
/// RFC 4330 §10: never more often than every 15 s; a good clock drifts by some ms in this time.
const ROUND: Duration = Duration::from_secs(1_024);
/// Rounds that a server which asked for fewer questions is left out.
const REST: u32 = 4;
/// No time before this is believed (November 2026): no appliance is older than its program.
const FLOOR: Timestamp = Timestamp::from_unix_seconds(1_793_491_200);

/// Asks for the time as long as the gateway runs. `servers` names whom to ask in the next round; `set` is told each
/// time to which the clock was moved. Must be called inside the runtime.
pub fn start(
    appliance: Appliance,
    transport: Arc<dyn Transport>,
    resolver: Resolver,
    servers: impl Fn() -> Vec<TimeServer> + Send + 'static,
    set: impl Fn(Timestamp) + Send + Sync + 'static,
) -> JoinHandle<()> {
    let keeper = Keeper { appliance, transport, resolver, random: SystemRandom::new() };
    tokio::spawn(async move { keeper.run(servers, set).await })
}

#[derive(Clone)]
struct Keeper {
    appliance: Appliance,
    transport: Arc<dyn Transport>,
    resolver: Resolver,
    random: SystemRandom,
}

/// What is remembered between rounds.
#[derive(Default)]
struct Memory {
    was_set: bool,
    /// Servers that sent us away, and for how many rounds they are left alone.
    away: Vec<(TimeServer, u32)>,
    /// The last thing said about an unsure clock, so that it is not said every round.
    unsure: bool,
}

impl Keeper {
    async fn run(self, servers: impl Fn() -> Vec<TimeServer> + Send, set: impl Fn(Timestamp) + Send + Sync) {
        let mut memory = Memory::default();
        loop {
            let wait = self.round(&servers(), &set, &mut memory).await;
            sleep(wait).await;
        }
    }

    /// Asks everyone once, and returns how long to wait for the next round.
    async fn round(
        &self,
        servers: &[TimeServer],
        set: &(impl Fn(Timestamp) + Send + Sync),
        memory: &mut Memory,
    ) -> Duration {
        memory.away.retain_mut(|(_, rounds)| {
            *rounds = rounds.saturating_sub(u32::from(*rounds != u32::MAX));
            *rounds > 0
        });
        let away = |server: &TimeServer| memory.away.iter().any(|(known, _)| known == server);
        let asked: Vec<TimeServer> =
            servers.iter().filter(|server| !away(server)).take(SERVERS_MAX).cloned().collect();
        if asked.is_empty() {
            return SOON;
        }
        let mut samples = Vec::new();
        for (server, result) in self.ask_all(&asked).await {
            match result {
                Ok(sample) => samples.push(sample),
                Err(Some(Refusal::Kiss { forever })) => {
                    memory.away.push((server, if forever { u32::MAX } else { REST }));
                }
                Err(_) => {}
            }
        }
        self.act(agreement::advise(&samples, asked.len(), memory.was_set), samples.len(), set, memory);
        if memory.was_set { ROUND } else { SOON }
    }

    async fn ask_all(&self, servers: &[TimeServer]) -> Vec<(TimeServer, Result<Sample, Option<Refusal>>)> {
        let mut questions = JoinSet::new();
        for server in servers.iter().cloned() {
            let keeper = self.clone();
            questions.spawn(async move {
                let result = keeper.ask(&server).await;
                (server, result)
            });
        }
        questions.join_all().await
    }

    /// One question; no refusal says that there was no answer.
    async fn ask(&self, server: &TimeServer) -> Result<Sample, Option<Refusal>> {
        let address = self.address(server).await.ok_or(None)?;
        let flow = self.transport.udp(SocketAddr::new(address, 123)).await.map_err(|_| None)?;
        let mut cookie = [0; 8];
        self.random.fill(&mut cookie).map_err(|_| None)?;
        let clock = &self.appliance.clock;
        // The way is timed by the clock that only goes forward, whatever else is set meanwhile.
        let (at, started) = (clock.now(), clock.elapsed());
        let asked = Asked { cookie, at };
        flow.send(&packet::request(&asked)).await.map_err(|_| None)?;
        let answer = async {
            let mut octets = [0; LEN * 2];
            for _ in 0..STRAYS_MAX {
                let len = flow.recv(&mut octets).await.map_err(|_| None)?;
                let now = at.after(clock.elapsed().since(started));
                match packet::read(octets.get(..len).unwrap_or_default(), &asked, now, FLOOR) {
                    Err(Refusal::Foreign) => {}
                    result => return result.map_err(Some),
                }
            }
            Err(None)
        };
        timeout(ANSWER, answer).await.unwrap_or(Err(None))
    }

    async fn address(&self, server: &TimeServer) -> Option<IpAddr> {
        let name = match server {
            TimeServer::Address(address) => return Some(*address),
            TimeServer::Name(name) => name,
        };
        if let Ok(Lookup::Found(found)) = self.resolver.ipv4(name).await {
            return found.records.first().copied();
        }
        match self.resolver.ipv6(name).await {
            Ok(Lookup::Found(found)) => found.records.first().copied(),
            _ => None,
        }
    }

    fn act(&self, advice: Advice, answers: usize, set: &impl Fn(Timestamp), memory: &mut Memory) {
        let events = &self.appliance.events;
        match advice {
            Advice::Step(offset) => {
                let before = self.appliance.clock.now();
                self.shift(offset, set);
                memory.was_set = true;
                let event = events.event(Kind::ClockSet).field("before", before.unix_seconds());
                events.record(event.field("moved_us", offset).field("answers", answers));
                memory.unsure = false;
            }
            Advice::Slew(offset) => {
                self.shift(offset, set);
                memory.unsure = false;
            }
            Advice::Alarm(offset) => self.alarm(format!("off by {offset} µs; restart to set it"), memory),
            Advice::Unsure => self.alarm(format!("no majority among {answers} answers"), memory),
        }
    }

    fn shift(&self, offset: i64, set: &impl Fn(Timestamp)) {
        let now = self.appliance.clock.now().unix_micros();
        let moved = Timestamp::from_unix_micros(now.saturating_add_signed(offset));
        self.appliance.clock.set(moved);
        set(moved);
    }

    fn alarm(&self, why: String, memory: &mut Memory) {
        if !std::mem::replace(&mut memory.unsure, true) {
            let event = self.appliance.events.event(Kind::ClockUnsure).fault(FaultClass::Configuration);
            self.appliance.events.record(event.field("why", why));
        }
    }
}

#[cfg(test)]
mod tests;
