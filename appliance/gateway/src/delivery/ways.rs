//! The way to a destination, as the configuration says now: its hosts, and how each connection is protected.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use config_schema::{Config, Domain, RealmName, Route, RouteHost, RouteTls, name::DomainName};
use smtp::client::TlsPolicy;
use store::{Timestamp, queue::Destination};

use super::connection::Protection;
use crate::{
    dns::{Budget, Lookup, Resolver, TempError},
    route::{self, Hop, HopHost, Own, RouteFault, Target},
    tls::{
        certificate::Certificate,
        client::{Check, Dane, TlsClient},
        dane, roots,
    },
};

/// Where every delivery asks for its way.
pub(super) struct Ways {
    resolver: Resolver,
    addresses: RwLock<Vec<IpAddr>>,
    tls: Mutex<Option<(Arc<Config>, TlsClients)>>,
    random: SystemRandom,
}

/// The TLS settings of one configuration.
#[derive(Clone)]
struct TlsClients {
    anonymous: TlsClient,
    /// Of realms with a certificate that can be used, and the time at which it ends.
    named: Arc<HashMap<RealmName, (TlsClient, Timestamp)>>,
}

/// A destination, understood.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// A domain of ours.
    Ours(&'a Domain),
    /// Another's domain.
    Foreign(DomainName),
    /// An address literal.
    Literal(Route),
    /// Not a domain: nothing that we would have enqueued.
    Unknown,
}

impl<'a> Place<'a> {
    pub(super) fn of(config: &'a Config, destination: &Destination) -> Place<'a> {
        let text = destination.as_str();
        match DomainName::parse(text) {
            Ok(name) => match config.domain(&name) {
                Some(domain) => Place::Ours(domain),
                None => Place::Foreign(name),
            },
            Err(_) => literal(text).map_or(Place::Unknown, Place::Literal),
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Place::Ours(_))
    }

    /// Where its mail goes, for people.
    pub(super) fn route(&self, destination: &Destination) -> String {
        match self {
            Place::Ours(domain) => {
                domain.route.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
            }
            _ => destination.to_string(),
        }
    }

    /// Whether every host that is configured is a front end of Microsoft 365.
    pub(super) fn is_microsoft(&self) -> bool {
        let microsoft = |route: &Route| match &route.host {
            RouteHost::Name(name) => route::is_microsoft(name),
            RouteHost::Address(_) => false,
        };
        matches!(self, Place::Ours(domain) if domain.route.iter().all(microsoft))
    }
}

/// RFC 5321 §4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
fn literal(text: &str) -> Option<Route> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let address = match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inner.get(5..)?,
        _ => inner,
    };
    let address: IpAddr = address.parse().ok()?;
    format!("[{address}]").parse().ok()
}

impl Ways {
    pub(super) fn new(resolver: Resolver) -> Ways {
        Ways { resolver, addresses: RwLock::default(), tls: Mutex::default(), random: SystemRandom::new() }
    }

    /// Says which addresses are ours, so that mail is never sent there.
    pub(super) fn set_addresses(&self, addresses: Vec<IpAddr>) {
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Whether we have an address at all: before that nothing can be delivered, and nothing is tried in vain.
    pub(super) fn is_connected(&self) -> bool {
        !self.addresses.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The hosts of a verification server, best first.
    pub(super) async fn hops_of(
        &self,
        resolver: &Resolver,
        config: &Config,
        server: &Route,
    ) -> Result<Vec<Hop>, RouteFault> {
        self.find(resolver, config, Target::Configured(std::slice::from_ref(server))).await
    }

    /// What one message may ask of DNS.
    pub(super) fn resolver(&self, config: &Config) -> Resolver {
        let limits = &config.limits;
        let time = limits.dns_time_per_message.duration();
        self.resolver.within(Budget::new(limits.dns_questions_per_message, time))
    }

    /// Who answers, without a bound for one message.
    pub(super) fn unbounded_resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The hosts to try, best first.
    pub(super) async fn hops(
        &self,
        resolver: &Resolver,
        config: &Config,
        place: &Place<'_>,
    ) -> Result<Vec<Hop>, RouteFault> {
        let target = match place {
            Place::Ours(domain) => Target::Configured(&domain.route),
            Place::Foreign(name) => Target::Foreign(name),
            Place::Literal(route) => Target::Literal(route),
            Place::Unknown => return Err(RouteFault::NoRoute),
        };
        self.find(resolver, config, target).await
    }

    /// What is ours, and never a next hop.
    pub(super) fn own(&self, hostname: &DomainName) -> Own {
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone();
        Own { hostname: hostname.clone(), addresses }
    }

    async fn find(
        &self,
        resolver: &Resolver,
        config: &Config,
        target: Target<'_>,
    ) -> Result<Vec<Hop>, RouteFault> {
        let own = self.own(&config.network.hostname);
        let mut shuffle = || self.random();
        route::find(resolver, &own, target, &mut shuffle).await
    }

    /// How a connection to `hop` is to be protected.
    ///
    /// # Errors
    /// The TLSA records could not be asked for: then the host is not used (RFC 7672 §2.1.2).
    pub(super) async fn protection(
        &self,
        resolver: &Resolver,
        place: &Place<'_>,
        hop: &Hop,
    ) -> Result<Protection, TempError> {
        let required = matches!(place, Place::Ours(domain) if domain.tls == RouteTls::Required);
        let dane = dane(resolver, hop).await;
        if required {
            // A name that a trusted root vouches for is what was asked for; records that name the certificate are
            // better, and what they say cannot be doubted.
            let named = Protection { policy: TlsPolicy::Required, check: Check::Name };
            let checks = |dane: &Protection| matches!(dane.check, Check::Dane(_));
            return Ok(dane.ok().flatten().filter(checks).unwrap_or(named));
        }
        let opportunistic = Protection { policy: TlsPolicy::Opportunistic, check: Check::Nobody };
        Ok(dane?.unwrap_or(opportunistic))
    }

    /// The TLS settings of this configuration, for connections that show no certificate.
    pub(super) fn tls(&self, config: &Arc<Config>) -> TlsClient {
        self.clients(config).anonymous
    }

    /// The same for mail to `place` and questions about its recipients: what the domain's realm shows, if it has not
    /// ended at `now`.
    pub(super) fn tls_towards(&self, config: &Arc<Config>, place: &Place<'_>, now: Timestamp) -> TlsClient {
        let clients = self.clients(config);
        let named = match place {
            Place::Ours(domain) => clients.named.get(&domain.realm),
            _ => None,
        };
        named.filter(|(_, expires)| now < *expires).map_or(clients.anonymous, |(client, _)| client.clone())
    }

    fn clients(&self, config: &Arc<Config>) -> TlsClients {
        let mut cached = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, clients)) = &*cached
            && Arc::ptr_eq(known, config)
        {
            return clients.clone();
        }
        let clients = TlsClients::new(config);
        *cached = Some((config.clone(), clients.clone()));
        clients
    }

    pub(super) fn random(&self) -> u32 {
        let mut octets = [0; 4];
        // Used to spread load only: without random numbers everything still works.
        let _ = self.random.fill(&mut octets);
        u32::from_ne_bytes(octets)
    }
}

/// What the host's TLSA records demand; `None` where there are none that DNSSEC proves.
async fn dane(resolver: &Resolver, hop: &Hop) -> Result<Option<Protection>, TempError> {
    let (HopHost::Name(host), Some(proof)) = (&hop.host, &hop.proof) else { return Ok(None) };
    let bases = [Some(&proof.canonical), (proof.canonical != *host).then_some(host)];
    for base in bases.into_iter().flatten() {
        // RFC 7672 §2.2.3: at the port that is connected to. What is too long to have a name below has no records.
        let Ok(name) = DomainName::parse(&format!("_{}._tcp.{base}", hop.address.port())) else {
            continue;
        };
        if let Lookup::Found(found) = resolver.tlsa(&name).await?
            && found.authentic
        {
            let names = [Some(base), Some(host), proof.domain.as_ref()];
            let names = names.into_iter().flatten().cloned().collect();
            // RFC 7672 §2.2: records none of which can be used demand TLS, and check nobody.
            let check = dane::Records::usable(found.records)
                .map_or(Check::Nobody, |records| Check::Dane(Dane { records, names }));
            return Ok(Some(Protection { policy: TlsPolicy::Required, check }));
        }
    }
    Ok(None)
}

impl TlsClients {
    /// A certificate that cannot be used is not shown; [`crate::tls::follow`] says so.
    fn new(config: &Config) -> TlsClients {
        let anonymous = client(config);
        let named = config.realms.iter().filter_map(|realm| {
            let certificate = Certificate::read(realm.client.as_ref()?).ok()?;
            Some((realm.name.clone(), (anonymous.showing(&certificate), certificate.expires())))
        });
        TlsClients { named: Arc::new(named.collect()), anonymous }
    }
}

/// A root that cannot be used is left out: what chains to it is then refused, and the chain shown.
fn client(config: &Config) -> TlsClient {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let certificates = config.tls.roots.iter().flat_map(|pem| {
        CertificateDer::pem_slice_iter(pem.as_str().as_bytes()).flatten().collect::<Vec<_>>()
    });
    let usable = certificates.filter(|root| roots::for_next_hops(std::slice::from_ref(root)).is_ok());
    let added: Vec<_> = usable.take(roots::ADDED_MAX).collect();
    let roots = roots::for_next_hops(&added).expect("each of them was tried, and there are not too many");
    TlsClient::new(roots, config.tls.min_version == config_schema::tls::TlsVersion::Tls13)
}
