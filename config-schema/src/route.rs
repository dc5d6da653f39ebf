//! A route: where a domain's accepted mail is sent on to.

use std::{fmt, net::IpAddr, str::FromStr};

use toml_edit::{Array, InlineTable, Value};

use crate::{
    mistake::Notes,
    name::DomainName,
    network::{Addressing, Network},
    reader::{Entry, Found, Section, parse},
};

/// Next hops of one domain.
pub const ROUTES_MAX: usize = 8;
/// The priority of a next hop that names none.
pub const PRIORITY: u16 = 10;

/// One next hop, written `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`, or as a table
/// `{ host = "HOST", port = 25, priority = 10 }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The host.
    pub host: RouteHost,
    /// Without one, a name is looked up by MX first (RFC 5321 §5.1), and the port is 25.
    pub port: Option<u16>,
    /// Lower ones are tried first, as with MX; a string has [`PRIORITY`].
    pub priority: u16,
}

/// The host of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteHost {
    /// A name, to be looked up.
    Name(DomainName),
    /// An address, written in brackets.
    Address(IpAddr),
}

/// A text that is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Neither a name nor an address in brackets.
    #[error("not a next hop, expected HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT")]
    Shape,
    /// An address stands without brackets.
    #[error("an address without brackets, expected such as \"[192.0.2.25]:25\"")]
    Brackets,
    /// Not a port.
    #[error("the port is wrong, expected a number from 1 to 65535")]
    Port,
}

impl FromStr for Route {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Route, RouteError> {
        if text.parse::<IpAddr>().is_ok() {
            return Err(RouteError::Brackets);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(RouteError::Shape)?;
            let address = address.parse().map_err(|_| RouteError::Shape)?;
            let port = match rest {
                "" => None,
                rest => Some(port(rest.strip_prefix(':').ok_or(RouteError::Shape)?)?),
            };
            return Ok(Route { host: RouteHost::Address(address), port, priority: PRIORITY });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, digits)) => (name, Some(port(digits)?)),
            None => (text, None),
        };
        let name = DomainName::parse(name).map_err(|_| RouteError::Shape)?;
        Ok(Route { host: RouteHost::Name(name), port, priority: PRIORITY })
    }
}

fn port(digits: &str) -> Result<u16, RouteError> {
    match digits.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(RouteError::Port),
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            RouteHost::Name(name) => write!(f, "{name}")?,
            RouteHost::Address(address) => write!(f, "[{address}]")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Reads the next hops of a domain, in the order in which they are tried.
pub(crate) fn read_list(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Vec<Found<Route>>> {
    if !section.has("route") {
        section.missing("route", "at least one next hop, such as [\"mail.example.com\"]", notes);
    }
    if section.is_empty_list("route") {
        let place = section.place_of("route", "name");
        notes.note(place.span, &place.path, "an empty list, expected at least one next hop");
    }
    let entries = section.entries("route", notes)?;
    let read = |entry| match entry {
        Entry::Text(text) => parse(text, notes),
        Entry::Table(table) => read_table(table, notes),
    };
    let mut routes: Vec<Found<Route>> = entries.into_iter().filter_map(read).collect();
    if let Some(extra) = routes.get(ROUTES_MAX) {
        let text = format!("one too many, expected at most {ROUTES_MAX} next hops");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    // Stable: where the priority is the same, the order of the file counts.
    routes.sort_by_key(|route| route.value.priority);
    Some(routes)
}

fn read_table(mut section: Section<'_>, notes: &mut Notes<'_>) -> Option<Found<Route>> {
    let place = section.place.clone();
    if !section.has("host") {
        section.missing("host", "HOST or [ADDRESS]", notes);
    }
    let host = section.parsed::<Route>("host", notes);
    let port = section.number("port", 1..=u64::from(u16::MAX), notes);
    let priority = section.number("priority", 0..=u64::from(u16::MAX), notes);
    section.finish(notes);
    let host = host?;
    if host.value.port.is_some() && port.is_some() {
        let text = "a port stands here and under `port`, expected it once";
        notes.note(host.place.span, &host.place.path, text);
        return None;
    }
    let small = |number: Option<u64>| number.and_then(|number| u16::try_from(number).ok());
    let value = Route {
        port: small(port).or(host.value.port),
        priority: small(priority).unwrap_or(PRIORITY),
        host: host.value.host,
    };
    Some(Found { value, place })
}

/// Hosts that Microsoft has given up, or that take no mail from outside: one of them is never a next hop.
const NEVER: [&str; 4] = [
    "mail.messaging.microsoft.com",
    "mail.global.frontbridge.com",
    "smtp.office365.com",
    "smtp-mail.outlook.com",
];

/// Notes a next hop that can only be a slip: it leads back to us or nowhere. `network` is ours.
pub(crate) fn check(hop: &Found<Route>, network: Option<&Network>, notes: &mut Notes<'_>) {
    let wrong = match &hop.value.host {
        RouteHost::Name(name) => wrong_name(name, network),
        RouteHost::Address(address) => wrong_address(address.to_canonical(), network),
    };
    if let Some(wrong) = wrong {
        let text = format!("`{}` {wrong}", hop.value);
        notes.note(hop.place.span.clone(), &hop.place.path, text);
    }
}

fn wrong_name(name: &DomainName, network: Option<&Network>) -> Option<&'static str> {
    let is_last = |label: &str| name.as_str().rsplit('.').next() == Some(label);
    if network.is_some_and(|network| network.hostname == *name) {
        return Some("is our own host name, expected the next hop's");
    }
    if is_last("localhost") {
        return Some("is this machine, expected the next hop's name");
    }
    NEVER.contains(&name.as_str()).then_some(
        "takes no mail for mailboxes, expected the domain's MX host at Microsoft 365, such as \
         `example-com.mail.protection.outlook.com`",
    )
}

fn wrong_address(address: IpAddr, network: Option<&Network>) -> Option<&'static str> {
    let own = |net: &ipnet::IpNet| net.addr() == address;
    let ours = network.is_some_and(|network| match &network.addressing {
        Addressing::Static { addresses, .. } => addresses.iter().any(own),
        Addressing::Dhcp => false,
    });
    if ours {
        return Some("is our own address, expected the next hop's");
    }
    let nowhere = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    nowhere.then_some("is no address that mail can be sent to, expected the next hop's")
}

/// Writes next hops: as strings where a string says everything.
pub(crate) fn write_list(routes: &[Route]) -> Array {
    let write = |route: &Route| -> Value {
        if route.priority == PRIORITY {
            return route.to_string().into();
        }
        let priority = i64::from(route.priority);
        InlineTable::from_iter([("host", Value::from(route.to_string())), ("priority", priority.into())])
            .into()
    };
    routes.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_printed() {
        for text in
            ["mx.example.com", "mx.example.com:2525", "[192.0.2.25]", "[192.0.2.25]:2525", "[2001:db8::1]:25"]
        {
            assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_route_is_refused() {
        use RouteError::*;
        for (text, why) in [
            ("", Shape),
            ("192.0.2.25", Brackets),
            ("mx.example.com:0", Port),
            ("mx.example.com:66000", Port),
            ("[192.0.2.25", Shape),
            ("[192.0.2.25]25", Shape),
            ("[mx.example.com]", Shape),
        ] {
            assert_eq!(text.parse::<Route>(), Err(why), "{text}");
        }
    }
}
