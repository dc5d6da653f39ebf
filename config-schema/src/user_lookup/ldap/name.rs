//! Names of attributes and of entries.

use std::{fmt, str::FromStr};

use super::filter::is_attribute;

/// Longest name of an attribute, in bytes.
pub const ATTRIBUTE_MAX: usize = 64;
/// Longest distinguished name, in bytes.
pub const DN_MAX: usize = 1_024;

/// The name of an attribute (RFC 4512 §2.5), as it was written; compared without regard to case.
#[derive(Debug, Clone)]
pub struct AttributeName(Box<str>);

/// A text that is no name of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an attribute's name, expected such as `mail`, of at most {ATTRIBUTE_MAX} bytes")]
pub struct AttributeNameError;

impl AttributeName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for AttributeName {
    fn eq(&self, other: &AttributeName) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for AttributeName {}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AttributeName {
    type Err = AttributeNameError;
    fn from_str(text: &str) -> Result<AttributeName, AttributeNameError> {
        // Options say in which form a value comes; we take it as it is.
        let fits = text.len() <= ATTRIBUTE_MAX && is_attribute(text) && !text.contains(';');
        if fits { Ok(AttributeName(text.into())) } else { Err(AttributeNameError) }
    }
}

/// A distinguished name (RFC 4514), as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dn(Box<str>);

/// A text that is no distinguished name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnError {
    /// Longer than [`DN_MAX`].
    #[error("expected at most {DN_MAX} bytes")]
    TooLong,
    /// Not of the form of one.
    #[error("not a distinguished name (RFC 4514), expected such as \"dc=example,dc=com\"")]
    Shape,
}

impl Dn {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Dn {
    type Err = DnError;
    fn from_str(text: &str) -> Result<Dn, DnError> {
        if text.len() > DN_MAX {
            return Err(DnError::TooLong);
        }
        let mut rest = Some(text);
        while let Some(part) = rest {
            rest = after_pair(part).ok_or(DnError::Shape)?;
        }
        Ok(Dn(text.into()))
    }
}

/// Takes one `attribute=value`: what follows its `,` or `+`, or `None` within if it was the last.
fn after_pair(text: &str) -> Option<Option<&str>> {
    let (name, value) = text.split_once('=')?;
    if !is_attribute(name.trim()) || name.contains(';') {
        return None;
    }
    let mut chars = value.char_indices();
    let mut empty = true;
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '+' if empty => return None,
            ',' | '+' => return Some(value.get(at + 1..)),
            // RFC 4514 §2.4: one of these characters, or two hexadecimal digits.
            '\\' => match chars.next()?.1 {
                ' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\' => {}
                first => {
                    let second = chars.next()?.1;
                    (first.is_ascii_hexdigit() && second.is_ascii_hexdigit()).then_some(())?;
                }
            },
            '"' | ';' | '<' | '>' | '\0' => return None,
            _ => {}
        }
        empty = false;
    }
    (!empty).then_some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_compare_without_case() {
        let name = |text: &str| text.parse::<AttributeName>();
        assert_eq!(name("proxyAddresses").unwrap(), name("ProxyAddresses").unwrap());
        assert_ne!(name("mail").unwrap(), name("uid").unwrap());
        for text in ["", "1mail", "ma il", "mail;binary", &"a".repeat(ATTRIBUTE_MAX + 1)] {
            assert_eq!(name(text), Err(AttributeNameError), "{text}");
        }
    }

    #[test]
    fn distinguished_names_have_their_form() {
        for text in [
            "dc=example,dc=com",
            "CN=Doe\\, John,OU=Staff + L=Bonn,DC=example,DC=com",
            "cn=J\\C3\\BCrgen,o=a=b",
            "2.5.4.3=x",
        ] {
            assert_eq!(text.parse::<Dn>().unwrap_or_else(|why| panic!("{text}: {why}")).as_str(), text);
        }
        for text in ["", "example.com", "dc=", "dc=a,", "dc=a,,dc=b", "dc=a;dc=b", "cn=a\\", "cn=a\\zz", "=a"]
        {
            assert_eq!(text.parse::<Dn>(), Err(DnError::Shape), "{text}");
        }
        assert_eq!(format!("dc={}", "a".repeat(DN_MAX)).parse::<Dn>(), Err(DnError::TooLong));
    }
}
