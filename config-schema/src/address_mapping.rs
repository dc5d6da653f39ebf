//! `[[address-mapping]]`: single addresses that have a stream of their own.

use std::collections::HashMap;

use crate::{
    address::AddressKey,
    domain::Domain,
    mistake::Notes,
    name::DomainName,
    reader::{Place, Section},
    stream::StreamName,
};

/// Address mappings in all.
pub const ADDRESS_MAPPINGS_MAX: usize = 10_000;

/// One address that goes to one stream, whatever its domain's mapping says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressMapping {
    /// An address in one of the file's domains, each once.
    pub address: AddressKey,
    /// A stream of that domain's realm.
    pub stream: StreamName,
}

/// Reads them all; `domains` are those of the same file.
pub(crate) fn read(
    sections: Vec<Section<'_>>,
    domains: &[Domain],
    notes: &mut Notes<'_>,
) -> Vec<AddressMapping> {
    if let Some(extra) = sections.get(ADDRESS_MAPPINGS_MAX) {
        let text = format!("one too many, expected at most {ADDRESS_MAPPINGS_MAX}");
        notes.note(extra.place.span.clone(), &extra.place.path, text);
    }
    let domains = domains.iter().map(|domain| (&domain.name, domain)).collect();
    let mut seen = HashMap::new();
    let sections = sections.into_iter().take(ADDRESS_MAPPINGS_MAX + 1);
    sections.filter_map(|section| read_one(section, &domains, &mut seen, notes)).collect()
}

fn read_one(
    mut section: Section<'_>,
    domains: &HashMap<&DomainName, &Domain>,
    seen: &mut HashMap<AddressKey, Place>,
    notes: &mut Notes<'_>,
) -> Option<AddressMapping> {
    if !section.has("address") {
        section.missing("address", "an address such as \"info@example.com\"", notes);
    }
    let address = section.parsed::<AddressKey>("address", notes);
    if !section.has("stream") {
        section.missing("stream", "the address's stream as `realm:stream`", notes);
    }
    let stream = section.parsed::<StreamName>("stream", notes);
    section.finish(notes);
    let address = address?;
    if let Some(first) = seen.insert(address.value.clone(), address.place.clone()) {
        let first = notes.line(first.span);
        let text = format!("`{}` stands twice, first at {first}, expected each once", address.value);
        notes.note(address.place.span, &address.place.path, text);
        return None;
    }
    let Some(domain) = domains.get(address.value.domain()) else {
        let text = format!("`{}` is in no domain of the file, expected one that is", address.value);
        notes.note(address.place.span, &address.place.path, text);
        return None;
    };
    let stream = stream?;
    // An address mapping cannot cross realms.
    if *stream.value.realm() != domain.realm {
        let text = format!(
            "`{}` is not in realm `{}`, to which `{}` belongs, expected a stream of that",
            stream.value, domain.realm, domain.name
        );
        notes.note(stream.place.span, &stream.place.path, text);
        return None;
    }
    Some(AddressMapping { address: address.value, stream: stream.value })
}
