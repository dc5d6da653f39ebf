//! A directory server, as it is written.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::{
    mistake::Notes,
    network::Network,
    reader::Found,
    route::{Route, RouteError, RouteHost},
};

/// A directory server, written `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// The host.
    pub host: RouteHost,
    /// Without one, the port of the kind of protection.
    pub port: Option<u16>,
}

/// A text that is no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// A URL stands where its host was expected.
    #[error("a URL, expected HOST or HOST:PORT alone; `security` says how the way is protected")]
    Url,
    /// Neither a name nor an address in brackets.
    #[error("not a server, expected HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT")]
    Shape,
    /// An address stands without brackets.
    #[error("an address without brackets, expected such as \"[192.0.2.25]:636\"")]
    Brackets,
    /// Not a port.
    #[error("the port is wrong, expected a number from 1 to 65535")]
    Port,
}

impl FromStr for Server {
    type Err = ServerError;
    fn from_str(text: &str) -> Result<Server, ServerError> {
        if text.contains("://") {
            return Err(ServerError::Url);
        }
        match text.parse::<Route>() {
            Ok(Route { host, port, .. }) => Ok(Server { host, port }),
            Err(RouteError::Shape) => Err(ServerError::Shape),
            Err(RouteError::Brackets) => Err(ServerError::Brackets),
            Err(RouteError::Port) => Err(ServerError::Port),
        }
    }
}

impl fmt::Display for Server {
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

impl Server {
    /// Whether it is an address of a private network (RFC 1918, RFC 4193), which nobody outside can stand between.
    pub fn is_private(&self) -> bool {
        let RouteHost::Address(address) = &self.host else { return false };
        match address.to_canonical() {
            IpAddr::V4(address) => address.is_private(),
            IpAddr::V6(address) => address.is_unique_local(),
        }
    }
}

/// Notes a server that is ourselves or no host that can be asked.
pub(super) fn check(server: &Found<Server>, network: Option<&Network>, notes: &mut Notes<'_>) {
    let wrong = match &server.value.host {
        RouteHost::Name(name) => {
            let own = network.is_some_and(|network| network.hostname == *name);
            (own || name.as_str().rsplit('.').next() == Some("localhost"))
                .then_some("is this appliance, expected the directory server's name")
        }
        RouteHost::Address(address) => wrong_address(address.to_canonical(), network),
    };
    if let Some(wrong) = wrong {
        let text = format!("`{}` {wrong}", server.value);
        notes.note(server.place.span.clone(), &server.place.path, text);
    }
}

fn wrong_address(address: IpAddr, network: Option<&Network>) -> Option<&'static str> {
    if network.is_some_and(|network| network.addresses().any(|own| own == address)) {
        return Some("is our own address, expected the directory server's");
    }
    // Among the link-local ones are the metadata services of clouds.
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let nowhere = address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local;
    nowhere.then_some("is no address of a server that can be asked, expected the directory server's")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_printed() {
        for text in ["dc1.example.com", "dc1.example.com:3269", "[192.0.2.25]", "[2001:db8::1]:636"] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("ldaps://dc1.example.com", ServerError::Url),
            ("192.0.2.25", ServerError::Brackets),
            ("dc1.example.com:0", ServerError::Port),
            ("dc1 example", ServerError::Shape),
        ] {
            assert_eq!(text.parse::<Server>(), Err(why), "{text}");
        }
    }

    #[test]
    fn only_addresses_of_private_networks_are_private() {
        for (text, private) in [
            ("[10.1.2.3]", true),
            ("[192.168.0.1]:389", true),
            ("[fd00::1]", true),
            ("[::ffff:10.1.2.3]", true),
            ("[192.0.2.1]", false),
            ("dc1.corp.example", false),
        ] {
            assert_eq!(text.parse::<Server>().unwrap().is_private(), private, "{text}");
        }
    }
}
