//! Who may log in: the entry is found first, and then its name and the password are tried on a connection of their own.

use config_schema::{
    Secret,
    user_lookup::ldap::{Filter, Ldap},
};
use smtp::address::Address;

use super::{
    client::{Credentials, Fault, Found, Search, SearchFault},
    lookup::{below_base, equal, has_address},
    recipient::{Kind, Recipient},
};

/// Longest name to log in by, in bytes; that of a mailbox fits (RFC 5321 §4.5.3.1).
pub const LOGIN_NAME_MAX: usize = 320;
/// Longest password that is tried, in bytes.
pub const PASSWORD_MAX: usize = 1_024;

/// What somebody typed, fit to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    name: String,
    password: Secret,
}

/// The entry of who wants to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its distinguished name.
    pub dn: Box<str>,
    /// Its own stream within the realm.
    pub stream: Box<str>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginAnswer {
    /// It is them.
    Ok(Account),
    /// The password is wrong.
    WrongPassword,
    /// Nobody is called so.
    NoSuchUser,
    /// The password may be right, but the account cannot be used.
    Refused(AccountState),
    /// Nobody can say now.
    Unavailable {
        /// Why, for administrators and the log; not for who tries.
        why: Box<str>,
    },
}

/// Why an account cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountState {
    /// Too many wrong passwords.
    #[error("the account is locked")]
    Locked,
    /// By an administrator.
    #[error("the account is disabled")]
    Disabled,
    /// Its last day is past.
    #[error("the account has expired")]
    Expired,
    /// Its password's last day is past.
    #[error("the password has expired")]
    PasswordExpired,
    /// It was reset by an administrator.
    #[error("the password must be changed first")]
    MustChangePassword,
    /// Not at this hour, or not from here.
    #[error("the account may not be used now or from here")]
    NotNow,
}

impl Attempt {
    /// # Errors
    /// What the answer is without asking anybody: an empty password would make a server say yes
    /// (RFC 4513 §5.1.2), and a name that is too long is nobody's.
    pub fn new(name: &str, password: Secret) -> Result<Attempt, LoginAnswer> {
        let name = name.trim();
        let fits = (1..=LOGIN_NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        if !fits {
            return Err(LoginAnswer::NoSuchUser);
        }
        let length = password.expose().len();
        if !(1..=PASSWORD_MAX).contains(&length) || password.expose().contains('\0') {
            return Err(LoginAnswer::WrongPassword);
        }
        Ok(Attempt { name: name.to_owned(), password })
    }

    /// The name as a directory has it: what stands behind the domain in `DOMAIN\user`.
    fn user(&self) -> &str {
        self.name.rsplit_once('\\').map_or(self.name.as_str(), |(_, user)| user)
    }

    /// The search for the entry: by the log-in attributes, or by an address of its own.
    pub fn search(&self, ldap: &Ldap) -> Search {
        let mut ways: Vec<Filter> =
            ldap.login_attributes.iter().map(|name| equal(name, self.user().to_owned())).collect();
        if let Ok(address) = Address::parse(&self.name) {
            ways.push(has_address(ldap, &address));
        }
        below_base(ldap, Filter::And(vec![ldap.entries(), Filter::Or(ways)]))
    }

    /// The entry, out of the search's result.
    ///
    /// # Errors
    /// The answer, where there is no one entry.
    pub fn account(&self, ldap: &Ldap, result: Result<Found, SearchFault>) -> Result<Account, LoginAnswer> {
        let found = result.map_err(|fault| unavailable(fault.to_string()))?;
        let by_name = |entry: &&super::Entry| {
            let names = ldap.login_attributes.iter().flat_map(|name| entry.texts(name.as_str()));
            names.into_iter().any(|name| name.to_lowercase() == self.user().to_lowercase())
        };
        let address = Address::parse(&self.name).ok();
        let person = |entry: &super::Entry| {
            let recipient = Recipient::of(ldap, entry)?;
            (recipient.kind == Kind::User).then_some(recipient)
        };
        let named: Vec<Recipient> = found.entries.iter().filter(by_name).filter_map(person).collect();
        let addressed = || {
            let has = |recipient: &Recipient| address.as_ref().is_some_and(|address| recipient.has(address));
            found.entries.iter().filter_map(person).filter(has).collect::<Vec<_>>()
        };
        // A name of one's own goes before an address.
        let mut candidates = if named.is_empty() { addressed() } else { named };
        match (candidates.pop(), candidates.as_slice()) {
            (None, _) => match found.cut {
                Some(limit) => Err(unavailable(format!("the search was cut short by {limit}"))),
                None => Err(LoginAnswer::NoSuchUser),
            },
            (Some(only), []) => Ok(Account { dn: only.dn, stream: only.stream }),
            (Some(one), [other, ..]) => Err(unavailable(format!("the name is that of {one} and of {other}"))),
        }
    }

    /// Whom to bind as. `None`: the entry has no name, which no server would send.
    pub fn credentials(&self, account: &Account) -> Option<Credentials> {
        Credentials::new(&account.dn, self.password.clone())
    }
}

fn unavailable(why: String) -> LoginAnswer {
    LoginAnswer::Unavailable { why: why.into_boxed_str() }
}

/// What the bind came to: `fault` is why the connection did not become ready, if it did not.
pub fn answer(account: Account, fault: Option<&Fault>) -> LoginAnswer {
    const CONSTRAINT_VIOLATION: u32 = 19;
    const NO_SUCH_OBJECT: u32 = 32;
    const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
    const INVALID_CREDENTIALS: u32 = 49;
    let result = match fault {
        None => return LoginAnswer::Ok(account),
        Some(Fault::Bind(result)) => result,
        Some(fault) => return unavailable(fault.to_string()),
    };
    match result.code {
        INVALID_CREDENTIALS => by_data(&result.text),
        // The entry went since it was found.
        NO_SUCH_OBJECT => LoginAnswer::NoSuchUser,
        // It has no password.
        INAPPROPRIATE_AUTHENTICATION => LoginAnswer::WrongPassword,
        // 389 Directory Server and its kin, after too many wrong ones.
        CONSTRAINT_VIOLATION => LoginAnswer::Refused(AccountState::Locked),
        _ => unavailable(result.to_string()),
    }
}

/// Active Directory says why in its text: `… AcceptSecurityContext error, data 52e, v4563`. The numbers are those of
/// Windows, in hexadecimal.
fn by_data(text: &str) -> LoginAnswer {
    let data = text.split(", ").find_map(|part| part.strip_prefix("data "));
    let state = match data.and_then(|data| u32::from_str_radix(data.trim(), 16).ok()) {
        Some(0x525) => return LoginAnswer::NoSuchUser,
        Some(0x530 | 0x531) => AccountState::NotNow,
        Some(0x532) => AccountState::PasswordExpired,
        Some(0x533) => AccountState::Disabled,
        Some(0x701) => AccountState::Expired,
        Some(0x773) => AccountState::MustChangePassword,
        Some(0x775) => AccountState::Locked,
        _ => return LoginAnswer::WrongPassword,
    };
    LoginAnswer::Refused(state)
}

#[cfg(test)]
mod tests;
