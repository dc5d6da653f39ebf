//! A route: where a domain's accepted mail is sent on to.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::name::DomainName;

/// One next hop, written `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The host.
    pub host: RouteHost,
    /// Without one, a name is looked up by MX first (RFC 5321 §5.1), and the port is 25.
    pub port: Option<u16>,
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
    #[error("an address stands in brackets, such as \"[192.0.2.25]:25\"")]
    Brackets,
    /// Not a port.
    #[error("the port is not a number from 1 to 65535")]
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
            return Ok(Route { host: RouteHost::Address(address), port });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, digits)) => (name, Some(port(digits)?)),
            None => (text, None),
        };
        let name = DomainName::parse(name).map_err(|_| RouteError::Shape)?;
        Ok(Route { host: RouteHost::Name(name), port })
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
