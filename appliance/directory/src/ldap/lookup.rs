//! The look-up of one address: what is searched for, and what the result means.

use config_schema::user_lookup::ldap::{AttributeName, Filter, Ldap, Test};
use smtp::address::{Address, Host};

use super::{
    client::{Found, Scope, Search, SearchFault},
    recipient::{self, Recipient},
};
use crate::answer::LookupAnswer;

/// Entries that are looked at: one address belongs to one, or to a few by mistake.
pub const MATCHES_MAX: u32 = 16;

/// The search for whom has this address.
pub fn search(ldap: &Ldap, address: &Address) -> Search {
    below_base(ldap, Filter::And(vec![ldap.entries(), has_address(ldap, address)]))
}

/// A search for a few entries.
pub(super) fn below_base(ldap: &Ldap, filter: Filter) -> Search {
    Search {
        base: ldap.base.as_str().to_owned(),
        scope: Scope::Subtree,
        filter,
        attributes: recipient::attributes(ldap),
        size_limit: Some(MATCHES_MAX),
        time_limit: ldap.pace.time_limit.duration(),
        page: None,
        entries_max: MATCHES_MAX as usize,
    }
}

/// Entries that have this address. Its text goes into the filter's tree as it is: nothing in it has a meaning there.
pub(super) fn has_address(ldap: &Ldap, address: &Address) -> Filter {
    let mut items = Vec::new();
    for text in spellings(address) {
        for name in &ldap.address_attributes {
            if name.as_str().eq_ignore_ascii_case("proxyAddresses") {
                // Active Directory is blind to case, other directories need not be.
                items.push(equal(name, format!("smtp:{text}")));
                items.push(equal(name, format!("SMTP:{text}")));
            } else {
                items.push(equal(name, text.clone()));
            }
        }
    }
    Filter::Or(items)
}

pub(super) fn equal(name: &AttributeName, value: String) -> Filter {
    Filter::Item { attribute: name.as_str().to_owned(), test: Test::Equal(value) }
}

/// The address as a directory may have it: the domain in A-labels, and in U-labels where they differ.
fn spellings(address: &Address) -> Vec<String> {
    let mut spellings = vec![address.to_string()];
    if let Host::Name(domain) = address.host() {
        let unicode = domain.to_unicode();
        if unicode != domain.as_str() {
            spellings.push(format!("{}@{unicode}", address.local()));
        }
    }
    spellings
}

/// What the search's result means.
pub fn answer(ldap: &Ldap, address: &Address, result: Result<Found, SearchFault>) -> LookupAnswer {
    let unavailable = |why: String| LookupAnswer::Unavailable { why: why.into_boxed_str() };
    let found = match result {
        Ok(found) => found,
        Err(fault) => return unavailable(fault.to_string()),
    };
    let recipients: Vec<Option<Recipient>> =
        found.entries.iter().map(|entry| Recipient::of(ldap, entry)).collect();
    let unreadable = recipients.iter().any(Option::is_none);
    // A server's idea of what is equal may be wider than ours.
    let matching = recipients.into_iter().flatten().filter(|recipient| recipient.has(address)).collect();
    match foremost(matching, address) {
        Some((recipient, others)) => LookupAnswer::Stream {
            because: because(&recipient, &others).into_boxed_str(),
            stream: recipient.stream,
        },
        None => match found.cut {
            Some(limit) => unavailable(format!("the search was cut short by {limit}")),
            None if unreadable => unavailable(
                "an entry is found, but its addresses may not be read by the account that asks".into(),
            ),
            None => LookupAnswer::Unknown,
        },
    }
}

/// The one whose the address is, and the others that have it too: whose primary address it is comes first, then
/// people before groups, then the entry's name decides.
fn foremost(mut matching: Vec<Recipient>, address: &Address) -> Option<(Recipient, Vec<Recipient>)> {
    matching.sort_by_cached_key(|recipient| {
        (!recipient.is_primary(address), recipient.kind, recipient.dn.to_lowercase())
    });
    let mut matching = matching.into_iter();
    matching.next().map(|first| (first, matching.collect()))
}

fn because(recipient: &Recipient, others: &[Recipient]) -> String {
    match others {
        [] => recipient.to_string(),
        [other] => format!("{recipient}; the address is also that of {other}"),
        [other, rest @ ..] => {
            format!("{recipient}; the address is also that of {other} and {} more", rest.len())
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
