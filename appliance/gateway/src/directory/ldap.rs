//! A directory that is asked by LDAP: one connection is kept for all questions, and one is opened for each login and
//! each read of the whole directory.
//!
//! What is asked, and what the answers mean, is `directory::ldap`'s; here octets are carried, servers are tried in
//! turn, and answers are remembered.

mod connection;
mod link;
mod read;
mod standing;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use config_schema::{
    Secret,
    user_lookup::ldap::{Bind, Ldap},
};
use directory::{
    answer::LookupAnswer,
    ldap::{
        client::{Credentials, Found, Search, SearchFault},
        login::{self, Account, Attempt, LoginAnswer},
        lookup,
        memory::{Memory, Remembered},
        servers::Servers,
    },
};
use smtp::address::Address;
use tokio::{sync::Semaphore, time::timeout};

use connection::{Connection, OpenFault};
use link::Link;

pub use super::outside::Outside;
pub use read::{ReadFault, WholeRead};
pub use standing::{Standing, Trouble};

/// Connections to the servers of one directory.
pub const CONNECTIONS_MAX: usize = 8;
/// Logins that are checked at a time; further ones wait.
pub const LOGINS_MAX: usize = 4;
/// How long a question may take beyond the configured time, so that its connection sees the server's silence first.
const GRACE: Duration = Duration::from_secs(1);
/// A question whose connection broke under it is asked again, so often in all.
const TRIES: u32 = 2;

/// A handle on one directory; clones mean the same. When the last is dropped its connections end.
#[derive(Clone)]
pub struct LdapDirectory(Arc<Inner>);

struct Inner {
    ldap: Ldap,
    outside: Outside,
    /// The connection for all questions.
    shared: tokio::sync::Mutex<Option<Link>>,
    servers: Mutex<Servers>,
    memory: Mutex<Memory>,
    standing: Mutex<Standing>,
    connections: Arc<Semaphore>,
    logins: Semaphore,
}

impl fmt::Debug for LdapDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapDirectory").field("servers", &self.0.ldap.servers).finish_non_exhaustive()
    }
}

impl LdapDirectory {
    /// A directory that is connected to when it is first asked.
    pub fn new(ldap: Ldap, outside: Outside) -> LdapDirectory {
        let memory = Memory::new(ldap.pace.known_for.duration(), ldap.pace.unknown_for.duration());
        LdapDirectory(Arc::new(Inner {
            shared: tokio::sync::Mutex::default(),
            servers: Mutex::new(Servers::new(ldap.servers.len())),
            memory: Mutex::new(memory),
            standing: Mutex::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            logins: Semaphore::new(LOGINS_MAX),
            ldap,
            outside,
        }))
    }

    /// The configuration that it was made of.
    pub fn config(&self) -> &Ldap {
        &self.0.ldap
    }

    /// Whose this address is: from memory while that holds, or else as the directory says. Where it cannot be asked,
    /// an address that it once vouched for stays real.
    pub async fn look_up(&self, address: &Address) -> LookupAnswer {
        let key = address.key();
        let remembered = self.0.memory().get(&key, self.0.outside.clock.elapsed());
        if let Remembered::Fresh(answer) = remembered {
            return answer;
        }
        let answer = self.look_up_now(address).await;
        match (answer, remembered) {
            (LookupAnswer::Unavailable { .. }, Remembered::Stale(earlier)) => earlier,
            (answer, _) => answer,
        }
    }

    /// The same, past the memory; what the directory says is remembered.
    pub async fn look_up_now(&self, address: &Address) -> LookupAnswer {
        let ldap = &self.0.ldap;
        let answer = match self.ask(&lookup::search(ldap, address)).await {
            Ok(result) => lookup::answer(ldap, address, result),
            Err(why) => LookupAnswer::Unavailable { why: why.into_boxed_str() },
        };
        self.0.memory().put(&address.key(), &answer, self.0.outside.clock.elapsed());
        answer
    }

    /// Whether somebody is who they say. `name` is what they typed.
    pub async fn log_in(&self, name: &str, password: Secret) -> LoginAnswer {
        let attempt = match Attempt::new(name, password) {
            Ok(attempt) => attempt,
            Err(answer) => return answer,
        };
        let unavailable = |why: String| LoginAnswer::Unavailable { why: why.into_boxed_str() };
        let result = match self.ask(&attempt.search(&self.0.ldap)).await {
            Ok(result) => result,
            Err(why) => return unavailable(why),
        };
        let account = match attempt.account(&self.0.ldap, result) {
            Ok(account) => account,
            Err(answer) => return answer,
        };
        let Some(credentials) = attempt.credentials(&account) else {
            return unavailable("the server sends an entry without a name".into());
        };
        let within = self.0.ldap.pace.time_limit.duration() + GRACE;
        match timeout(within, self.bind(account, credentials)).await {
            Ok(answer) => answer,
            Err(_) => unavailable(format!("no answer within {} s", within.as_secs())),
        }
    }

    /// Tries a name and password on a fresh connection (RFC 4513 §5.2.1: what fails leaves a connection as nobody's,
    /// and the one for questions has to stay ours).
    async fn bind(&self, account: Account, credentials: Credentials) -> LoginAnswer {
        let unavailable = |why: String| LoginAnswer::Unavailable { why: why.into_boxed_str() };
        let Ok(_turn) = self.0.logins.acquire().await else { return unavailable("shutting down".into()) };
        match self.0.open_any(Some(credentials)).await {
            Ok(connection) => {
                connection.leave().await;
                login::answer(account, None)
            }
            Err(OpenFault::Dialogue { fault, certificate: None }) => login::answer(account, Some(&fault)),
            Err(fault) => unavailable(fault.to_string()),
        }
    }

    /// Reads the whole directory, on a connection of its own.
    pub fn read_all(&self) -> WholeRead {
        WholeRead::new(self.clone())
    }

    /// How it stands, for pages and alarms.
    pub fn standing(&self) -> Standing {
        self.0.standing().clone()
    }

    /// How many addresses are remembered as known and as unknown.
    pub fn remembered(&self) -> (usize, usize) {
        self.0.memory().len()
    }

    /// Asks on the shared connection. The error is for people: nobody could be asked.
    async fn ask(&self, search: &Search) -> Result<Result<Found, SearchFault>, String> {
        let within = search.time_limit + GRACE;
        let asked = timeout(within, async {
            let mut tries = 0;
            loop {
                tries += 1;
                let link = self.link().await?;
                match link.ask(search.clone()).await {
                    // The server went away, perhaps long ago: another connection may do.
                    Err(SearchFault::Connection(_)) if tries < TRIES => {}
                    result => return Ok(result),
                }
            }
        });
        asked.await.unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())))
    }

    /// The shared connection, opened if there is none. Opening goes on when whoever asked has given up.
    async fn link(&self) -> Result<Link, String> {
        let inner = self.0.clone();
        let opening = tokio::spawn(async move {
            let mut shared = inner.shared.lock().await;
            if let Some(link) = shared.as_ref().filter(|link| link.is_open()) {
                return Ok(link.clone());
            }
            let bind = inner.ldap.bind.as_ref();
            let connection =
                inner.open_any(bind.and_then(credentials)).await.map_err(|fault| fault.to_string())?;
            let link = Link::serve(connection);
            *shared = Some(link.clone());
            Ok(link)
        });
        opening.await.unwrap_or_else(|_| Err("the gateway is shutting down".into()))
    }
}

impl Inner {
    /// A connection to the first server that can be used; `who` is whom we bind as.
    async fn open_any(&self, who: Option<Credentials>) -> Result<Connection, OpenFault> {
        let ours = who == self.ldap.bind.as_ref().and_then(credentials);
        let permit = self.connections.clone().acquire_owned().await.map_err(|_| OpenFault::ShuttingDown)?;
        let to_try = self.servers().to_try(self.outside.clock.elapsed());
        let mut last = None;
        for at in to_try {
            let Some(server) = self.ldap.servers.get(at) else { continue };
            match connection::open(&self.outside, &self.ldap, server, who.clone()).await {
                Ok(connection) => {
                    self.servers().served(at);
                    self.standing().served(server);
                    return Ok(connection.with_permit(permit));
                }
                // Another's wrong password says nothing of the server.
                Err(fault) if !ours && fault.is_refused_bind() => return Err(fault),
                Err(fault) => {
                    let now = self.outside.clock.elapsed();
                    self.standing().failed(server, &fault);
                    if fault.is_refused_bind() {
                        self.servers().refused(now);
                        return Err(fault);
                    }
                    self.servers().failed(at, now);
                    last = Some(fault);
                }
            }
        }
        let why = || self.standing().trouble.as_ref().map(|trouble| trouble.detail.clone());
        Err(last.unwrap_or_else(|| OpenFault::Waiting(why().unwrap_or_default())))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(bind: &Bind) -> Option<Credentials> {
    Credentials::new(&bind.name, bind.password.clone())
}

#[cfg(test)]
mod tests;
