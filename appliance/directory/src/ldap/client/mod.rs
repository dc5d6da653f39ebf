//! One connection to a directory server (RFC 4511), as seen by its client: octets and time in, octets and results out.
//!
//! [`Client::new`] says what to do first; then the caller hands in what happens and takes [`Action`]s until there is
//! none. Many searches may be under way at once; each has its own deadline and one result.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use config_schema::{Secret, user_lookup::ldap::Filter};
use smtp::Time;

use super::{
    entry::Entry,
    frame::{self, FrameFault},
    message::{self, Body, Reply, ServerResult},
};

/// Searches under way on one connection.
pub const PENDING_MAX: usize = 256;
/// Octets of all answers to one search.
pub const RESULT_MAX: usize = 16 << 20;
/// Octets of messages to requests that nobody waits for any longer, in a row, before the connection is given up.
pub const STRAY_MAX: usize = 16 << 20;
/// The last message number of a connection (RFC 4511 §4.1.1.1); then another connection is needed.
const ID_MAX: i32 = i32::MAX;

/// How a connection begins.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Ask for TLS first, and go on only with it.
    pub start_tls: bool,
    /// Whom we are; `None`: nobody (RFC 4513 §5.1.1).
    pub credentials: Option<Credentials>,
    /// How long all of it may take.
    pub within: Duration,
}

/// A name and a password that prove something: neither is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    name: String,
    password: Secret,
}

impl Credentials {
    /// `None` if either is empty: a server takes a name without a password for nobody and says yes to it
    /// (RFC 4513 §5.1.2).
    pub fn new(name: &str, password: Secret) -> Option<Credentials> {
        let proves = !name.is_empty() && !password.expose().is_empty();
        proves.then(|| Credentials { name: name.to_owned(), password })
    }
}

/// How far below its base a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The base itself.
    Base,
    /// The base and everything below it.
    Subtree,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The entry where it begins.
    pub base: String,
    /// How far below.
    pub scope: Scope,
    /// Which entries.
    pub filter: Filter,
    /// Which attributes of them.
    pub attributes: Vec<String>,
    /// The most entries that the server is to find; `None`: all.
    pub size_limit: Option<u32>,
    /// How long it may take, for the server and for us.
    pub time_limit: Duration,
    /// One page of the result (RFC 2696).
    pub page: Option<Page>,
    /// Entries in one answer: a server that sends more is not listened to.
    pub entries_max: usize,
}

/// A page of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Entries in it.
    pub size: u32,
    /// Where it begins: what the page before said, or nothing.
    pub cookie: Vec<u8>,
}

/// The number of a search, unique on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SearchId(i32);

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The entries, in the server's order.
    pub entries: Vec<Entry>,
    /// Where the next page begins; empty: there is none.
    pub cookie: Vec<u8>,
    /// A limit of the server's was reached, so there may be more entries.
    pub cut: Option<ServerResult>,
}

/// Why a search found nothing out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchFault {
    /// The server did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It sent more than was asked for, or more than [`RESULT_MAX`].
    #[error("the server sends more than it was asked for")]
    TooMuch,
    /// It says why not.
    #[error("the search failed with {0}")]
    Refused(ServerResult),
    /// The connection came to its end.
    #[error(transparent)]
    Connection(#[from] Fault),
}

/// Why a connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Closed without a word.
    #[error("the server closed the connection")]
    Closed,
    /// RFC 4511 §4.4.1.
    #[error("the server ended the connection with {0}")]
    Disconnected(ServerResult),
    /// It took too long until the first search could be sent.
    #[error("no answer while {0}")]
    Slow(Stage),
    /// TLS was asked for and not given.
    #[error("the server refuses StartTLS with {0}")]
    NoTls(ServerResult),
    /// Something came in the clear behind the answer to StartTLS, which someone on the way may have put there.
    #[error("the server, or someone on the way, speaks in the clear after StartTLS")]
    InTheClear,
    /// The name or the password is wrong, or more.
    #[error("the server refuses the name and password with {0}")]
    Bind(ServerResult),
    /// Octets that are no message.
    #[error("the server breaks the protocol: {0}")]
    Frame(#[from] FrameFault),
    /// A message that makes no sense here.
    #[error("the server breaks the protocol: {0}")]
    Protocol(&'static str),
}

/// How far the beginning of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// StartTLS was sent.
    StartTls,
    /// The TLS handshake is made.
    Handshake,
    /// The name and password were sent.
    Bind,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::StartTls => "asking for TLS",
            Stage::Handshake => "shaking hands by TLS",
            Stage::Bind => "binding",
        })
    }
}

/// What happens to the connection.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets of the server's, within TLS where there is any.
    Bytes(&'a [u8]),
    /// The handshake that [`Action::StartTls`] asked for is made.
    TlsDone,
    /// A time came that [`Action::WakeAt`] named.
    Timeout,
    /// The server closed its side, or the connection broke.
    PeerClosed,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these octets.
    Write(Bytes),
    /// Make the TLS handshake, and send and receive within TLS from then on.
    StartTls,
    /// Searches may be handed in.
    Ready,
    /// A search has its result.
    Done {
        /// Which.
        search: SearchId,
        /// What came of it.
        result: Result<Found, SearchFault>,
    },
    /// Hand in [`Input::Timeout`] at this time; it takes the place of the one before. `None`: no more.
    WakeAt(Option<Time>),
    /// Close the connection; without a fault we wanted to. Nothing follows.
    Close(Option<Fault>),
}

/// A search that cannot be handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// [`PENDING_MAX`] are under way.
    #[error("{PENDING_MAX} searches are under way")]
    Full,
    /// The connection is not ready yet, is closed, or has used up its numbers.
    #[error("the connection takes no searches")]
    NotReady,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening { stage: Stage, id: i32 },
    Ready,
    Closed,
}

#[derive(Debug)]
struct Pending {
    until: Time,
    within: Duration,
    entries_max: usize,
    entries: Vec<Entry>,
    octets: usize,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    state: State,
    credentials: Option<Credentials>,
    opening_until: Time,
    last_id: i32,
    pending: BTreeMap<i32, Pending>,
    heard: BytesMut,
    strays: usize,
    actions: VecDeque<Action>,
    wake: Option<Time>,
}

impl Client {
    /// A connection that was just opened; with TLS from its first octet, after the handshake.
    pub fn new(opening: Opening, now: Time) -> Client {
        let mut client = Client {
            state: State::Closed,
            credentials: opening.credentials,
            opening_until: now + opening.within,
            last_id: 0,
            pending: BTreeMap::new(),
            heard: BytesMut::new(),
            strays: 0,
            actions: VecDeque::new(),
            wake: None,
        };
        if opening.start_tls {
            let id = client.fresh_id();
            client.write(|out| message::start_tls(id, out));
            client.state = State::Opening { stage: Stage::StartTls, id };
        } else {
            client.bind();
        }
        client.set_wake();
        client
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether searches may be handed in.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && self.last_id < ID_MAX - 1
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// How many searches are under way.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Tells what happened.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Bytes(octets) => self.bytes(octets),
            Input::TlsDone => match self.state {
                State::Opening { stage: Stage::Handshake, .. } => self.bind(),
                _ => self.close(Fault::Protocol("TLS that was not asked for")),
            },
            Input::Timeout => self.timeout(now),
            Input::PeerClosed => self.close(Fault::Closed),
        }
        self.set_wake();
    }

    /// Sends a search.
    ///
    /// # Errors
    /// [`Busy`], and then nothing was sent.
    pub fn search(&mut self, now: Time, search: &Search) -> Result<SearchId, Busy> {
        if !self.is_ready() {
            return Err(Busy::NotReady);
        }
        if self.pending.len() >= PENDING_MAX {
            return Err(Busy::Full);
        }
        let id = self.fresh_id();
        self.write(|out| message::search(id, search, out));
        let pending = Pending {
            until: now + search.time_limit,
            within: search.time_limit,
            entries_max: search.entries_max,
            entries: Vec::new(),
            octets: 0,
        };
        self.pending.insert(id, pending);
        self.set_wake();
        Ok(SearchId(id))
    }

    /// Gives a search up: it gets no result.
    pub fn abandon(&mut self, search: SearchId) {
        if self.pending.remove(&search.0).is_some() && !self.is_closed() {
            self.write_abandon(search.0);
            self.set_wake();
        }
    }

    /// Takes leave (RFC 4511 §4.3). Searches under way end with [`Fault::Closed`].
    pub fn unbind(&mut self) {
        if self.is_closed() {
            return;
        }
        let id = self.fresh_id();
        self.write(|out| message::unbind(id, out));
        self.end(None);
        self.set_wake();
    }

    fn fresh_id(&mut self) -> i32 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }

    fn write(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        encode(&mut out);
        self.actions.push_back(Action::Write(out.freeze()));
    }

    fn write_abandon(&mut self, abandoned: i32) {
        let id = self.fresh_id();
        self.write(|out| message::abandon(id, abandoned, out));
    }

    fn bind(&mut self) {
        let Some(credentials) = self.credentials.take() else {
            self.state = State::Ready;
            return self.actions.push_back(Action::Ready);
        };
        let id = self.fresh_id();
        self.write(|out| message::bind(id, &credentials.name, &credentials.password, out));
        self.state = State::Opening { stage: Stage::Bind, id };
    }

    fn bytes(&mut self, octets: &[u8]) {
        self.heard.extend_from_slice(octets);
        while !self.is_closed() {
            match frame::next(&self.heard) {
                Ok(None) => return,
                Err(fault) => return self.close(fault.into()),
                Ok(Some(len)) => {
                    let reply = message::decode(self.heard.get(..len).unwrap_or_default());
                    self.heard.advance(len);
                    match reply {
                        Some(reply) => self.reply(reply, len),
                        None => self.close(Fault::Protocol("a message that cannot be decoded")),
                    }
                }
            }
        }
    }

    fn reply(&mut self, reply: Reply, octets: usize) {
        // RFC 4511 §4.4: what belongs to no request. Only the notice of disconnection has a meaning for us.
        if let Body::Disconnection(result) = reply.body {
            return self.close(Fault::Disconnected(result));
        }
        if reply.id < 0 || reply.id > self.last_id {
            return self.close(Fault::Protocol("an answer to a request that was never made"));
        }
        match self.state {
            State::Opening { stage, id } if reply.id == id => self.opened(stage, reply.body),
            State::Opening { .. } if reply.id != 0 => self.close(Fault::Protocol("an answer out of turn")),
            State::Ready if self.pending.contains_key(&reply.id) => self.answer(reply, octets),
            State::Closed => {}
            State::Opening { .. } | State::Ready => self.stray(octets),
        }
    }

    /// A message that nobody waits for: late answers to what was abandoned.
    fn stray(&mut self, octets: usize) {
        self.strays = self.strays.saturating_add(octets);
        if self.strays > STRAY_MAX {
            self.close(Fault::Protocol("too much that nobody waits for"));
        }
    }

    fn opened(&mut self, stage: Stage, body: Body) {
        match (stage, body) {
            (Stage::StartTls, Body::Extended(result)) if result.code == 0 => {
                // What follows in the clear was not said by whom TLS will show.
                if !self.heard.is_empty() {
                    return self.close(Fault::InTheClear);
                }
                self.state = State::Opening { stage: Stage::Handshake, id: 0 };
                self.actions.push_back(Action::StartTls);
            }
            (Stage::StartTls, Body::Extended(result)) => self.close(Fault::NoTls(result)),
            (Stage::Bind, Body::Bound(result)) if result.code == 0 => {
                self.state = State::Ready;
                self.actions.push_back(Action::Ready);
            }
            (Stage::Bind, Body::Bound(result)) => self.close(Fault::Bind(result)),
            (Stage::Handshake, _) => self.close(Fault::InTheClear),
            _ => self.close(Fault::Protocol("another answer than was asked for")),
        }
    }

    fn answer(&mut self, reply: Reply, octets: usize) {
        let Some(pending) = self.pending.get_mut(&reply.id) else { return };
        self.strays = 0;
        pending.octets = pending.octets.saturating_add(octets);
        match reply.body {
            Body::Entry(entry) => {
                if pending.entries.len() >= pending.entries_max || pending.octets > RESULT_MAX {
                    return self.too_much(reply.id);
                }
                pending.entries.push(entry);
            }
            Body::Done { result, cookie } => {
                let entries = std::mem::take(&mut pending.entries);
                self.finish(reply.id, done(result, entries, cookie));
            }
            Body::Reference | Body::Other if pending.octets > RESULT_MAX => self.too_much(reply.id),
            Body::Reference | Body::Other => {}
            Body::Bound(_) | Body::Extended(_) | Body::Disconnection(_) => {
                self.close(Fault::Protocol("another answer than was asked for"));
            }
        }
    }

    fn too_much(&mut self, id: i32) {
        self.write_abandon(id);
        self.finish(id, Err(SearchFault::TooMuch));
    }

    fn finish(&mut self, id: i32, result: Result<Found, SearchFault>) {
        if self.pending.remove(&id).is_some() {
            self.actions.push_back(Action::Done { search: SearchId(id), result });
        }
    }

    fn timeout(&mut self, now: Time) {
        if let State::Opening { stage, .. } = self.state {
            if now >= self.opening_until {
                self.close(Fault::Slow(stage));
            }
            return;
        }
        let late: Vec<(i32, Duration)> =
            self.pending.iter().filter(|(_, p)| now >= p.until).map(|(id, p)| (*id, p.within)).collect();
        for (id, within) in late {
            self.write_abandon(id);
            self.finish(id, Err(SearchFault::Timeout(within)));
        }
    }

    fn close(&mut self, fault: Fault) {
        self.end(Some(fault));
    }

    fn end(&mut self, fault: Option<Fault>) {
        self.state = State::Closed;
        self.heard = BytesMut::new();
        for id in std::mem::take(&mut self.pending).into_keys() {
            let result = Err(SearchFault::Connection(fault.clone().unwrap_or(Fault::Closed)));
            self.actions.push_back(Action::Done { search: SearchId(id), result });
        }
        self.actions.push_back(Action::Close(fault));
    }

    fn set_wake(&mut self) {
        let wake = match self.state {
            State::Closed => return,
            State::Opening { .. } => Some(self.opening_until),
            State::Ready => self.pending.values().map(|pending| pending.until).min(),
        };
        if wake != self.wake {
            self.wake = wake;
            self.actions.push_back(Action::WakeAt(wake));
        }
    }
}

/// What the end of a search means (RFC 4511 §4.1.9).
fn done(result: ServerResult, entries: Vec<Entry>, cookie: Vec<u8>) -> Result<Found, SearchFault> {
    const TIME_LIMIT: u32 = 3;
    const SIZE_LIMIT: u32 = 4;
    const ADMIN_LIMIT: u32 = 11;
    match result.code {
        0 => Ok(Found { entries, cookie, cut: None }),
        TIME_LIMIT | SIZE_LIMIT | ADMIN_LIMIT => Ok(Found { entries, cookie, cut: Some(result) }),
        _ => Err(SearchFault::Refused(result)),
    }
}

#[cfg(test)]
mod tests;
