//! `[[known-network]]`: networks with privileges.

use std::{collections::HashMap, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use crate::{
    domain::Around,
    mistake::Notes,
    reader::{Found, Place, Section},
    realm::BASE,
    stream::StreamName,
};

/// Known networks in all, and the networks of one.
pub const KNOWN_NETWORKS_MAX: usize = 256;

/// A network with privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNetwork {
    /// For people.
    pub name: String,
    /// Never empty; none stands in two known networks.
    pub networks: Vec<IpNet>,
    /// Whether it may send to foreign domains.
    pub relay: bool,
    /// The stream of all its mail to domains of that stream's realm.
    pub stream: Option<StreamName>,
}

pub(crate) fn read(
    sections: Vec<Section<'_>>,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Vec<KnownNetwork> {
    if let Some(extra) = sections.get(KNOWN_NETWORKS_MAX) {
        too_many(&extra.place.clone(), notes);
    }
    let mut seen = HashMap::new();
    sections.into_iter().filter_map(|section| read_one(section, &mut seen, around, notes)).collect()
}

fn too_many(place: &Place, notes: &mut Notes<'_>) {
    let text = format!("one too many, expected at most {KNOWN_NETWORKS_MAX}");
    notes.note(place.span.clone(), &place.path, text);
}

fn read_one(
    mut section: Section<'_>,
    seen: &mut HashMap<IpNet, Place>,
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Option<KnownNetwork> {
    let name = section.string("name", notes).map(|found| found.value).unwrap_or_default();
    if !section.has("network") {
        section.missing("network", "at least one such as \"192.0.2.0/24\"", notes);
    }
    if section.is_empty_list("network") {
        let place = section.place_of("network", "name");
        notes.note(place.span, &place.path, "an empty list, expected at least one network");
    }
    let networks = section.list::<Cidr>("network", notes);
    let relay = section.boolean("relay", notes).unwrap_or(false);
    let stream = section.parsed::<StreamName>("stream", notes);
    if let Some(stream) = stream.as_ref().filter(|stream| !around.realms.exists(stream.value.realm())) {
        let text = format!(
            "realm `{}` does not exist, expected one of the file's or `{BASE}`",
            stream.value.realm()
        );
        notes.note(stream.place.span.clone(), &stream.place.path, text);
    }
    section.finish(notes);
    let networks = networks?;
    if let Some(extra) = networks.get(KNOWN_NETWORKS_MAX) {
        too_many(&extra.place, notes);
    }
    let networks = networks.into_iter().filter_map(|found| network(found, relay, seen, notes)).collect();
    Some(KnownNetwork { name, networks, relay, stream: stream.map(|stream| stream.value) })
}

fn network(
    found: Found<Cidr>,
    relay: bool,
    seen: &mut HashMap<IpNet, Place>,
    notes: &mut Notes<'_>,
) -> Option<IpNet> {
    let Found { value: Cidr(network), place } = found;
    if relay && network.prefix_len() == 0 {
        let text = format!("{network} may relay, which is an open relay, expected a network of yours");
        notes.note(place.span, &place.path, text);
        return None;
    }
    if let Some(first) = seen.insert(network, place.clone()) {
        let first = notes.line(first.span);
        let text = format!("network {network} stands twice, first at {first}, expected each once");
        notes.note(place.span, &place.path, text);
        return None;
    }
    Some(network)
}

/// A network, or a single address.
struct Cidr(IpNet);

#[derive(Debug, thiserror::Error)]
enum CidrError {
    #[error("not a network, expected such as \"192.0.2.0/24\" or \"192.0.2.7\"")]
    Form,
    #[error("bits behind the prefix are set, expected {0}")]
    HostBits(IpNet),
}

impl FromStr for Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Cidr(IpNet::from(address)));
        }
        let network: IpNet = text.parse().map_err(|_| CidrError::Form)?;
        if network == network.trunc() { Ok(Cidr(network)) } else { Err(CidrError::HostBits(network.trunc())) }
    }
}
