//! Delivery status parameters: RET, ENVID, NOTIFY, ORCPT (RFC 3461; RFC 6533 for UTF-8 recipients).

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::xtext;

/// RFC 3461 §4.4: octets of an ENVID as it is written.
pub const ENVID_MAX: usize = 100;
/// RFC 3461 §4.2: octets of an ORCPT as it is written.
pub const ORCPT_MAX: usize = 500;

/// `RET=`: what of the message a failure notice returns (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Return {
    /// The whole message.
    Full,
    /// The header section.
    Headers,
}

/// `ENVID=`: the sender's own name for the envelope, decoded: printable ASCII (RFC 3461 §4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvelopeId(Box<str>);

/// `NOTIFY=`: of what the sender wants to hear about this recipient (RFC 3461 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notify {
    /// Of nothing at all.
    Never,
    /// Of each that is set; at least one is.
    On {
        /// `SUCCESS`
        success: bool,
        /// `FAILURE`
        failure: bool,
        /// `DELAY`
        delay: bool,
    },
}

/// `ORCPT=`: the recipient as the first sender wrote it (RFC 3461 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OriginalRecipientText", into = "OriginalRecipientText")]
pub struct OriginalRecipient {
    /// `rfc822`, `utf-8`, `x400`…, in lower case.
    kind: Box<str>,
    /// Decoded; no control characters.
    address: Box<str>,
}

impl Return {
    pub(super) fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("FULL") {
            Some(Self::Full)
        } else if value.eq_ignore_ascii_case("HDRS") {
            Some(Self::Headers)
        } else {
            None
        }
    }

    /// The value of `RET=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

impl EnvelopeId {
    /// Takes the decoded text; `None` unless it is printable ASCII of 1 to [`ENVID_MAX`] octets when encoded.
    pub fn new(text: &str) -> Option<Self> {
        let printable = !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        (printable && xtext::encode(text).len() <= ENVID_MAX).then(|| Self(text.into()))
    }

    /// The value of `ENVID=`.
    pub(super) fn parse(value: &str) -> Option<Self> {
        Self::new(std::str::from_utf8(&xtext::decode(value)?).ok()?)
    }

    /// The decoded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn encode(&self) -> String {
        xtext::encode(&self.0)
    }
}

impl TryFrom<String> for EnvelopeId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("an envelope id is 1 to 100 octets of printable ASCII, encoded as xtext")
    }
}

impl From<EnvelopeId> for String {
    fn from(id: EnvelopeId) -> String {
        id.0.into_string()
    }
}

impl Notify {
    pub(super) fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in value.split(',') {
            let flag = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut success,
                "FAILURE" => &mut failure,
                "DELAY" => &mut delay,
                _ => return None,
            };
            *flag = true;
        }
        Some(Self::On { success, failure, delay })
    }

    pub(super) fn encode(self) -> String {
        let Self::On { success, failure, delay } = self else { return "NEVER".into() };
        let words = [("SUCCESS", success), ("FAILURE", failure), ("DELAY", delay)];
        let set: Vec<_> = words.into_iter().filter(|(_, on)| *on).map(|(word, _)| word).collect();
        set.join(",")
    }

    /// Whether a failure is to be told. Without NOTIFY it is (RFC 3461 §4.1).
    pub const fn on_failure(self) -> bool {
        matches!(self, Self::On { failure: true, .. })
    }

    /// Whether a delay is to be told.
    pub const fn on_delay(self) -> bool {
        matches!(self, Self::On { delay: true, .. })
    }

    /// Whether a success is to be told.
    pub const fn on_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

impl OriginalRecipient {
    /// Takes an address type such as `rfc822` and the decoded address; `None` when either may not stand there.
    pub fn new(kind: &str, address: &str) -> Option<Self> {
        let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let utf8 = kind.eq_ignore_ascii_case("utf-8");
        let fits = !address.is_empty() && !address.contains(char::is_control) && (utf8 || address.is_ascii());
        let recipient = Self { kind: kind.to_ascii_lowercase().into(), address: address.into() };
        (atom && fits && recipient.encode().len() <= ORCPT_MAX).then_some(recipient)
    }

    /// The value of `ORCPT=`.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (kind, encoded) = value.split_once(';')?;
        if value.len() > ORCPT_MAX {
            return None;
        }
        if kind.eq_ignore_ascii_case("utf-8") {
            return Self::new(kind, &decode_utf8_address(encoded)?);
        }
        Self::new(kind, std::str::from_utf8(&xtext::decode(encoded)?).ok()?)
    }

    /// The address type in lower case: `rfc822`, `utf-8`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The decoded address. Not fit to be written into a header unescaped.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// ASCII always, so that it passes through hops without SMTPUTF8.
    pub(super) fn encode(&self) -> String {
        let encoded = if &*self.kind == "utf-8" {
            encode_utf8_address(&self.address)
        } else {
            xtext::encode(&self.address)
        };
        format!("{};{encoded}", self.kind)
    }
}

/// RFC 6533 §3: utf-8-addr-xtext and utf-8-addr-unitext, both with `\x{HEX}` for what may not stand plainly.
fn decode_utf8_address(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(escape) = rest.strip_prefix("\\x{") {
            let (digits, tail) = escape.split_once('}')?;
            let plain = (2..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let point = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?;
            out.push(char::from_u32(point)?);
            rest = tail;
        } else {
            let plain = ('!'..='~').contains(&c) && !matches!(c, '\\' | '+' | '=');
            if !plain && c.is_ascii() {
                return None;
            }
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Some(out)
}

fn encode_utf8_address(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' if !matches!(c, '\\' | '+' | '=') => out.push(c),
            _ => write!(out, "\\x{{{:02X}}}", u32::from(c)).expect("a String takes every write"),
        }
    }
    out
}

/// How an [`OriginalRecipient`] is kept: as it stands behind `ORCPT=`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct OriginalRecipientText(String);

impl TryFrom<OriginalRecipientText> for OriginalRecipient {
    type Error = &'static str;
    fn try_from(text: OriginalRecipientText) -> Result<Self, Self::Error> {
        Self::parse(&text.0).ok_or("an original recipient is an address type, `;` and xtext")
    }
}

impl From<OriginalRecipient> for OriginalRecipientText {
    fn from(recipient: OriginalRecipient) -> Self {
        Self(recipient.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_takes_never_alone_or_a_list() {
        let on = |success, failure, delay| Some(Notify::On { success, failure, delay });
        assert_eq!(Notify::parse("never"), Some(Notify::Never));
        assert_eq!(Notify::parse("SUCCESS,delay"), on(true, false, true));
        for text in ["", "NEVER,SUCCESS", "SUCCESS,", "ALWAYS"] {
            assert_eq!(Notify::parse(text), None, "{text}");
        }
        assert_eq!(on(true, true, true).unwrap().encode(), "SUCCESS,FAILURE,DELAY");
    }

    #[test]
    fn an_envelope_id_is_printable_and_bounded() {
        assert_eq!(EnvelopeId::parse("QQ314159+20a").unwrap().as_str(), "QQ314159 a");
        assert!(EnvelopeId::parse(&"a".repeat(ENVID_MAX)).is_some());
        assert!(EnvelopeId::parse(&"a".repeat(ENVID_MAX + 1)).is_none());
        assert!(EnvelopeId::parse("a+0D+0Ab").is_none(), "CR LF through xtext");
    }

    #[test]
    fn an_original_recipient_survives_the_way_through_us() {
        let plain = OriginalRecipient::parse("rfc822;a+2Bb@example.org").unwrap();
        assert_eq!((plain.kind(), plain.address()), ("rfc822", "a+b@example.org"));
        assert_eq!(plain.encode(), "rfc822;a+2Bb@example.org");
        let escaped = OriginalRecipient::parse("UTF-8;j\\x{FC}rgen@example.org").unwrap();
        assert_eq!(escaped, OriginalRecipient::parse("utf-8;jürgen@example.org").unwrap());
        assert_eq!(OriginalRecipient::parse(&escaped.encode()).unwrap(), escaped);
    }

    #[test]
    fn an_original_recipient_carries_no_line_end_and_is_bounded() {
        for text in [
            "rfc822;a+0D+0Ab",
            "utf-8;a\\x{0D}\\x{0A}",
            "rfc822",
            ";a",
            "rfc822;",
            "r f;a",
            "utf-8;\\x{D800}",
        ] {
            assert_eq!(OriginalRecipient::parse(text), None, "{text}");
        }
        let longest = format!("rfc822;{}", "a".repeat(ORCPT_MAX - 7));
        assert!(OriginalRecipient::parse(&longest).is_some());
        assert!(OriginalRecipient::parse(&format!("{longest}a")).is_none());
    }
}
