//! `[time]`: whom we ask for the time.

use std::{fmt, net::IpAddr};

use crate::{mistake::Notes, name::DomainName, reader::Section};

/// Time servers.
pub const TIME_SERVERS_MAX: usize = 8;

/// A time server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeServer {
    /// Looked up by DNS.
    Name(DomainName),
    /// Asked directly.
    Address(IpAddr),
}

pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Vec<TimeServer> {
    let servers = section.list::<TimeServer>("servers", notes).unwrap_or_default();
    if let Some(extra) = servers.get(TIME_SERVERS_MAX) {
        let text = format!("one too many, expected at most {TIME_SERVERS_MAX}");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    section.finish(notes);
    servers.into_iter().map(|found| found.value).collect()
}

impl std::str::FromStr for TimeServer {
    type Err = TimeServerError;
    fn from_str(text: &str) -> Result<TimeServer, TimeServerError> {
        if let Ok(address) = text.parse() {
            return Ok(TimeServer::Address(address));
        }
        DomainName::parse(text).map(TimeServer::Name).map_err(|_| TimeServerError)
    }
}

/// A text that is neither a name nor an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time server, expected a host name or an address")]
pub struct TimeServerError;

impl fmt::Display for TimeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeServer::Name(name) => name.fmt(f),
            TimeServer::Address(address) => address.fmt(f),
        }
    }
}
