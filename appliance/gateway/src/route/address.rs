//! Which addresses may be a next hop.

use std::net::{IpAddr, Ipv6Addr};

use config_schema::name::DomainName;

/// What is ourselves: mail sent there would come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    pub hostname: DomainName,
    /// Ours on the network, as known now.
    pub addresses: Vec<IpAddr>,
}

/// Why an address is no next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    #[error("it is this appliance")]
    Ourselves,
    #[error("a loopback address")]
    Loopback,
    #[error("not the address of one host")]
    NoHost,
    #[error("a link-local address")]
    LinkLocal,
    #[error("a private address, and the domain is not ours")]
    Private,
}

impl Own {
    /// Whether `name` means this appliance, or any machine itself.
    pub(super) fn is_our_name(&self, name: &DomainName) -> bool {
        *name == self.hostname || name.as_str() == "localhost" || name.as_str().ends_with(".localhost")
    }

    /// Whether we have an address of this family that reaches further than the link.
    pub(super) fn reaches(&self, four: bool) -> bool {
        self.addresses.iter().any(|own| own.is_ipv4() == four && !is_link_local(*own))
    }

    /// Whether `address` may be connected to; private ones only where somebody configured the way there.
    pub(super) fn check(&self, address: IpAddr, configured: bool) -> Result<(), Unfit> {
        let loopback = address.is_loopback();
        if address.is_unspecified() || address.is_multicast() || is_reserved(address) {
            Err(Unfit::NoHost)
        } else if loopback {
            Err(Unfit::Loopback)
        } else if self.addresses.contains(&address) {
            Err(Unfit::Ourselves)
        } else if is_link_local(address) {
            Err(Unfit::LinkLocal)
        } else if is_private(address) && !configured {
            Err(Unfit::Private)
        } else {
            Ok(())
        }
    }
}

/// 0/8 and 240/4 (RFC 6890).
fn is_reserved(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(a) if a.octets()[0] == 0 || a.octets()[0] >= 240)
}

/// Among them the metadata services of clouds.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

/// RFC 1918, RFC 6598, RFC 4193, and addresses that embed IPv4 ones by translation (RFC 6052), which could be any.
fn is_private(address: IpAddr) -> bool {
    const TRANSLATED: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    match address {
        IpAddr::V4(a) => a.is_private() || (a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64),
        IpAddr::V6(a) => a.is_unique_local() || Ipv6Addr::segments(&a)[..6] == TRANSLATED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_others_are_next_hops() {
        let own = Own {
            hostname: DomainName::parse("mx.example.com").unwrap(),
            addresses: vec!["192.0.2.10".parse().unwrap()],
        };
        for (address, ours, foreign) in [
            ("192.0.2.10", Err(Unfit::Ourselves), Err(Unfit::Ourselves)),
            ("127.0.0.1", Err(Unfit::Loopback), Err(Unfit::Loopback)),
            ("::1", Err(Unfit::Loopback), Err(Unfit::Loopback)),
            ("0.0.0.0", Err(Unfit::NoHost), Err(Unfit::NoHost)),
            ("224.0.0.1", Err(Unfit::NoHost), Err(Unfit::NoHost)),
            ("255.255.255.255", Err(Unfit::NoHost), Err(Unfit::NoHost)),
            ("169.254.169.254", Err(Unfit::LinkLocal), Err(Unfit::LinkLocal)),
            ("fe80::1", Err(Unfit::LinkLocal), Err(Unfit::LinkLocal)),
            ("10.0.2.2", Ok(()), Err(Unfit::Private)),
            ("100.64.0.1", Ok(()), Err(Unfit::Private)),
            ("fd00::1", Ok(()), Err(Unfit::Private)),
            ("198.51.100.1", Ok(()), Ok(())),
            ("2001:db8::1", Ok(()), Ok(())),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(own.check(address, true), ours, "{address}");
            assert_eq!(own.check(address, false), foreign, "{address}");
        }
    }
}
