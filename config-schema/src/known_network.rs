//! `[[known-network]]`: networks with privileges.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{mistake::Notes, reader::Section};

/// Known networks in all, and the networks of one.
pub const KNOWN_NETWORKS_MAX: usize = 256;

/// A network with privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNetwork {
    /// For people.
    pub name: String,
    /// Never empty.
    pub networks: Vec<IpNet>,
    /// Whether it may send to foreign domains.
    pub relay: bool,
}

impl KnownNetwork {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Option<KnownNetwork> {
        let name = section.string("name", notes).map(|found| found.value).unwrap_or_default();
        let networks = section.list::<Cidr>("network", notes);
        match networks.as_deref() {
            None if section.has("network") => {}
            None | Some([]) => section.missing("network", "at least one such as \"192.0.2.0/24\"", notes),
            Some(networks) => {
                if let Some(extra) = networks.get(KNOWN_NETWORKS_MAX) {
                    let text = format!("one too many, expected at most {KNOWN_NETWORKS_MAX}");
                    notes.note(extra.place.span.clone(), &extra.place.path, text);
                }
            }
        }
        let relay = section.boolean("relay", notes).unwrap_or(false);
        section.finish(notes);
        let networks = networks?.into_iter().map(|found| found.value.0).collect();
        Some(KnownNetwork { name, networks, relay })
    }
}

/// A network, or a single address.
struct Cidr(IpNet);

#[derive(Debug, thiserror::Error)]
#[error("not a network, expected such as \"192.0.2.0/24\" or \"192.0.2.7\"")]
struct CidrError;

impl std::str::FromStr for Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let network = text.parse::<IpNet>().ok().map(|net| net.trunc());
        network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(Cidr).ok_or(CidrError)
    }
}
