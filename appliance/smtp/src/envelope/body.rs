//! `BODY=`: what octets a message holds (RFC 6152).

use serde::{Deserialize, Serialize};

/// What octets a message holds. BINARYMIME (RFC 3030 §3) is not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BodyKind {
    /// ASCII in lines.
    #[default]
    SevenBit,
    /// Any octets in lines.
    EightBitMime,
}

impl BodyKind {
    /// The value of `BODY=`, in any case of letters.
    pub(super) fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("7BIT") {
            Some(Self::SevenBit)
        } else if value.eq_ignore_ascii_case("8BITMIME") {
            Some(Self::EightBitMime)
        } else {
            None
        }
    }

    /// The value of `BODY=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
        }
    }
}
