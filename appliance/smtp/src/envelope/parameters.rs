//! The parameter lists behind the paths (RFC 5321 §4.1.2 `Mail-parameters`, `Rcpt-parameters`).

use serde::{Deserialize, Serialize};

use super::{BodyKind, EnvelopeId, Notify, OriginalRecipient, Return};

/// What a sender says about a message with `MAIL FROM`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MailParameters {
    /// `SIZE=`: octets of the message, as the sender believes (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=`
    pub body: BodyKind,
    /// `SMTPUTF8`: addresses or header fields may hold UTF-8 (RFC 6531).
    pub smtputf8: bool,
    /// `RET=`
    pub ret: Option<Return>,
    /// `ENVID=`
    pub envid: Option<EnvelopeId>,
}

/// What a sender says about a recipient with `RCPT TO`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RcptParameters {
    /// `NOTIFY=`; absent means failures, and delays as we see fit.
    pub notify: Option<Notify>,
    /// `ORCPT=`
    pub orcpt: Option<OriginalRecipient>,
}

/// Why a parameter list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// No extension that was offered knows it: 555 5.5.4 (RFC 5321 §4.1.1.11).
    #[error("unknown parameter {0}")]
    Unknown(&'static str),
    /// Its value is missing, malformed or out of bounds: 501 5.5.4.
    #[error("bad value of {0}")]
    Value(&'static str),
    /// It stands there twice: 501 5.5.4.
    #[error("{0} stands there twice")]
    Twice(&'static str),
    /// The list is not `keyword=value` in single spaces: 501 5.5.4.
    #[error("malformed parameter list")]
    Malformed,
}

impl MailParameters {
    /// Parses what follows the path, with its leading space.
    pub fn parse(text: &str) -> Result<Self, ParameterError> {
        let mut all = Self::default();
        let mut seen = Seen::default();
        for parameter in split(text)? {
            let (keyword, value) = parameter;
            match keyword.to_ascii_uppercase().as_str() {
                "SIZE" => all.size = Some(seen.once("SIZE", value.and_then(parse_size))?),
                "BODY" => all.body = seen.once("BODY", value.and_then(BodyKind::parse))?,
                "SMTPUTF8" => all.smtputf8 = seen.once("SMTPUTF8", value.is_none().then_some(true))?,
                "RET" => all.ret = Some(seen.once("RET", value.and_then(Return::parse))?),
                "ENVID" => all.envid = Some(seen.once("ENVID", value.and_then(EnvelopeId::parse))?),
                _ => return Err(ParameterError::Unknown("of MAIL")),
            }
        }
        Ok(all)
    }
}

impl RcptParameters {
    /// Parses what follows the path, with its leading space.
    pub fn parse(text: &str) -> Result<Self, ParameterError> {
        let mut all = Self::default();
        let mut seen = Seen::default();
        for (keyword, value) in split(text)? {
            match keyword.to_ascii_uppercase().as_str() {
                "NOTIFY" => all.notify = Some(seen.once("NOTIFY", value.and_then(Notify::parse))?),
                "ORCPT" => all.orcpt = Some(seen.once("ORCPT", value.and_then(OriginalRecipient::parse))?),
                _ => return Err(ParameterError::Unknown("of RCPT")),
            }
        }
        Ok(all)
    }

    /// As it stands behind the path, with its leading space; empty when there is nothing to say.
    pub(crate) fn encode(&self) -> String {
        let mut out = String::new();
        if let Some(notify) = self.notify {
            out.push_str(" NOTIFY=");
            out.push_str(&notify.encode());
        }
        if let Some(orcpt) = &self.orcpt {
            out.push_str(" ORCPT=");
            out.push_str(&orcpt.encode());
        }
        out
    }
}

impl MailParameters {
    /// RET and ENVID as they stand behind the path, with their leading space.
    pub(crate) fn encode_dsn(&self) -> String {
        let mut out = String::new();
        if let Some(ret) = self.ret {
            out.push_str(" RET=");
            out.push_str(ret.as_str());
        }
        if let Some(envid) = &self.envid {
            out.push_str(" ENVID=");
            out.push_str(&envid.encode());
        }
        out
    }
}

/// Which keywords stood there already; there are never more than the match above knows.
#[derive(Default)]
struct Seen(Vec<&'static str>);

impl Seen {
    fn once<T>(&mut self, keyword: &'static str, value: Option<T>) -> Result<T, ParameterError> {
        if self.0.contains(&keyword) {
            return Err(ParameterError::Twice(keyword));
        }
        self.0.push(keyword);
        value.ok_or(ParameterError::Value(keyword))
    }
}

/// RFC 1870 §3: up to 20 digits. A value beyond 64 bits is larger than any limit.
fn parse_size(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

/// `keyword[=value]`, each behind spaces. More spaces than one are seen in the wild and harmless.
fn split(text: &str) -> Result<Vec<(&str, Option<&str>)>, ParameterError> {
    if !text.is_empty() && !text.starts_with(' ') {
        return Err(ParameterError::Malformed);
    }
    let parameter = |word: &'_ str| -> Result<(), ParameterError> {
        let keyword = word.split('=').next().unwrap_or_default();
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if keyword.is_empty() || !keyword.bytes().all(known) {
            Err(ParameterError::Malformed)
        } else {
            Ok(())
        }
    };
    let mut all = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        parameter(word)?;
        all.push(match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parameters_of_mail_are_read() {
        let all = MailParameters::parse(" SIZE=12 body=8bitmime SMTPUTF8 RET=hdrs ENVID=a+20b").unwrap();
        assert_eq!((all.size, all.body, all.smtputf8), (Some(12), BodyKind::EightBitMime, true));
        assert_eq!(all.ret, Some(Return::Headers));
        assert_eq!(all.encode_dsn(), " RET=HDRS ENVID=a+20b");
    }

    #[test]
    fn each_mistake_has_its_error() {
        use ParameterError::*;
        for (text, error) in [
            (" SIZE", Value("SIZE")),
            (" SIZE=1x", Value("SIZE")),
            (" SIZE=1 SIZE=2", Twice("SIZE")),
            (" BODY=BINARYMIME", Value("BODY")),
            (" SMTPUTF8=yes", Value("SMTPUTF8")),
            (" AUTH=<>", Unknown("of MAIL")),
            (" REQUIRETLS", Unknown("of MAIL")),
            ("SIZE=1", Malformed),
            (" =1", Malformed),
        ] {
            assert_eq!(MailParameters::parse(text), Err(error), "{text}");
        }
        assert_eq!(MailParameters::parse(" SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
        assert_eq!(RcptParameters::parse(" NOTIFY=NEVER NOTIFY=DELAY"), Err(Twice("NOTIFY")));
    }

    #[test]
    fn parameters_of_rcpt_are_printed_as_they_were() {
        let text = " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@example.org";
        assert_eq!(RcptParameters::parse(text).unwrap().encode(), text);
    }
}
