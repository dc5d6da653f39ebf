//! What a search finds.

use std::fmt;

/// Attributes of one entry that are kept; we ask for fewer.
pub const ATTRIBUTES_MAX: usize = 64;

/// An entry, with the attributes that were asked for and that it has.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// An entry of these attributes, each with its values.
    pub fn new(dn: String, attributes: Vec<(String, Vec<Vec<u8>>)>) -> Entry {
        Entry { dn, attributes }
    }

    /// The values of an attribute, whatever options its name came with (RFC 4512 §2.5): a range of them, such as
    /// `member;range=0-1499`, counts too.
    pub fn values<'e>(&'e self, name: &str) -> impl Iterator<Item = &'e [u8]> + use<'e> {
        let name = name.to_owned();
        let same =
            move |given: &str| given.split(';').next().is_some_and(|base| base.eq_ignore_ascii_case(&name));
        let found = self.attributes.iter().filter(move |(given, _)| same(given));
        found.flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// The values that are text, in the order of their characters, since a directory's have none.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let mut texts: Vec<&str> =
            self.values(name).filter_map(|value| std::str::from_utf8(value).ok()).collect();
        texts.sort_unstable();
        texts
    }
}

impl fmt::Debug for Entry {
    /// Values are left out: they are of people, and may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.attributes.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Entry").field("dn", &self.dn).field("attributes", &names).finish()
    }
}
