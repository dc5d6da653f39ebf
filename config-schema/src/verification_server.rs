//! `[[verification-server]]`: who is asked about the recipients of domains that name no host themselves.

use std::collections::HashMap;

use crate::{
    domain::{Around, Domain},
    mistake::Notes,
    name::DomainName,
    reader::{Place, Section},
    route::{self, Route},
};

/// A host that is asked whether a recipient exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationServer {
    /// The domain that it is asked about; `None`, written `*`: each that has no other.
    pub domain: Option<DomainName>,
    /// The host.
    pub server: Route,
}

/// What stands for every domain.
pub(crate) const EVERY: &str = "*";

/// Reads them all; `domains` are those of the same file.
pub(crate) fn read(
    sections: Vec<Section<'_>>,
    domains: &[Domain],
    around: &Around<'_>,
    notes: &mut Notes<'_>,
) -> Vec<VerificationServer> {
    let own: HashMap<&DomainName, bool> =
        domains.iter().map(|domain| (&domain.name, domain.verification_server.is_some())).collect();
    let mut seen: HashMap<Option<DomainName>, Place> = HashMap::new();
    let mut servers = Vec::new();
    for mut section in sections {
        let domain = domain(&mut section, &own, &mut seen, notes);
        if !section.has("server") {
            section.missing("server", "HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT", notes);
        }
        let server = section.parsed::<Route>("server", notes);
        if let Some(server) = &server {
            route::check(server, around.network, notes);
        }
        section.finish(notes);
        if let (Some(domain), Some(server)) = (domain, server) {
            servers.push(VerificationServer { domain, server: server.value });
        }
    }
    servers
}

fn domain(
    section: &mut Section<'_>,
    own: &HashMap<&DomainName, bool>,
    seen: &mut HashMap<Option<DomainName>, Place>,
    notes: &mut Notes<'_>,
) -> Option<Option<DomainName>> {
    if !section.has("domain") {
        section.missing("domain", "a domain of the file, or \"*\" for all that have no other", notes);
    }
    let found = section.string("domain", notes)?;
    let domain = if found.value == EVERY { None } else { DomainName::parse(&found.value).ok() };
    let wrong = match &domain {
        None if found.value == EVERY => None,
        None => Some("is no domain, expected a domain of the file or \"*\""),
        Some(domain) => match own.get(domain) {
            None => Some("is no domain of the file, expected one that is, or \"*\""),
            Some(true) => Some("has a `verification-server` already, expected one of the two"),
            Some(false) => None,
        },
    };
    if let Some(wrong) = wrong {
        notes.note(found.place.span, &found.place.path, format_args!("`{}` {wrong}", found.value));
        return None;
    }
    if let Some(first) = seen.insert(domain.clone(), found.place.clone()) {
        let first = notes.line(first.span);
        let text = format!("`{}` stands twice, first at {first}, expected each once", found.value);
        notes.note(found.place.span, &found.place.path, text);
        return None;
    }
    Some(domain)
}
