//! The resolver that the gateway asks: the cache, then the question on its way over the transport.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use config_schema::name::DomainName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    answer::{Answer, Mx, Outcome, Tlsa, Value},
    budget::Budget,
    cache::Cache,
    query::{Action, Entropy, Event, Patience, Query},
    question::{DATAGRAM_MAX, Kind, Question},
};
use crate::transport::{Datagrams, Stream, Transport};

/// Questions on their way at a time; further ones wait.
const QUESTIONS_MAX: usize = 256;

/// Answers that are remembered where nothing else is said: some 4 MB in a busy appliance.
const CACHE: usize = 4_096;

/// Which resolvers are asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Port 53 in the appliance.
    pub servers: Vec<SocketAddr>,
    /// Whether an answer's AD bit is believed: the resolvers validate, and the way to them cannot be forged.
    pub validating: bool,
    pub patience: Patience,
    /// Answers that are remembered.
    pub cache: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { servers: Vec::new(), validating: false, patience: Patience::default(), cache: CACHE }
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    Found(Found<T>),
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The name exists, without such records.
    NoData,
}

/// Records of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// Never empty.
    pub records: Vec<T>,
    /// The name at the end of the aliases: the one asked for if there are none.
    pub canonical: DomainName,
    /// Validated by DNSSEC. Always false unless [`Settings::validating`].
    pub authentic: bool,
}

/// No resolver gave an answer; asking later may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer from DNS about {name}: {reason}")]
pub struct TempError {
    pub name: DomainName,
    pub reason: &'static str,
}

/// A handle on the one resolver of the gateway; cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
    budget: Option<Arc<Budget>>,
}

struct Inner {
    transport: Arc<dyn Transport>,
    settings: RwLock<Arc<Settings>>,
    cache: Mutex<Cache>,
    start: Instant,
    under_way: Semaphore,
    random: SystemRandom,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    pub fn new(transport: Arc<dyn Transport>, settings: Settings) -> Resolver {
        let inner = Inner {
            transport,
            cache: Mutex::new(Cache::new(settings.cache)),
            settings: RwLock::new(Arc::new(settings)),
            start: Instant::now(),
            under_way: Semaphore::new(QUESTIONS_MAX),
            random: SystemRandom::new(),
        };
        Resolver { inner: Arc::new(inner), budget: None }
    }

    /// The same resolver for the sake of one message, which may not ask without end.
    pub fn within(&self, budget: Budget) -> Resolver {
        Resolver { inner: self.inner.clone(), budget: Some(Arc::new(budget)) }
    }

    /// Asks others from now on, as when a new lease names them; what is remembered is forgotten.
    pub fn configure(&self, settings: Settings) {
        *self.cache() = Cache::new(settings.cache);
        *self.inner.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Whether DANE can be used.
    pub fn validates(&self) -> bool {
        self.settings().validating
    }

    /// The IPv4 addresses of a host.
    pub async fn ipv4(&self, name: &DomainName) -> Result<Lookup<IpAddr>, TempError> {
        self.lookup(name, Kind::A, address).await
    }

    /// The IPv6 addresses of a host.
    pub async fn ipv6(&self, name: &DomainName) -> Result<Lookup<IpAddr>, TempError> {
        self.lookup(name, Kind::Aaaa, address).await
    }

    /// The exchanges of a domain, in no order.
    pub async fn mx(&self, name: &DomainName) -> Result<Lookup<Mx>, TempError> {
        let mx = |value| if let Value::Mx(mx) = value { Some(mx) } else { None };
        self.lookup(name, Kind::Mx, mx).await
    }

    /// The TLSA records of a service; `name` begins with `_25._tcp.` (RFC 7672 §3).
    pub async fn tlsa(&self, name: &DomainName) -> Result<Lookup<Tlsa>, TempError> {
        let tlsa = |value| if let Value::Tlsa(tlsa) = value { Some(tlsa) } else { None };
        self.lookup(name, Kind::Tlsa, tlsa).await
    }

    /// The names of an address.
    pub async fn reverse(&self, address: IpAddr) -> Result<Lookup<DomainName>, TempError> {
        let host = |value| if let Value::Name(name) = value { Some(name) } else { None };
        self.lookup(&reverse_name(address), Kind::Ptr, host).await
    }

    async fn lookup<T>(
        &self,
        name: &DomainName,
        kind: Kind,
        take: impl Fn(Value) -> Option<T>,
    ) -> Result<Lookup<T>, TempError> {
        let question = Question { name: name.clone(), kind };
        let answer =
            self.answer(question).await.map_err(|reason| TempError { name: name.clone(), reason })?;
        let authentic = answer.authentic && self.settings().validating;
        Ok(match answer.outcome {
            Outcome::Found { canonical, values } => {
                let records: Vec<T> = values.into_iter().filter_map(take).collect();
                if records.is_empty() {
                    Lookup::NoData
                } else {
                    Lookup::Found(Found { records, canonical, authentic })
                }
            }
            Outcome::NoSuchName => Lookup::NoSuchName,
            Outcome::NoData => Lookup::NoData,
        })
    }

    async fn answer(&self, question: Question) -> Result<Answer, &'static str> {
        if let Some(answer) = self.cache().get(&question, self.now()) {
            return Ok(answer);
        }
        let until = self.budget.as_ref().map(|budget| budget.take()).transpose()?;
        let _turn = self.inner.under_way.acquire().await.map_err(|_| "the resolver is shutting down")?;
        let settings = self.settings();
        let asked = self.ask(&question, &settings);
        let answer = match until {
            Some(until) => timeout_at(until, asked)
                .await
                .map_err(|_| "the questions for one message took too long")??,
            None => asked.await?,
        };
        // An answer of resolvers that are no longer configured is used once, and not remembered.
        if Arc::ptr_eq(&settings, &self.settings()) {
            self.cache().put(question, answer.clone(), self.now());
        }
        Ok(answer)
    }

    /// Drives one [`Query`] to its end.
    async fn ask(&self, question: &Question, settings: &Settings) -> Result<Answer, &'static str> {
        let fresh = self.entropy()?;
        let mut query = Query::new(
            question.clone(),
            settings.servers.len(),
            usize::from(fresh.case[31]),
            settings.patience,
        );
        let mut line = Line::None;
        let mut packet = vec![0; usize::from(DATAGRAM_MAX)];
        let mut action = query.start(self.now(), fresh);
        loop {
            let until = match action {
                Action::Done(result) => return result,
                Action::Udp { server, packet, until } => {
                    line = self.udp(settings, server, &packet, until).await;
                    until
                }
                Action::Tcp { server, packet, until } => {
                    line = self.tcp(settings, server, &packet, until).await;
                    until
                }
                Action::Listen { until } => until,
            };
            let heard = timeout_at(self.inner.start + until, line.hear(&mut packet)).await;
            let fresh = self.entropy()?;
            let event = match &heard {
                Err(_) => Event::Tick,
                Ok(Heard::Datagram(len)) => Event::Datagram(packet.get(..*len).unwrap_or_default()),
                Ok(Heard::Message(message)) => Event::Message(message),
                Ok(Heard::Nothing) => Event::Failed,
            };
            action = query.handle(self.now(), event, fresh);
        }
    }

    /// A fresh flow for each packet, so that its port is random too (RFC 5452 §9.2).
    async fn udp(&self, settings: &Settings, server: usize, packet: &[u8], until: Duration) -> Line {
        let Some(&to) = settings.servers.get(server) else { return Line::None };
        let open = async {
            let flow = self.inner.transport.udp(to).await.ok()?;
            flow.send(packet).await.ok()?;
            Some(flow)
        };
        match timeout_at(self.inner.start + until, open).await {
            Ok(Some(flow)) => Line::Flow(flow),
            _ => Line::None,
        }
    }

    async fn tcp(&self, settings: &Settings, server: usize, packet: &[u8], until: Duration) -> Line {
        let Some(&to) = settings.servers.get(server) else { return Line::None };
        let wait = until.saturating_sub(self.now());
        let open = async {
            let mut stream = self.inner.transport.connect(to, wait).await.ok()?;
            let len = u16::try_from(packet.len()).ok()?;
            // RFC 7766 §8: length and message in one write.
            let framed = [&len.to_be_bytes()[..], packet].concat();
            stream.io.write_all(&framed).await.ok()?;
            Some(stream)
        };
        match timeout_at(self.inner.start + until, open).await {
            Ok(Some(stream)) => Line::Stream(stream),
            _ => Line::None,
        }
    }

    fn settings(&self) -> Arc<Settings> {
        self.inner.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.inner.start.elapsed()
    }

    fn entropy(&self) -> Result<Entropy, &'static str> {
        let (mut id, mut case) = ([0; 2], [0; 32]);
        let filled = self.inner.random.fill(&mut id).and_then(|()| self.inner.random.fill(&mut case));
        filled.map_err(|_| "the system gives no random numbers")?;
        Ok(Entropy { id: u16::from_ne_bytes(id), case })
    }
}

/// Where the answer to the packet sent last will come.
enum Line {
    None,
    Flow(Box<dyn Datagrams>),
    Stream(Stream),
}

enum Heard {
    Datagram(usize),
    Message(Vec<u8>),
    Nothing,
}

impl Line {
    async fn hear(&mut self, datagram: &mut [u8]) -> Heard {
        match self {
            Line::None => Heard::Nothing,
            Line::Flow(flow) => flow.recv(datagram).await.map_or(Heard::Nothing, Heard::Datagram),
            Line::Stream(stream) => match message(stream).await {
                Ok(message) => Heard::Message(message),
                Err(_) => Heard::Nothing,
            },
        }
    }
}

/// One message; its length field bounds it to 65,535 octets.
async fn message(stream: &mut Stream) -> std::io::Result<Vec<u8>> {
    let len = stream.io.read_u16().await?;
    let mut message = vec![0; usize::from(len)];
    stream.io.read_exact(&mut message).await?;
    Ok(message)
}

fn address(value: Value) -> Option<IpAddr> {
    if let Value::Address(address) = value { Some(address) } else { None }
}

/// RFC 1035 §3.5, RFC 3596 §2.5.
fn reverse_name(address: IpAddr) -> DomainName {
    let text = match address.to_canonical() {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(a) => {
            let nibbles = a.octets().into_iter().rev().flat_map(|o| [o & 0xf, o >> 4]);
            nibbles.map(|n| format!("{n:x}.")).collect::<String>() + "ip6.arpa"
        }
    };
    DomainName::parse(&text).expect("digits and dots before a name of two labels are a name")
}

#[cfg(test)]
mod tests;
