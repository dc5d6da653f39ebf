//! Who has to wait before the next try to log in.
//!
//! Tries that failed are counted within the last hour, by account and by source; beyond [`ACCOUNT_MAX`] and
//! [`SOURCE_MAX`] the next one waits, and each further one twice as long. A try counts from the moment it is
//! allowed, so that many at once are no way around, and is taken back when it was right.
//!
//! Nobody can lock the owner of an account out by trying: a device that was proven before ([`device`]) has a budget of
//! its own for its account, and a source that has tried hardly anything ([`QUIET_MAX`]) may try an account that
//! others have used up. What this leaves to guessing from many sources is [`QUIET_MAX`] tries of each an hour.

mod bucket;
pub mod device;
mod table;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use config_schema::UserName;
use smtp::Time;

use device::DeviceId;
use table::Table;

/// Tries that fail, an account and hour.
pub const ACCOUNT_MAX: usize = 10;
/// Tries that fail, a source and hour.
pub const SOURCE_MAX: usize = 30;
/// Tries that fail, a device that was proven and hour.
pub const DEVICE_MAX: usize = 10;
/// Tries that a source may have made within the hour and still count as quiet.
pub const QUIET_MAX: usize = 3;
/// How long a try counts.
pub const WINDOW: Duration = Duration::from_secs(3_600);
/// The first wait beyond a budget; each next one is twice as long, up to [`WINDOW`].
pub const WAIT: Duration = Duration::from_secs(30);
/// Accounts that are remembered. One that does not exist is remembered too, so that the wait does not tell.
pub const ACCOUNTS_MAX: usize = 8_192;
/// Sources that are remembered.
pub const SOURCES_MAX: usize = 8_192;
/// Devices that are remembered.
pub const DEVICES_MAX: usize = 8_192;

/// Where a try comes from: an IPv4 address, or an IPv6 /64, which is what one household has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        Source(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address => address,
        })
    }
}

/// A try that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Try<'t> {
    /// The name that was given; whether anyone has it does not matter.
    pub account: &'t UserName,
    /// Where it comes from.
    pub source: Source,
    /// The device, if it was proven for this account.
    pub device: Option<DeviceId>,
}

/// The answer to a [`Try`].
#[derive(Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may be made; it counts as failed until [`Lockout::right`] or [`Lockout::not_made`].
    Go(Ticket),
    /// Not before this moment.
    Wait(Time),
}

/// A try that counts.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a try that is not reported counts as failed"]
pub struct Ticket {
    at: Time,
    account: Option<UserName>,
    source: Option<Source>,
    device: Option<(UserName, DeviceId)>,
}

/// Tries within the last hour.
#[derive(Debug)]
pub struct Lockout {
    accounts: Table<UserName>,
    sources: Table<Source>,
    devices: Table<(UserName, DeviceId)>,
}

impl Default for Lockout {
    fn default() -> Self {
        Lockout {
            accounts: Table::new(ACCOUNTS_MAX, ACCOUNT_MAX),
            sources: Table::new(SOURCES_MAX, SOURCE_MAX),
            devices: Table::new(DEVICES_MAX, DEVICE_MAX),
        }
    }
}

impl Lockout {
    /// May this try be made now?
    pub fn ask(&mut self, now: Time, attempt: Try<'_>) -> Leave {
        if let Some(device) = attempt.device {
            return self.ask_device(now, attempt.account, device);
        }
        let source_free = self.sources.free_at(now, &attempt.source);
        if source_free > now {
            return Leave::Wait(source_free);
        }
        let account_free = self.accounts.free_at(now, attempt.account);
        let mut ticket = Ticket { at: now, account: None, source: Some(attempt.source), device: None };
        if account_free <= now {
            self.accounts.count(now, attempt.account.clone());
            ticket.account = Some(attempt.account.clone());
        } else if self.sources.recent(now, &attempt.source) >= QUIET_MAX {
            return Leave::Wait(account_free);
        }
        // A quiet source does not count for the account, or it would make others wait longer.
        self.sources.count(now, attempt.source);
        Leave::Go(ticket)
    }

    fn ask_device(&mut self, now: Time, account: &UserName, device: DeviceId) -> Leave {
        let key = (account.clone(), device);
        let free = self.devices.free_at(now, &key);
        if free > now {
            return Leave::Wait(free);
        }
        self.devices.count(now, key.clone());
        Leave::Go(Ticket { at: now, account: None, source: None, device: Some(key) })
    }

    /// The try was right: it does not count. What failed before does, or an attacker who has an account could
    /// clear the count of the source with it.
    pub fn right(&mut self, ticket: Ticket) {
        self.take_back(&ticket);
    }

    /// Nobody looked at the password, because the server could not be asked: the try does not count.
    pub fn not_made(&mut self, ticket: Ticket) {
        self.take_back(&ticket);
    }

    fn take_back(&mut self, ticket: &Ticket) {
        if let Some(account) = &ticket.account {
            self.accounts.take_back(ticket.at, account);
        }
        if let Some(source) = &ticket.source {
            self.sources.take_back(ticket.at, source);
        }
        if let Some(device) = &ticket.device {
            self.devices.take_back(ticket.at, device);
        }
    }

    /// Accounts, sources and devices that are remembered.
    pub fn remembered(&self) -> (usize, usize, usize) {
        (self.accounts.len(), self.sources.len(), self.devices.len())
    }
}
