//! Names of the Domain Name System, parsed once: lower case, A-labels, no trailing dot.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A fully qualified domain name as it is compared and sent: lower-case A-labels without the trailing dot.
///
/// IDN input is mapped by UTS 46; `Display` prints the A-labels, [`DomainName::to_unicode`] the form for people.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(Box<str>);

/// Why a text is no domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainNameError {
    /// Nothing is left without the trailing dot.
    #[error("the name is empty")]
    Empty,
    /// Beyond [`DomainName::MAX`].
    #[error("the name is longer than {} octets", DomainName::MAX)]
    TooLong,
    /// The n-th label, counted from 1.
    #[error("the label `{}` is empty or longer than 63 octets", .0)]
    Label(usize),
    /// A character that no host name has.
    #[error("a label may hold letters, digits, `-` and `_`, and neither begin nor end with `-`")]
    Character,
    /// UTS 46 has no mapping for it.
    #[error("the internationalised name cannot be mapped to A-labels")]
    Idna,
    /// The last label is all digits.
    #[error("an IP address stands where a name was expected")]
    Address,
}

impl DomainName {
    /// RFC 1035 §3.1: 255 octets on the wire, which are 253 in text without the trailing dot.
    pub const MAX: usize = 253;
    /// RFC 1035 §2.3.4.
    pub const LABEL_MAX: usize = 63;

    /// Parses a name in ASCII or Unicode; one trailing dot is taken off.
    pub fn parse(text: &str) -> Result<Self, DomainNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(DomainNameError::Empty);
        }
        // A bound before mapping, so that IDNA never works on a long hostile text.
        if text.len() > 4 * Self::MAX {
            return Err(DomainNameError::TooLong);
        }
        let ascii = if text.is_ascii() && !text.to_ascii_lowercase().contains("xn--") {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii(text).map_err(|_| DomainNameError::Idna)?
        };
        Self::check(&ascii)?;
        Ok(Self(ascii.into_boxed_str()))
    }

    fn check(ascii: &str) -> Result<(), DomainNameError> {
        if ascii.len() > Self::MAX {
            return Err(DomainNameError::TooLong);
        }
        for (at, label) in ascii.split('.').enumerate() {
            if label.is_empty() || label.len() > Self::LABEL_MAX {
                return Err(DomainNameError::Label(at + 1));
            }
            let known = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
            if !label.bytes().all(known) || label.starts_with('-') || label.ends_with('-') {
                return Err(DomainNameError::Character);
            }
        }
        // RFC 3696 §2: the last label of a host name is never all digits, so that names and addresses differ.
        let last = ascii.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|c| c.is_ascii_digit()) {
            return Err(DomainNameError::Address);
        }
        Ok(())
    }

    /// The name in lower-case A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as people read it, with U-labels.
    pub fn to_unicode(&self) -> String {
        idna::domain_to_unicode(&self.0).0
    }

    /// Whether this name is `other` or lies below it.
    pub fn is_within(&self, other: &DomainName) -> bool {
        match self.0.strip_suffix(&*other.0) {
            Some("") => true,
            Some(rest) => rest.ends_with('.'),
            None => false,
        }
    }

    /// How many labels the name has.
    pub fn labels(&self) -> usize {
        self.0.split('.').count()
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainName({})", self.0)
    }
}

impl FromStr for DomainName {
    type Err = DomainNameError;
    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DomainName {
    type Error = DomainNameError;
    fn try_from(text: String) -> Result<Self, DomainNameError> {
        Self::parse(&text)
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> String {
        name.0.into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_in_lower_case_a_labels() {
        assert_eq!(DomainName::parse("Example.COM.").unwrap().as_str(), "example.com");
        assert_eq!(DomainName::parse("Bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
        assert_eq!(DomainName::parse("xn--bcher-kva.example").unwrap().to_unicode(), "bücher.example");
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        use DomainNameError::*;
        for (text, why) in [
            ("", Empty),
            (".", Empty),
            ("a..b", Label(2)),
            ("-a.example", Character),
            ("a b.example", Character),
            ("192.0.2.1", Address),
        ] {
            assert_eq!(DomainName::parse(text), Err(why), "{text}");
        }
        assert_eq!(DomainName::parse(&format!("{}.example", "a".repeat(64))), Err(Label(1)));
        let long = vec!["a".repeat(60); 5].join(".");
        assert_eq!(DomainName::parse(&long), Err(TooLong));
        assert!(DomainName::parse(&long[..DomainName::MAX - 9]).is_ok());
    }

    #[test]
    fn within_counts_whole_labels() {
        let name = |t| DomainName::parse(t).unwrap();
        assert!(name("mx.example.com").is_within(&name("example.com")));
        assert!(!name("mxexample.com").is_within(&name("example.com")));
    }
}
