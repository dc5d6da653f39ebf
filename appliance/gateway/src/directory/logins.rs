//! Who may log in: finds how somebody's password is checked, has it checked, and counts what fails.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::hmac;
use config_schema::{
    Config, LookupName, Method, RealmName, Role, Secret, TotpSecret, User, UserLookup, UserName,
    user_lookup::mailbox::Mailbox,
};
use control::{
    Refusal,
    operation::{EnrolmentView, Login, LoginView},
};
use directory::{
    ldap::login::LoginAnswer,
    login::{
        Credentials, UnixTime, Way,
        cache::{CacheChange, CredentialCache},
        local::{
            Enrolment, HASHES_MAX, HashPermit, Hashing, SecondCheck, SecondFactor, check_password,
            enrolment_url,
        },
        lockout::{Leave, Lockout, Try},
        mailbox::{Outcome, home_stream, login_name},
    },
};
use store::{RecordKind, log::FaultClass};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{lookups::Lookups, mailbox::MailboxLogins, outside::Outside};
use crate::{appliance::Appliance, delivery::Prober, event::Kind};

/// Beside it a name belongs to an administrator of the appliance (RFC 6761 §6.4: nobody's domain).
const ADMINISTRATORS: &str = "administrator.invalid";
/// Who issues one-time codes, as an authenticator shows it.
const ISSUER: &str = "Postern";

/// Checks logins. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Logins(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    appliance: Appliance,
    prober: Prober,
    lookups: Arc<Lookups>,
    lockout: Mutex<Lockout>,
    cache: Mutex<CredentialCache>,
    hashing: Hashing,
    /// As many as there are permits to hash, so that one is waited for and not refused.
    turns: Semaphore,
}

/// What the password came to.
enum Password {
    Right(Who),
    Wrong(&'static str),
    /// Nobody looked at it.
    NotLooked(String),
}

/// Who has logged in.
struct Who {
    because: String,
    realm: String,
    role: &'static str,
    home_stream: Option<String>,
    streams: Vec<String>,
}

impl Logins {
    pub(super) fn new(
        appliance: Appliance,
        prober: Prober,
        lookups: Arc<Lookups>,
        secret: &[u8; 32],
    ) -> Logins {
        // A key of its own, so that no other use of the secret tells anything about it.
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"remembered passwords");
        let mut cache = CredentialCache::new(&key.as_ref().try_into().unwrap_or([0; 32]));
        for record in appliance.store.records(RecordKind::Login).flatten() {
            if let Some((lookup, name)) =
                record.0.strip_prefix(REMEMBERED).and_then(|rest| rest.split_once('/'))
                && let (Ok(lookup), Ok(kept)) = (lookup.parse(), postcard::from_bytes(&record.1))
            {
                cache.load(lookup, name, kept);
            }
        }
        Logins(Arc::new(Inner {
            appliance,
            prober,
            lookups,
            lockout: Mutex::default(),
            cache: Mutex::new(cache),
            hashing: Hashing::default(),
            turns: Semaphore::new(usize::from(HASHES_MAX)),
        }))
    }

    /// Checks a login. What is told does not depend on whether the name exists.
    pub(super) async fn check(&self, login: &Login) -> Result<LoginView, Refusal> {
        let config = self.0.appliance.config();
        let source = login.source.as_deref().map(str::parse::<IpAddr>).transpose();
        let source = source.map_err(|_| Refusal::Malformed("the source is no address".to_owned()))?;
        let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let administrator =
            config.administrators.iter().find(|who| who.name.eq_ignore_ascii_case(&login.user));
        let name = match administrator {
            Some(_) => format!("{}@{ADMINISTRATORS}", login.user.replace('@', ".")),
            None => login.user.clone(),
        };
        let Ok(account) = name.parse::<UserName>() else {
            return Ok(refused(&login.user, "no such user, or a wrong password", None));
        };
        let now = self.0.appliance.clock.elapsed();
        let leave = self.lockout().ask(now, Try { account: &account, source: source.into(), device: None });
        let ticket = match leave {
            Leave::Go(ticket) => ticket,
            Leave::Wait(until) => {
                let seconds = until.since(now).as_secs().max(1);
                return Ok(self.told(refused(&login.user, "too many attempts failed", Some(seconds)), source));
            }
        };
        let password = match administrator {
            Some(who) => self.administrator(who.password_hash.clone(), who.read_only, login).await,
            None => self.user(&config, &account, login).await,
        };
        let factor = administrator.is_none().then(|| config.user(&account)).flatten();
        let view = match password {
            Password::Wrong(why) => refused(&login.user, why, None),
            Password::NotLooked(why) => {
                self.lockout().not_made(ticket);
                return Ok(self.told(refused(&login.user, &why, None), source));
            }
            Password::Right(who) if is_suspended(&config, &who.realm) => {
                self.lockout().right(ticket);
                refused(&login.user, "the realm is suspended", None)
            }
            Password::Right(who) => match self.second(&account, factor, login).await? {
                Err(why) => refused(&login.user, why, None),
                Ok(by) => {
                    self.lockout().right(ticket);
                    accepted(&login.user, who, by)
                }
            },
        };
        Ok(self.told(view, source))
    }

    fn told(&self, view: LoginView, source: IpAddr) -> LoginView {
        let events = &self.0.appliance.events;
        let event = events.event(Kind::Login).field("user", &view.user).field("source", source);
        let event = event.field("accepted", view.accepted).field("why", &view.because);
        events.record(if view.accepted { event } else { event.fault(FaultClass::Peer) });
        view
    }

    async fn administrator(&self, hash: Secret, read_only: bool, login: &Login) -> Password {
        if !self.hashed(Some(hash), &login.password).await {
            return Password::Wrong("no such user, or a wrong password");
        }
        let role = if read_only { "appliance-administrator, read only" } else { "appliance-administrator" };
        Password::Right(Who {
            because: "an administrator of the configuration".to_owned(),
            realm: "base".to_owned(),
            role,
            home_stream: Some("base:default".to_owned()),
            streams: Vec::new(),
        })
    }

    async fn user(&self, config: &Arc<Config>, account: &UserName, login: &Login) -> Password {
        match Way::find(config, account) {
            Way::Nobody => {
                self.hashed(None, &login.password).await;
                Password::Wrong("no such user, or a wrong password")
            }
            Way::Here(user) => {
                let config_schema::user::Password::Hash(hash) = &user.password else {
                    return Password::NotLooked("the user has no password here".to_owned());
                };
                if self.hashed(Some(hash.clone()), &login.password).await {
                    Password::Right(known(user, "the password that is kept here".to_owned()))
                } else {
                    Password::Wrong("no such user, or a wrong password")
                }
            }
            Way::Lookup { lookup, user } => {
                // The lookup may be one of a realm above, for the domains of several.
                let realm = config.domain(account.domain()).map_or(&lookup.realm, |domain| &domain.realm);
                let realm = user.map_or(realm, |user| &user.realm);
                self.by_lookup(config, lookup, realm, user, login).await
            }
        }
    }

    async fn by_lookup(
        &self,
        config: &Arc<Config>,
        lookup: &UserLookup,
        realm: &RealmName,
        user: Option<&User>,
        login: &Login,
    ) -> Password {
        let because = format!("user lookup `{}`", lookup.name);
        match &lookup.method {
            Method::Ldap(_) => {
                let running = self.0.lookups.get(&lookup.name);
                let Some(ldap) = running.as_ref().and_then(|running| running.ldap()) else {
                    return Password::NotLooked(format!("{because} has not begun yet"));
                };
                match ldap.directory.log_in(&login.user, Secret::new(login.password.clone())).await {
                    LoginAnswer::Ok(account) => {
                        let home = format!("{realm}:{}", account.stream);
                        let because = format!("{because}: {}", account.dn);
                        Password::Right(user.map_or_else(
                            || end_user(realm, Some(home), because.clone()),
                            |user| known(user, because.clone()),
                        ))
                    }
                    LoginAnswer::WrongPassword | LoginAnswer::NoSuchUser => {
                        Password::Wrong("no such user, or a wrong password")
                    }
                    LoginAnswer::Refused(_) => Password::Wrong("the account cannot be used"),
                    LoginAnswer::Unavailable { why } => Password::NotLooked(format!("{because}: {why}")),
                }
            }
            Method::Mailbox(mailbox) => self.by_mailbox(config, lookup, realm, mailbox, user, login).await,
            Method::Oidc(_) => {
                Password::NotLooked(format!("{because} signs in by a browser at Entra ID, not by a password"))
            }
            _ => Password::NotLooked(format!("{because} checks no logins")),
        }
    }

    async fn by_mailbox(
        &self,
        config: &Arc<Config>,
        lookup: &UserLookup,
        realm: &RealmName,
        mailbox: &Mailbox,
        user: Option<&User>,
        login: &Login,
    ) -> Password {
        let password = Secret::new(login.password.clone());
        let Ok(credentials) = Credentials::new(&login_name(mailbox, &login.user), password) else {
            return Password::Wrong("no such user, or a wrong password");
        };
        let server = MailboxLogins::new(mailbox.clone(), Outside::of(&self.0.prober, config));
        let because = match server.log_in(&credentials).await {
            Outcome::Ok => {
                self.remember(&lookup.name, mailbox, &credentials, true).await;
                format!("user lookup `{}`", lookup.name)
            }
            Outcome::WrongPassword => {
                self.remember(&lookup.name, mailbox, &credentials, false).await;
                return Password::Wrong("no such user, or a wrong password");
            }
            Outcome::BasicAuthOff => {
                let text = "the server takes no passwords any more: use OpenID Connect (method = \"oidc\")";
                return Password::NotLooked(format!("user lookup `{}`: {text}", lookup.name));
            }
            Outcome::Misbehaved(why) => {
                return Password::NotLooked(format!("user lookup `{}`: {why}", lookup.name));
            }
            Outcome::Unavailable(why) => {
                if !self.remembers(&lookup.name, mailbox, &credentials).await {
                    return Password::NotLooked(format!("user lookup `{}`: {why}", lookup.name));
                }
                format!("user lookup `{}` cannot be asked ({why}); it took this password lately", lookup.name)
            }
        };
        let home = home_stream(mailbox, &login.user, realm.clone()).ok().map(|home| home.to_string());
        Password::Right(
            user.map_or_else(|| end_user(realm, home, because.clone()), |user| known(user, because.clone())),
        )
    }

    /// Notes what the server said of a password; what cannot be kept is asked again.
    async fn remember(&self, lookup: &LookupName, mailbox: &Mailbox, credentials: &Credentials, right: bool) {
        let (inner, lookup, credentials) = (self.0.clone(), lookup.clone(), credentials.clone());
        let (days, now) = (mailbox.cache_days, self.now());
        let key = format!("{REMEMBERED}{lookup}/{}", credentials.name());
        let change = self
            .with_permit(move |permit| {
                let mut cache = inner.cache.lock().unwrap_or_else(PoisonError::into_inner);
                if right {
                    cache.taken(permit, &lookup, &credentials, days, now)
                } else {
                    cache.refused(permit, &lookup, &credentials)
                }
            })
            .await;
        let value = match change {
            Some(CacheChange::Keep(kept)) => postcard::to_allocvec(&kept).ok(),
            Some(CacheChange::Forget) => None,
            _ => return,
        };
        let records = vec![(key.into(), value)];
        let _ = self.0.appliance.store.put_records(RecordKind::Login, records).await;
    }

    async fn remembers(&self, lookup: &LookupName, mailbox: &Mailbox, credentials: &Credentials) -> bool {
        let (inner, lookup, credentials) = (self.0.clone(), lookup.clone(), credentials.clone());
        let (days, now) = (mailbox.cache_days, self.now());
        let answer = self.with_permit(move |permit| {
            let cache = inner.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.answer(permit, &lookup, &credentials, days, now)
        });
        answer.await.unwrap_or(false)
    }

    async fn hashed(&self, hash: Option<Secret>, password: &str) -> bool {
        let password = Secret::new(password);
        let check = self.with_permit(move |permit| check_password(permit, hash.as_ref(), &password));
        check.await.unwrap_or(false)
    }

    /// Runs what hashes beside the runtime, two at a time; `None` when it panicked.
    async fn with_permit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&HashPermit) -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.0.turns.acquire().await.ok()?;
        let permit = self.0.hashing.permit()?;
        spawn_blocking(move || work(&permit)).await.ok()
    }

    /// The second factor; the outer error is the store's.
    async fn second(
        &self,
        account: &UserName,
        user: Option<&User>,
        login: &Login,
    ) -> Result<Result<&'static str, &'static str>, Refusal> {
        let mut factor = self.factor(account)?;
        let configured: Option<&TotpSecret> = user.and_then(|user| user.totp_secret.as_ref());
        let before = factor.clone();
        let check = factor.check(configured, login.code.as_deref(), self.now());
        if factor != before {
            // Durable before it counts: a code works once, also over a power cut.
            self.keep(account, &factor).await?;
        }
        Ok(match check {
            SecondCheck::NotAsked => Ok(""),
            SecondCheck::Right => Ok(", and a one-time code"),
            SecondCheck::Recovered { .. } => Ok(", and a recovery code"),
            SecondCheck::Missing => Err("a one-time code is asked for"),
            SecondCheck::Wrong => Err("the one-time code is wrong or was used before"),
        })
    }

    /// Offers a user a key for one-time codes.
    pub(super) async fn enrol(&self, user: &str) -> Result<EnrolmentView, Refusal> {
        let account = self.known_user(user)?;
        let mut factor = self.factor(&account)?;
        let secret = factor.offer().ok_or_else(|| Refusal::Unavailable("no random numbers".to_owned()))?;
        self.keep(&account, &factor).await?;
        let url = enrolment_url(&secret, &account.to_string(), ISSUER);
        Ok(EnrolmentView { user: account.to_string(), url: Some(url), recovery_codes: Vec::new() })
    }

    /// Takes the offered key into use, when the code fits it.
    pub(super) async fn confirm(&self, user: &str, code: &str) -> Result<EnrolmentView, Refusal> {
        let account = self.known_user(user)?;
        let mut factor = self.factor(&account)?;
        let recovery_codes = match factor.confirm(code, self.now()) {
            Enrolment::Done { recovery_codes } => recovery_codes,
            Enrolment::Wrong => {
                return Err(Refusal::Malformed("the code does not fit the key that was offered".to_owned()));
            }
            Enrolment::System => return Err(Refusal::Unavailable("no random numbers".to_owned())),
        };
        self.keep(&account, &factor).await?;
        Ok(EnrolmentView { user: account.to_string(), url: None, recovery_codes })
    }

    /// Forgets a user's second factor.
    pub(super) async fn reset(&self, user: &str) -> Result<(), Refusal> {
        let account = self.known_user(user)?;
        let mut factor = self.factor(&account)?;
        factor.reset();
        self.keep(&account, &factor).await
    }

    fn known_user(&self, user: &str) -> Result<UserName, Refusal> {
        let missing = || Refusal::NotFound { what: "user".to_owned(), id: user.to_owned() };
        let name =
            user.parse::<UserName>().map_err(|error| Refusal::Malformed(format!("`{user}`: {error}")))?;
        let config = self.0.appliance.config();
        if config.user(&name).is_some() { Ok(name) } else { Err(missing()) }
    }

    fn factor(&self, account: &UserName) -> Result<SecondFactor, Refusal> {
        let kept = self.0.appliance.store.record_of(RecordKind::Login, &format!("{FACTOR}{account}"))?;
        let Some(bytes) = kept else { return Ok(SecondFactor::default()) };
        // One that cannot be read must not count as none.
        postcard::from_bytes(&bytes)
            .map_err(|_| Refusal::Unavailable("the second factor is damaged".to_owned()))
    }

    async fn keep(&self, account: &UserName, factor: &SecondFactor) -> Result<(), Refusal> {
        let bytes = postcard::to_allocvec(factor).map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let records = vec![(format!("{FACTOR}{account}").into(), Some(bytes))];
        Ok(self.0.appliance.store.put_records(RecordKind::Login, records).await?)
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_seconds(self.0.appliance.clock.now().unix_seconds())
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.0.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands before the name in the records of second factors and of remembered passwords.
const FACTOR: &str = "factor/";
const REMEMBERED: &str = "remembered/";

fn known(user: &User, because: String) -> Who {
    let role = match (user.role, user.read_only) {
        (Role::EndUser, false) => "end-user",
        (Role::EndUser, true) => "end-user, read only",
        (Role::RealmAdministrator, false) => "realm-administrator",
        (Role::RealmAdministrator, true) => "realm-administrator, read only",
        (Role::ApplianceAdministrator, false) => "appliance-administrator",
        (Role::ApplianceAdministrator, true) => "appliance-administrator, read only",
    };
    Who {
        because,
        realm: user.realm.to_string(),
        role,
        home_stream: Some(user.home_stream.to_string()),
        streams: user.streams.iter().map(ToString::to_string).collect(),
    }
}

/// Nobody of a suspended realm, or of one below it, may log in.
fn is_suspended(config: &Config, realm: &str) -> bool {
    realm.parse().is_ok_and(|realm| config.is_suspended(&realm))
}

fn end_user(realm: &RealmName, home_stream: Option<String>, because: String) -> Who {
    Who { because, realm: realm.to_string(), role: "end-user", home_stream, streams: Vec::new() }
}

fn accepted(user: &str, who: Who, by: &str) -> LoginView {
    LoginView {
        user: user.to_owned(),
        accepted: true,
        because: who.because + by,
        realm: Some(who.realm),
        role: Some(who.role.to_owned()),
        home_stream: who.home_stream,
        streams: who.streams,
        wait_seconds: None,
    }
}

fn refused(user: &str, because: &str, wait_seconds: Option<u64>) -> LoginView {
    LoginView {
        user: user.to_owned(),
        accepted: false,
        because: because.to_owned(),
        realm: None,
        role: None,
        home_stream: None,
        streams: Vec::new(),
        wait_seconds,
    }
}
