//! Is this recipient in a domain that we take mail for, and under which name does its mail wait in the queue?
//! Whether it is real and whose it is, the directory says ([`crate::directory`]).

mod fault;

use std::net::IpAddr;

use config_schema::name::DomainName;
use config_schema::{Config, StreamName};
use smtp::address::{Address, ForwardPath, Host};
use store::queue::Destination;

pub(crate) use fault::RecipientFault;

/// A recipient that we take mail for, if it is real.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Always with a domain: a bare `postmaster` has got one of ours.
    pub address: Address,
    pub destination: Destination,
    /// The domain is not ours; the client may relay.
    pub relayed: bool,
}

/// The stream of a recipient, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streamed {
    pub stream: StreamName,
    pub because: String,
}

/// Why mail for a recipient is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the domain is not ours and the client may not relay")]
    RelayingDenied,
    /// An appliance that is still being set up refuses nothing for good.
    #[error("no domain is configured")]
    NoDomain,
}

/// Decides on one recipient. Only what stands behind the last `@` counts: percent signs, bangs and quoted `@` in
/// the local part are the next hop's business and never make us relay.
pub fn decide(config: &Config, client: IpAddr, to: &ForwardPath) -> Result<Recipient, Refusal> {
    let address = match to {
        ForwardPath::Address(address) => address.clone(),
        // RFC 5321 §4.5.1: postmaster is accepted without a domain, too.
        ForwardPath::Postmaster => postmaster(config).ok_or(Refusal::NoDomain)?,
    };
    let ours = address.domain().is_some_and(|name| config.domain(name).is_some());
    let may_relay = config.known_network(client.to_canonical()).is_some_and(|known| known.relay);
    if !ours && !may_relay {
        let set_up = !config.domains.is_empty();
        return Err(if set_up { Refusal::RelayingDenied } else { Refusal::NoDomain });
    }
    let destination = destination(address.host());
    Ok(Recipient { address, destination, relayed: !ours })
}

/// One destination for each domain: its route is looked up when an attempt is made, so that a changed route
/// holds for mail that already waits.
pub fn destination(domain: &Host) -> Destination {
    Destination::new(&domain.to_string()).expect("a domain is shorter than a destination and has no controls")
}

/// The postmaster of the domain that our host name lies in, or of the first domain.
fn postmaster(config: &Config) -> Option<Address> {
    let host_name: &DomainName = &config.network.hostname;
    let nearest = config
        .domains
        .iter()
        .filter(|domain| host_name.is_within(&domain.name))
        .max_by_key(|domain| domain.name.labels());
    let domain = nearest.or_else(|| config.domains.first())?;
    Address::parse(&format!("postmaster@{}", domain.name)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
version = 1
[network]
hostname = "mx.example.net"
address = "dhcp"
[[realm]]
name = "example"
[[domain]]
name = "example.com"
realm = "example"
route = ["mail.example.com"]
[[domain]]
name = "example.net"
realm = "example"
route = ["mail.example.net"]
[[known-network]]
name = "office"
network = ["198.51.100.0/24"]
relay = true
[[known-network]]
name = "partner"
network = ["203.0.113.0/24"]
"#;

    fn decide_on(client: &str, to: &str) -> Result<Recipient, Refusal> {
        let config = Config::parse("test.toml", CONFIG).unwrap();
        decide(&config, client.parse().unwrap(), &ForwardPath::parse(to).unwrap())
    }

    #[test]
    fn our_domains_are_taken_from_everyone() {
        let recipient = decide_on("192.0.2.1", "<Ann@EXAMPLE.com>").unwrap();
        assert_eq!(recipient.destination.as_str(), "example.com");
        assert!(!recipient.relayed);
    }

    #[test]
    fn nothing_in_a_local_part_makes_us_relay() {
        for to in ["<a%b.example@example.com>", "<\"a@b.example\"@example.com>", "<b.example!a@example.com>"]
        {
            let recipient = decide_on("192.0.2.1", to).unwrap();
            assert_eq!(recipient.destination.as_str(), "example.com", "{to}");
        }
        let routed = decide_on("192.0.2.1", "<@b.example:a@example.com>").unwrap();
        assert_eq!(routed.destination.as_str(), "example.com");
        assert_eq!(decide_on("192.0.2.1", "<@example.com:a@b.example>"), Err(Refusal::RelayingDenied));
    }

    #[test]
    fn foreign_domains_are_taken_only_from_networks_that_may_relay() {
        for (client, taken) in [
            ("192.0.2.1", false),
            ("203.0.113.9", false),
            ("198.51.100.9", true),
            ("::ffff:198.51.100.9", true),
        ] {
            let decision = decide_on(client, "<a@b.example>");
            assert_eq!(decision.is_ok(), taken, "{client}");
            assert_eq!(decide_on(client, "<a@[192.0.2.9]>").is_ok(), taken, "{client}");
            assert_eq!(decide_on(client, "<a@sub.example.com>").is_ok(), taken, "{client}");
        }
        assert!(decide_on("198.51.100.9", "<a@b.example>").unwrap().relayed);
    }

    #[test]
    fn postmaster_has_a_domain_of_ours() {
        let recipient = decide_on("192.0.2.1", "<postmaster>").unwrap();
        assert_eq!(recipient.address.to_string(), "postmaster@example.net");
        assert!(decide_on("192.0.2.1", "<PostMaster@example.com>").is_ok());
        let mut config = Config::parse("test.toml", CONFIG).unwrap();
        config.domains.clear();
        for to in ["<postmaster>", "<a@example.com>"] {
            let to = ForwardPath::parse(to).unwrap();
            assert_eq!(decide(&config, "192.0.2.1".parse().unwrap(), &to), Err(Refusal::NoDomain));
        }
    }
}
