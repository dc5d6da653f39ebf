//! The name of a stream: one person's quarantine, settings and rules in a realm.

use std::{fmt, str::FromStr};

use crate::realm::{RealmName, RealmNameError};

/// The stream that is the parent of all others of its realm.
pub const DEFAULT: &str = "default";
/// Longest name of a stream within its realm, in bytes: a whole address fits (RFC 5321 §4.5.3.1).
pub const STREAM_NAME_MAX: usize = 320;

/// A stream, written `realm:stream`. Both halves are compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName {
    realm: RealmName,
    name: Box<str>,
}

/// A text that is no stream's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    /// The half before the colon.
    #[error("the realm is {0}")]
    Realm(#[from] RealmNameError),
    /// The half behind it.
    #[error("not a stream's name, expected 1 to {STREAM_NAME_MAX} bytes without control characters")]
    Name,
    /// There is no colon.
    #[error("not a stream, expected `realm:stream`")]
    Colon,
}

impl StreamName {
    /// A stream of `realm`; the name may hold anything that an address may.
    ///
    /// # Errors
    /// [`StreamNameError::Name`].
    pub fn new(realm: RealmName, name: &str) -> Result<StreamName, StreamNameError> {
        let name = name.trim().to_lowercase();
        if name.is_empty() || name.len() > STREAM_NAME_MAX || name.chars().any(char::is_control) {
            return Err(StreamNameError::Name);
        }
        Ok(StreamName { realm, name: name.into_boxed_str() })
    }

    /// The `default` stream of a realm.
    pub fn default_of(realm: RealmName) -> StreamName {
        StreamName { realm, name: DEFAULT.into() }
    }

    /// The realm.
    pub fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// The name within the realm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the parent of its realm's other streams.
    pub fn is_default(&self) -> bool {
        &*self.name == DEFAULT
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.realm, self.name)
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;
    fn from_str(text: &str) -> Result<StreamName, StreamNameError> {
        let (realm, name) = text.split_once(':').ok_or(StreamNameError::Colon)?;
        StreamName::new(realm.parse()?, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_and_printed_in_lower_case() {
        let stream: StreamName = "Example:Ann:X@Example.COM".parse().unwrap();
        assert_eq!(stream.to_string(), "example:ann:x@example.com");
        assert_eq!((stream.realm().as_str(), stream.name()), ("example", "ann:x@example.com"));
        assert!("base:default".parse::<StreamName>().unwrap().is_default());
        assert_eq!(StreamName::default_of(RealmName::base()).to_string(), "base:default");
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        for (text, why) in [
            ("ann", StreamNameError::Colon),
            (":ann", StreamNameError::Realm(RealmNameError)),
            ("example:", StreamNameError::Name),
            ("example: ", StreamNameError::Name),
            ("example:a\nb", StreamNameError::Name),
        ] {
            assert_eq!(text.parse::<StreamName>(), Err(why), "{text:?}");
        }
        let longest = format!("example:{}", "a".repeat(STREAM_NAME_MAX));
        assert!(longest.parse::<StreamName>().is_ok());
        assert_eq!(format!("{longest}a").parse::<StreamName>(), Err(StreamNameError::Name));
    }
}
