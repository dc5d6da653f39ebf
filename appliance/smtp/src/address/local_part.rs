//! The local part: dot-string or quoted string (RFC 5321 §4.1.2), with UTF-8 (RFC 6531 §3.3).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{AddressError, AddressProblem};

/// RFC 5321 §4.5.3.1.1: octets of a local part, in the shortest way of writing it.
pub const LOCAL_PART_MAX: usize = 64;

/// What stands before the `@`, decoded: never empty, never with a control character.
///
/// `%`, `!` and an escaped `@` are characters like others here; nothing ever takes them for routing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Parses the form on the wire, quoted or not.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, rest) = Self::parse_prefix(text)?;
        if rest.is_empty() { Ok(local) } else { Err(AddressProblem::LocalPart.at(text.len() - rest.len())) }
    }

    /// Takes the decoded content, such as `john smith`, which prints as `"john smith"`.
    pub fn from_content(content: &str) -> Result<Self, AddressError> {
        if content.is_empty() {
            return Err(AddressProblem::EmptyLocalPart.at(0));
        }
        if let Some(at) = content.find(char::is_control) {
            return Err(AddressProblem::Control.at(at));
        }
        if printed_len(content) > LOCAL_PART_MAX {
            return Err(AddressProblem::LocalPartTooLong.at(LOCAL_PART_MAX));
        }
        Ok(Self(content.into()))
    }

    /// Parses the local part that `text` begins with and returns what follows it.
    pub(super) fn parse_prefix(text: &str) -> Result<(Self, &str), AddressError> {
        let (content, rest) = match text.strip_prefix('"') {
            Some(quoted) => parse_quoted(text, quoted)?,
            None => {
                let end = text.find(|c| !is_atext(c) && c != '.').unwrap_or(text.len());
                let (atoms, rest) = text.split_at(end);
                check_dots(atoms)?;
                (atoms.to_owned(), rest)
            }
        };
        Ok((Self::from_content(&content)?, rest))
    }

    /// The decoded content. Not fit to be written anywhere unescaped; use `Display` for that.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// The same in lower case, quoted where it must be: for keys, not for sending.
    pub(super) fn to_lowercase(&self) -> LocalPart {
        Self(self.0.to_lowercase().into_boxed_str())
    }
}

/// `quoted` is `text` behind its opening quote.
fn parse_quoted<'a>(text: &'a str, quoted: &'a str) -> Result<(String, &'a str), AddressError> {
    let mut content = String::new();
    let mut chars = quoted.char_indices();
    let offset = text.len() - quoted.len();
    while let Some((at, c)) = chars.next() {
        // A bound on what an escaped text may grow to before it is measured.
        if content.len() > LOCAL_PART_MAX {
            return Err(AddressProblem::LocalPartTooLong.at(offset + at));
        }
        let c = match c {
            '"' => return Ok((content, &quoted[at + 1..])),
            // RFC 5321 §4.1.2: quoted-pairSMTP reaches from space to `~`; no CR, LF or other control.
            '\\' => match chars.next() {
                Some((_, c @ ' '..='~')) => c,
                Some((at, _)) => return Err(AddressProblem::Control.at(offset + at)),
                None => break,
            },
            c => c,
        };
        if c.is_control() {
            return Err(AddressProblem::Control.at(offset + at));
        }
        content.push(c);
    }
    Err(AddressProblem::Unclosed.at(text.len()))
}

/// Dots stand between atoms, never at an end and never in a row.
fn check_dots(atoms: &str) -> Result<(), AddressError> {
    if atoms.is_empty() {
        return Err(AddressProblem::EmptyLocalPart.at(0));
    }
    let mut at = 0;
    for atom in atoms.split('.') {
        if atom.is_empty() {
            return Err(AddressProblem::LocalPart.at(at.min(atoms.len() - 1)));
        }
        at += atom.len() + 1;
    }
    Ok(())
}

/// RFC 5322 §3.2.3, widened by RFC 6531 §3.3 to all of UTF-8 but its controls.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_dot_string(content: &str) -> bool {
    content.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn printed_len(content: &str) -> usize {
    if is_dot_string(content) {
        return content.len();
    }
    2 + content.len() + content.bytes().filter(|b| matches!(b, b'"' | b'\\')).count()
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

impl FromStr for LocalPart {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for LocalPart {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<LocalPart> for String {
    fn from(local: LocalPart) -> String {
        local.to_string()
    }
}
