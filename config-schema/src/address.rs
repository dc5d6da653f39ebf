//! Addresses as they are compared: of all spellings that people take for one mailbox, one.

use std::{fmt, str::FromStr};

use crate::name::DomainName;

/// RFC 5321 §4.5.3.1.1: octets of a local part.
const LOCAL_PART_MAX: usize = 64;

/// An address in lower case, its domain in A-labels, quoted only where it must be: what `key` of an address prints.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey {
    text: Box<str>,
    domain: DomainName,
}

/// A text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address, expected `NAME@DOMAIN` such as \"ann@example.com\"")]
pub struct AddressKeyError;

impl AddressKey {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for AddressKey {
    type Err = AddressKeyError;
    fn from_str(text: &str) -> Result<AddressKey, AddressKeyError> {
        let (local, domain) = match text.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => {
                let (local, domain) = text.split_once('@').ok_or(AddressKeyError)?;
                if !is_dot_string(local) {
                    return Err(AddressKeyError);
                }
                (local.to_owned(), domain)
            }
        };
        let local = written(&local.to_lowercase());
        if local.len() > LOCAL_PART_MAX {
            return Err(AddressKeyError);
        }
        let domain = DomainName::parse(domain).map_err(|_| AddressKeyError)?;
        let text = format!("{local}@{domain}").into_boxed_str();
        Ok(AddressKey { text, domain })
    }
}

/// The content of a quoted local part, and the domain (RFC 5321 §4.1.2).
fn quoted_part(quoted: &str) -> Result<(String, &str), AddressKeyError> {
    let mut content = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        let c = match c {
            '"' => {
                let domain = quoted.get(at + 1..).and_then(|rest| rest.strip_prefix('@'));
                return domain.filter(|_| at > 0).map(|domain| (content, domain)).ok_or(AddressKeyError);
            }
            '\\' => chars.next().map(|(_, c)| c).filter(|c| matches!(c, ' '..='~')).ok_or(AddressKeyError)?,
            c if c.is_control() => return Err(AddressKeyError),
            c => c,
        };
        content.push(c);
    }
    Err(AddressKeyError)
}

/// RFC 5322 §3.2.3, widened by RFC 6531 §3.3 to all of UTF-8 but its controls.
fn is_dot_string(content: &str) -> bool {
    let is_atext = |c: char| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
    };
    content.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// A local part as it is written, quoted where it must be.
fn written(content: &str) -> String {
    if is_dot_string(content) {
        return content.to_owned();
    }
    format!("\"{}\"", content.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_the_same() {
        for (text, key) in [
            ("Ann@Example.COM", "ann@example.com"),
            ("\"Ann\"@example.com.", "ann@example.com"),
            ("\"a b\"@example.com", "\"a b\"@example.com"),
            ("\"a\\\"\\\\@b\"@example.com", "\"a\\\"\\\\@b\"@example.com"),
            ("JÖRG@Bücher.example", "jörg@xn--bcher-kva.example"),
            ("ann+x@example.com", "ann+x@example.com"),
        ] {
            let parsed: AddressKey = text.parse().unwrap();
            assert_eq!(parsed.as_str(), key, "{text}");
            assert_eq!(key.parse(), Ok(parsed), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(LOCAL_PART_MAX + 1));
        for text in [
            "",
            "ann",
            "@example.com",
            "ann@",
            ".a@example.com",
            "a..b@example.com",
            "a b@example.com",
            "a@b@example.com",
            "\"a\"b@example.com",
            "\"\"@example.com",
            "\"a@example.com",
            "\"a\n\"@example.com",
            "ann@[192.0.2.1]",
            "ann@192.0.2.1",
            "Ann <ann@example.com>",
            &long,
        ] {
            assert_eq!(text.parse::<AddressKey>(), Err(AddressKeyError), "{text:?}");
        }
    }
}
