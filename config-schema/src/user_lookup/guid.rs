//! Identifiers of Entra ID: tenants, applications and the objects of a directory.

use std::{fmt, str::FromStr};

/// A GUID as Microsoft writes it: five groups of hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(u128);

/// A text that is no GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuidError {
    /// Not of its form.
    #[error("not a GUID, expected such as \"2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5f\"")]
    Form,
    /// A word by which Microsoft lets people and programs of any tenant in.
    #[error("stands for any tenant, expected the GUID of your own")]
    AnyTenant,
}

/// Authorities that stand for no tenant.
const NO_TENANT: [&str; 3] = ["common", "organizations", "consumers"];

/// Where the hyphens stand (RFC 9562 §4).
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Guid {
    /// From its 16 octets in the order of the text.
    pub const fn from_bytes(bytes: [u8; 16]) -> Guid {
        Guid(u128::from_be_bytes(bytes))
    }

    /// Its 16 octets in the order of the text.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl FromStr for Guid {
    type Err = GuidError;
    fn from_str(text: &str) -> Result<Guid, GuidError> {
        if NO_TENANT.contains(&text.to_ascii_lowercase().as_str()) {
            return Err(GuidError::AnyTenant);
        }
        if text.len() != 36 {
            return Err(GuidError::Form);
        }
        let mut bits = 0;
        for (at, c) in text.chars().enumerate() {
            if HYPHENS.contains(&at) {
                if c != '-' {
                    return Err(GuidError::Form);
                }
                continue;
            }
            bits = bits << 4 | u128::from(c.to_digit(16).ok_or(GuidError::Form)?);
        }
        Ok(Guid(bits))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        for (at, c) in digits.chars().enumerate() {
            if [8, 12, 16, 20].contains(&at) {
                f.write_str("-")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_read_in_either_case_and_printed_in_lower() {
        let text = "2F1D6C0E-8d3a-4b0f-9c55-0a1b2c3d4e5f";
        let guid: Guid = text.parse().unwrap();
        assert_eq!(guid.to_string(), text.to_ascii_lowercase());
        assert_eq!(Guid::from_bytes(guid.to_bytes()), guid);
        assert_eq!("Common".parse::<Guid>(), Err(GuidError::AnyTenant));
        for text in ["", "2f1d6c0e8d3a4b0f9c550a1b2c3d4e5f", "2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e5g", "ä"] {
            assert_eq!(text.parse::<Guid>(), Err(GuidError::Form), "{text}");
        }
    }
}
