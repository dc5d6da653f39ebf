//! The tenant: who is in its directory, and what is to go wrong.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde_json::{Value, json};

use super::{Reply, Request};

/// A collection of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    Users,
    Groups,
    Contacts,
}

impl Collection {
    pub const ALL: [Collection; 3] = [Collection::Users, Collection::Groups, Collection::Contacts];

    pub fn name(self) -> &'static str {
        match self {
            Collection::Users => "users",
            Collection::Groups => "groups",
            Collection::Contacts => "contacts",
        }
    }
}

/// What an object has. `None` is never set, or cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    pub name: Option<String>,
    pub mail: Option<String>,
    /// With their prefixes, such as `SMTP:`.
    pub proxies: Vec<String>,
    /// Users only.
    pub enabled: Option<bool>,
    /// Users only: `Member` or `Guest`.
    pub kind: Option<String>,
    /// Groups only.
    pub mail_enabled: Option<bool>,
    /// Groups only: `Unified`.
    pub group_types: Vec<String>,
}

/// Why an object is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Soft-deleted: it can be restored.
    Changed,
    /// For good.
    Deleted,
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) entry: Entry,
    /// For each property of [`PROPERTIES`] when it was set or cleared last; 0: never.
    pub(super) versions: [u64; 7],
    pub(super) version: u64,
    pub(super) removed: Option<Removed>,
}

pub(super) const PROPERTIES: [&str; 7] =
    ["displayName", "mail", "proxyAddresses", "accountEnabled", "userType", "mailEnabled", "groupTypes"];

/// What goes wrong with the next request to Graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// 401: the token is taken no more.
    Unauthorized,
    /// 429, 503 or 504, with this `Retry-After` or none.
    Busy(u16, Option<String>),
    /// 410 with a `Location`.
    Gone,
    /// 400 with `syncStateNotFound`.
    SyncStateNotFound,
    /// 500.
    ServerError,
    /// 200 with a page for people.
    Html,
    /// JSON that breaks off.
    Truncated,
    /// A body of so many bytes.
    Long(usize),
    /// A link that leads to another host.
    LinkElsewhere,
}

/// A tenant with one application, and the switches that make it misbehave.
#[derive(Debug, Default)]
pub struct Tenant {
    pub id: String,
    pub client: String,
    /// What the application may prove itself with.
    pub secret: Option<String>,
    /// The DER of the application's certificate.
    pub certificate: Option<Vec<u8>>,
    /// As it stands in links: `HOST` or `HOST:PORT`.
    pub graph_host: String,
    pub login_host: String,
    /// Objects of a page; 3 unless set.
    pub page_size: usize,
    /// How long a token lives, in seconds; 3599 unless set.
    pub token_life: u64,
    /// Each paging begins with a page of nothing.
    pub empty_first: bool,
    /// Each page repeats the last object of the one before.
    pub repeat: bool,
    /// Properties that have not changed are left out, as with `return=minimal`.
    pub minimal: bool,
    /// Collections whose permission was not granted.
    pub denied: HashSet<Collection>,
    /// Collections whose pages have no end.
    pub endless: HashSet<Collection>,
    /// The login service refuses with this code and text.
    pub sign_in_error: Option<(u32, String)>,
    /// What goes wrong, one request after the other.
    pub troubles: VecDeque<Trouble>,
    /// What was asked: method and target.
    pub asked: Vec<String>,
    pub(super) objects: HashMap<Collection, BTreeMap<String, Object>>,
    pub(super) version: u64,
    /// Until when each token is taken, in Unix seconds.
    pub(super) tokens: HashMap<String, u64>,
    /// Assertions that were used.
    pub(super) used: HashSet<String>,
    /// Delta tokens below this version are too old.
    pub(super) oldest: u64,
}

/// Requests that are remembered.
const ASKED_MAX: usize = 10_000;

impl Tenant {
    /// A tenant without objects that takes `secret`.
    pub fn new(host: &str) -> Tenant {
        Tenant {
            id: "2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f".into(),
            client: "7a9c3b52-1111-4222-8333-444455556666".into(),
            secret: Some("s3cret~for.tests".into()),
            graph_host: host.into(),
            login_host: host.into(),
            page_size: 3,
            token_life: 3_599,
            empty_first: true,
            repeat: true,
            // 0 stands for everything.
            version: 1,
            ..Tenant::default()
        }
    }

    /// Adds an object or changes it; what differs from before is what a delta shows.
    pub fn set(&mut self, collection: Collection, id: &str, entry: Entry) {
        self.version += 1;
        let version = self.version;
        let objects = self.objects.entry(collection).or_default();
        let fresh = Object { entry: Entry::default(), versions: [0; 7], version, removed: None };
        let object = objects.entry(id.into()).or_insert(fresh);
        // Whoever comes back is shown whole.
        let back = object.removed.take().is_some();
        let changed = differences(&object.entry, &entry);
        for (own, changed) in object.versions.iter_mut().zip(changed) {
            if changed || (back && *own > 0) {
                *own = version;
            }
        }
        (object.entry, object.version) = (entry, version);
    }

    /// Removes an object.
    pub fn remove(&mut self, collection: Collection, id: &str, why: Removed) {
        self.version += 1;
        if let Some(object) = self.objects.entry(collection).or_default().get_mut(id) {
            (object.removed, object.version) = (Some(why), self.version);
        }
    }

    /// The objects that are there.
    pub fn present(&self, collection: Collection) -> impl Iterator<Item = (&str, &Entry)> {
        let objects = self.objects.get(&collection).into_iter().flatten();
        objects
            .filter(|(_, object)| object.removed.is_none())
            .map(|(id, object)| (id.as_str(), &object.entry))
    }

    /// Every delta token given out so far is too old from now on.
    pub fn age(&mut self) {
        self.version += 1;
        self.oldest = self.version;
    }

    /// Adds so many users with two addresses each in `domain`.
    pub fn populate(&mut self, users: usize, domain: &str) {
        for n in 0..users {
            let entry = Entry {
                name: Some(format!("User {n}")),
                mail: Some(format!("user{n}@{domain}")),
                proxies: vec![format!("SMTP:user{n}@{domain}"), format!("smtp:u{n}@{domain}")],
                enabled: Some(true),
                kind: Some("Member".into()),
                ..Entry::default()
            };
            self.set(Collection::Users, &format!("00000000-0000-4000-8000-{n:012x}"), entry);
        }
    }

    /// Answers a request that came at `unix`.
    pub fn answer(&mut self, request: &Request, unix: u64) -> Reply {
        if self.asked.len() < ASKED_MAX {
            self.asked.push(format!("{} {}", request.method, request.target));
        }
        if request.target == self.token_path() {
            return self.token(request, unix);
        }
        let Some(rest) = request.target.strip_prefix("/v1.0/") else { return Reply::status(404) };
        let token = request.authorization.as_deref().and_then(|field| field.strip_prefix("Bearer "));
        if token.and_then(|token| self.tokens.get(token)).is_none_or(|until| *until <= unix) {
            return refused(401, "InvalidAuthenticationToken");
        }
        let collection = Collection::ALL.into_iter().find(|collection| rest.starts_with(collection.name()));
        let Some(collection) = collection else { return Reply::status(404) };
        if self.denied.contains(&collection) {
            return refused(403, "Authorization_RequestDenied");
        }
        let trouble = self.troubles.pop_front();
        if let Some(reply) = trouble.as_ref().and_then(|trouble| self.misbehave(trouble)) {
            return reply;
        }
        let query = rest.get(collection.name().len()..).unwrap_or_default();
        let mut reply = match query.split_once('?') {
            Some(("/delta", parameters)) => self.delta(collection, parameters),
            Some(("", parameters)) => self.search(collection, parameters, request.eventual),
            _ => Reply::status(404),
        };
        match trouble {
            Some(Trouble::Truncated) => reply.body.truncate(reply.body.len() / 2),
            Some(Trouble::LinkElsewhere) => {
                let body =
                    String::from_utf8_lossy(&reply.body).replace(&self.graph_host, "elsewhere.example");
                reply.body = body.into_bytes();
            }
            _ => {}
        }
        reply
    }

    fn misbehave(&mut self, trouble: &Trouble) -> Option<Reply> {
        Some(match trouble {
            Trouble::Unauthorized => {
                self.tokens.clear();
                refused(401, "InvalidAuthenticationToken")
            }
            Trouble::Busy(status, after) => {
                Reply { retry_after: after.clone(), ..refused(*status, "TooManyRequests") }
            }
            Trouble::Gone => {
                let location = format!("https://{}/v1.0/users/delta?$deltatoken=", self.graph_host);
                Reply { location: Some(location), ..refused(410, "resyncRequired") }
            }
            Trouble::SyncStateNotFound => refused(400, "syncStateNotFound"),
            Trouble::ServerError => refused(500, "generalException"),
            Trouble::Html => {
                Reply { body: b"<html><body>Sorry</body></html>".to_vec(), ..Reply::status(200) }
            }
            Trouble::Long(bytes) => Reply { body: vec![b' '; *bytes], ..Reply::status(200) },
            Trouble::Truncated | Trouble::LinkElsewhere => return None,
        })
    }
}

fn differences(old: &Entry, new: &Entry) -> [bool; 7] {
    [
        old.name != new.name,
        old.mail != new.mail,
        old.proxies != new.proxies,
        old.enabled != new.enabled,
        old.kind != new.kind,
        old.mail_enabled != new.mail_enabled,
        old.group_types != new.group_types,
    ]
}

pub(super) fn property(entry: &Entry, at: usize) -> Value {
    match at {
        0 => json!(entry.name),
        1 => json!(entry.mail),
        2 => json!(entry.proxies),
        3 => json!(entry.enabled),
        4 => json!(entry.kind),
        5 => json!(entry.mail_enabled),
        _ => json!(entry.group_types),
    }
}

pub(super) fn refused(status: u16, code: &str) -> Reply {
    let body = json!({ "error": { "code": code, "message": "As the test asked." } });
    Reply { body: body.to_string().into_bytes(), ..Reply::status(status) }
}
