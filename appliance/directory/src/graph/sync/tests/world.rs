//! A tenant, the machine, a disk, and a clock that moves by hand.

use std::collections::{BTreeMap, BTreeSet};

use config_schema::{Config, Identity, Method, Pem, Secret, user_lookup::entra_id::Credential};
use image::entra::{self, Entry, Tenant};

use super::super::*;
use crate::answer::LookupAnswer;

pub(super) const HOST: &str = "graph.example";
pub(super) const START: u64 = 1_800_000_000;
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) struct World {
    pub(super) tenant: Tenant,
    pub(super) sync: Sync,
    pub(super) entra: EntraId,
    pub(super) disk: Disk,
    pub(super) elapsed: Duration,
    pub(super) news: Vec<News>,
    /// Requests to the token endpoint.
    pub(super) sign_ins: usize,
    /// Hosts that were asked.
    pub(super) hosts: BTreeSet<String>,
    drawn: u64,
}

/// What the store does, in memory.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) rows: BTreeMap<(u32, Box<[u8]>), Vec<u8>>,
    pub(super) state: Option<Vec<u8>>,
    /// So many changes are refused.
    pub(super) failing: usize,
}

pub(super) fn configured(credential: &str) -> EntraId {
    let text = format!(
        "version = 1\nnetwork = {{ hostname = \"mx.example.com\", address = \"dhcp\" }}\n[[user-lookup]]\n\
         name = \"m365\"\nmethod = \"entra-id\"\ntenant = \"2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f\"\n\
         client = \"7a9c3b52-1111-4222-8333-444455556666\"\n{credential}\n\
         login-host = \"{HOST}\"\ngraph-host = \"{HOST}\"\n"
    );
    let config = Config::parse("f", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    match &config.user_lookups[0].method {
        Method::EntraId(entra) => entra.clone(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn by_secret() -> EntraId {
    configured("secret = \"s3cret~for.tests\"\nsecret-expires = \"2027-05-31\"")
}

pub(super) fn by_certificate(certificate: &str, key: &str) -> EntraId {
    let identity = Identity { certificate: Pem::certificates(certificate).unwrap(), key: Secret::new(key) };
    EntraId { credential: Credential::Certificate(identity), ..by_secret() }
}

fn ours() -> HashSet<DomainName> {
    ["example.com", "example.net"].map(|name| DomainName::parse(name).unwrap()).into()
}

pub(super) fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// A user whose primary address is `name@example.com`.
pub(super) fn user(name: &str) -> Entry {
    Entry {
        name: Some(name.into()),
        mail: Some(format!("{name}@example.com")),
        proxies: vec![
            format!("SMTP:{name}@example.com"),
            format!("smtp:{name}@example.net"),
            "X500:/o=x".into(),
        ],
        enabled: Some(true),
        kind: Some("Member".into()),
        ..Entry::default()
    }
}

impl World {
    pub(super) fn new(entra: EntraId) -> World {
        let sync = Sync::new(&entra, ours());
        let tenant = Tenant::new(HOST);
        World {
            tenant,
            sync,
            entra,
            disk: Disk::default(),
            elapsed: Duration::ZERO,
            news: Vec::new(),
            sign_ins: 0,
            hosts: BTreeSet::new(),
            drawn: 0,
        }
    }

    /// With so many users `u0`, `u1` and on.
    pub(super) fn with_users(count: u32) -> World {
        let mut world = World::new(by_secret());
        for n in 0..count {
            world.tenant.set(entra::Collection::Users, &id(n), user(&format!("u{n}")));
        }
        world
    }

    pub(super) fn now(&mut self) -> Moment {
        self.drawn += 1;
        let mut random = [7; 16];
        random[8..].copy_from_slice(&self.drawn.to_le_bytes());
        Moment { at: Time::from_start(self.elapsed), unix: START + self.elapsed.as_secs(), random }
    }

    /// One step. Whether the machine sleeps, and until when.
    pub(super) fn step(&mut self) -> Option<Time> {
        let now = self.now();
        match self.sync.next(&now) {
            Step::Send(request) => {
                let answer = self.ask(&request, now.unix);
                self.sync.answered(answer, &now);
            }
            Step::Keep(change) => {
                let done = self.disk.keep(change);
                self.sync.kept(done, &now);
            }
            Step::Drop(generation) => {
                self.disk.rows.retain(|(of, _), _| *of != generation);
                self.sync.dropped(generation);
            }
            Step::Judge => drop(self.sync.judged(self.sync.losses(), &now)),
            Step::Sleep(until) => return Some(until),
        }
        self.news.extend(self.sync.take_news());
        None
    }

    fn ask(&mut self, request: &Request, unix: u64) -> Result<Response, Failure> {
        self.hosts.insert(request.host.to_string());
        let body = request.body.as_ref().map(|body| body.content.expose().as_bytes().to_vec());
        self.sign_ins += usize::from(body.is_some());
        let asked = entra::Request {
            method: if body.is_some() { "POST" } else { "GET" }.into(),
            target: request.target.clone(),
            authorization: request.bearer.as_ref().map(|token| format!("Bearer {}", token.expose())),
            eventual: request.headers.contains(&("ConsistencyLevel", "eventual")),
            body: body.unwrap_or_default(),
        };
        let reply = self.tenant.answer(&asked, unix);
        if reply.body.len() > request.answer_max {
            return Err(Failure::TooLong(request.answer_max));
        }
        let retry_after = reply.retry_after.map(String::into_boxed_str);
        Ok(Response { status: reply.status, retry_after, body: reply.body })
    }

    /// Goes on until the round is over, however long it has to wait.
    pub(super) fn finish(&mut self) {
        for _ in 0..200_000 {
            let Some(until) = self.step() else { continue };
            if matches!(self.sync.round, Round::Idle(_)) && self.sync.keep.is_empty() {
                self.news.extend(self.sync.take_news());
                return;
            }
            self.elapsed = self.elapsed.max(until.since_start());
        }
        panic!("the round does not end: {:?}", self.sync.round);
    }

    /// Waits for the next round, and finishes it.
    pub(super) fn round(&mut self) {
        if let Round::Idle(until) = self.sync.round {
            self.elapsed = self.elapsed.max(until.since_start());
        }
        self.finish();
    }

    /// Begins again with what lies on the disk.
    pub(super) fn restart(&mut self) {
        let Some(state) = &self.disk.state else {
            self.sync = Sync::new(&self.entra, ours());
            for generation in self.disk.generations() {
                self.sync.forget(generation);
            }
            return;
        };
        self.sync = Sync::restore(&self.entra, ours(), state).unwrap();
        let wanted = self.sync.generations();
        for ((generation, key), value) in &self.disk.rows {
            if wanted.contains(generation) {
                self.sync.load(*generation, key, value).unwrap();
            }
        }
        for generation in self.disk.generations() {
            self.sync.forget(generation);
        }
    }

    pub(super) fn lookup(&mut self, address: &str) -> LookupAnswer {
        let now = self.now();
        self.sync.lookup(address, DAY, &now)
    }

    pub(super) fn stream(&mut self, address: &str) -> Option<String> {
        match self.lookup(address) {
            LookupAnswer::Stream { stream, .. } => Some(stream.into()),
            LookupAnswer::Unknown => None,
            LookupAnswer::Unavailable { why } => panic!("{address}: {why}"),
        }
    }

    /// Every address that gets mail, found in another way than the machine does.
    pub(super) fn truth(&self) -> BTreeSet<String> {
        let mut addresses = BTreeSet::new();
        for collection in entra::Collection::ALL {
            for (_, entry) in self.tenant.present(collection) {
                if collection == entra::Collection::Groups && entry.mail_enabled != Some(true) {
                    continue;
                }
                let smtp = |proxy: &String| proxy.to_lowercase().strip_prefix("smtp:").map(str::to_owned);
                addresses.extend(entry.proxies.iter().filter_map(smtp));
                addresses.extend(entry.mail.clone().filter(|_| entry.kind.as_deref() != Some("Guest")));
            }
        }
        addresses.retain(|address| address.ends_with("@example.com") || address.ends_with("@example.net"));
        addresses
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        let fault = |news: &News| if let News::Fault(fault) = news { Some(fault.clone()) } else { None };
        self.news.iter().filter_map(fault).collect()
    }
}

impl Disk {
    fn keep(&mut self, change: Change) -> bool {
        if self.failing > 0 {
            self.failing -= 1;
            return false;
        }
        for (key, value) in change.put {
            assert!(!key.is_empty() && value.len() <= 64_000);
            self.rows.insert((change.generation, key), value);
        }
        for key in change.remove {
            self.rows.remove(&(change.generation, key));
        }
        if let Some(state) = change.state {
            assert!(state.len() <= 64_000);
            self.state = Some(state);
        }
        true
    }

    pub(super) fn generations(&self) -> BTreeSet<u32> {
        self.rows.keys().map(|(generation, _)| *generation).collect()
    }
}
