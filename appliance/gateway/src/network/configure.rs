//! The configuration, as `net` understands it.

use std::net::IpAddr;

use config_schema::{Addressing, Config};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use net::control::{Configure, Ipv4Addressing, Ipv6Addressing, KNOWN_NETWORKS_MAX, Limits};

/// What `net` is told; `secret` makes the automatic IPv6 addresses the same at every start.
pub(crate) fn configure(config: &Config, secret: [u8; 32]) -> Configure {
    let (ipv4, ipv6, routers) = addressing(&config.network.addressing);
    Configure {
        ipv4,
        ipv6,
        routers,
        stable_secret: Some(secret),
        limits: limits(config),
        ..Configure::default()
    }
}

fn addressing(addressing: &Addressing) -> (Ipv4Addressing, Ipv6Addressing, Vec<IpAddr>) {
    let Addressing::Static { addresses, gateways } = addressing else {
        return (Ipv4Addressing::Dhcp, Ipv6Addressing::Automatic, Vec::new());
    };
    let ipv4: Vec<Ipv4Net> =
        addresses.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None }).collect();
    let ipv6: Vec<Ipv6Net> =
        addresses.iter().filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None }).collect();
    let ipv4 = if ipv4.is_empty() { Ipv4Addressing::None } else { Ipv4Addressing::Static(ipv4) };
    let ipv6 = if ipv6.is_empty() { Ipv6Addressing::None } else { Ipv6Addressing::Static(ipv6) };
    (ipv4, ipv6, gateways.clone())
}

fn limits(config: &Config) -> Limits {
    let known = config.known_networks.iter().flat_map(|known| known.networks.iter().copied());
    Limits {
        connections: config.limits.connections,
        connections_per_address: config.limits.connections_per_address,
        connections_per_network: config.limits.connections_per_network,
        new_per_minute: config.limits.new_connections_per_minute,
        known_networks: known.take(KNOWN_NETWORKS_MAX).collect(),
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(network: &str) -> Config {
        let text = format!("version = 1\n[network]\nhostname = \"mx.example.com\"\n{network}");
        Config::parse("test", &text).unwrap()
    }

    #[test]
    fn static_addresses_leave_the_other_family_off() {
        let config = parse("address = \"192.0.2.10/24\"\ngateway = \"192.0.2.1\"\ndns = \"192.0.2.53\"\n");
        let configure = configure(&config, [7; 32]);
        assert_eq!(configure.ipv4, Ipv4Addressing::Static(vec!["192.0.2.10/24".parse().unwrap()]));
        assert_eq!(configure.ipv6, Ipv6Addressing::None);
        assert_eq!(configure.routers, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(configure.stable_secret, Some([7; 32]));
    }

    #[test]
    fn dhcp_brings_both_families_and_limits_are_the_files() {
        let config = parse(
            "address = \"dhcp\"\n[limits]\nconnections = 500\n[[known-network]]\nnetwork = \"198.51.100.0/24\"\n",
        );
        let configure = configure(&config, [0; 32]);
        assert_eq!((configure.ipv4, configure.ipv6), (Ipv4Addressing::Dhcp, Ipv6Addressing::Automatic));
        assert_eq!(configure.limits.connections, 500);
        assert_eq!(configure.limits.known_networks, ["198.51.100.0/24".parse::<IpNet>().unwrap()]);
    }
}
