//! The configuration, as `net` understands it.

use std::net::IpAddr;
use std::time::Duration;

use config_schema::{Addressing, Config, TcpLimits};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use net::control::{Configure, Deadlines, Ipv4Addressing, Ipv6Addressing, KNOWN_NETWORKS_MAX, Limits};

/// What `net` is told; `secret` makes the automatic IPv6 addresses the same at every start.
pub(crate) fn configure(config: &Config, secret: [u8; 32]) -> Configure {
    let (ipv4, ipv6, routers) = addressing(&config.network.addressing);
    Configure {
        ipv4,
        ipv6,
        routers,
        stable_secret: Some(secret),
        limits: limits(config),
        deadlines: deadlines(&config.tcp),
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
        reserved_percent: u8::try_from(config.limits.reserved_percent).unwrap_or(u8::MAX),
        // 0 leaves it to `net`, which knows the machine's memory.
        buffer_memory: Some(config.limits.buffer_memory.bytes()).filter(|bytes| *bytes > 0),
    }
}

fn deadlines(tcp: &TcpLimits) -> Deadlines {
    let seconds = |period: Duration| u32::try_from(period.as_secs()).unwrap_or(u32::MAX);
    Deadlines {
        syn_sent: seconds(tcp.syn_sent.duration()),
        unacknowledged: seconds(tcp.unacknowledged.duration()),
        zero_window: seconds(tcp.zero_window.duration()),
        zero_window_bulk: seconds(tcp.zero_window_bulk.duration()),
        fin_wait_1: seconds(tcp.fin_wait_1.duration()),
        fin_wait_2: seconds(tcp.fin_wait_2.duration()),
        last_ack: seconds(tcp.last_ack.duration()),
        keep_alive: seconds(tcp.keep_alive.duration()),
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
    #[test]
    fn every_limit_is_the_files() {
        let config = parse(
            "address = \"dhcp\"\n[limits]\nconnections = 501\nconnections-per-address = 11\n\
             connections-per-network = 12\nnew-connections-per-minute = 13\nreserved-percent = 14\n\
             buffer-memory = \"15 MB\"\n",
        );
        let limits = configure(&config, [0; 32]).limits;
        let wanted = Limits {
            connections: 501,
            connections_per_address: 11,
            connections_per_network: 12,
            new_per_minute: 13,
            known_networks: Vec::new(),
            reserved_percent: 14,
            buffer_memory: Some(15_000_000),
        };
        assert_eq!(limits, wanted);
        let config = parse("address = \"dhcp\"\n[limits]\nbuffer-memory = \"0 MB\"\n");
        assert_eq!(configure(&config, [0; 32]).limits.buffer_memory, None);
    }

    #[test]
    fn every_deadline_is_the_files_and_the_defaults_agree() {
        let config = parse(
            "address = \"dhcp\"\n[limits.tcp]\nsyn-sent = \"21 s\"\nunacknowledged = \"22 s\"\n\
             zero-window = \"23 s\"\nzero-window-bulk = \"24 s\"\nfin-wait-1 = \"25 s\"\n\
             fin-wait-2 = \"26 s\"\nlast-ack = \"27 s\"\nkeep-alive = \"28 min\"\n",
        );
        let wanted = Deadlines {
            syn_sent: 21,
            unacknowledged: 22,
            zero_window: 23,
            zero_window_bulk: 24,
            fin_wait_1: 25,
            fin_wait_2: 26,
            last_ack: 27,
            keep_alive: 28 * 60,
        };
        assert_eq!(configure(&config, [0; 32]).deadlines, wanted);
        let untouched = configure(&parse("address = \"dhcp\"\n"), [0; 32]);
        assert_eq!(untouched.deadlines, Deadlines::default());
        assert_eq!(untouched.limits, Limits::default());
    }
}
