//! Questions to web services and their answers, as plain values: the gateway carries them.

use std::fmt;

use config_schema::{Secret, user_lookup::entra_id::WebHost};

/// A question by HTTPS.
pub struct Request {
    /// Who is asked.
    pub host: WebHost,
    /// Path and query, as they are sent (RFC 9112 §3.2.1).
    pub target: String,
    /// Sent as `Authorization: Bearer …` (RFC 6750 §2.1).
    pub bearer: Option<Secret>,
    /// Further fields; `Host` and the lengths are the carrier's affair.
    pub headers: Vec<(&'static str, &'static str)>,
    /// With a body it is POST, else GET.
    pub body: Option<Body>,
    /// The longest answer that is read.
    pub answer_max: usize,
}

/// What is posted. It may hold a secret.
pub struct Body {
    /// Its media type.
    pub kind: &'static str,
    /// Its content.
    pub content: Secret,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.body.is_some() { "POST" } else { "GET" };
        write!(f, "{method} https://{}{}", self.host, self.target)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (…)", self.kind)
    }
}

/// The answer, whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// The value of `Retry-After`, as it stood there.
    pub retry_after: Option<Box<str>>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection was made.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Who was asked.
        host: WebHost,
        /// Why.
        why: Box<str>,
    },
    /// Encryption was not agreed upon, or the certificate is not to be trusted.
    #[error("no TLS with {host}: {why}")]
    Tls {
        /// Who was asked.
        host: WebHost,
        /// Why.
        why: Box<str>,
    },
    /// The answer did not come in time.
    #[error("no answer within {0} s")]
    Timeout(u64),
    /// The connection ended within the answer, or what came is no HTTP.
    #[error("the answer broke off: {0}")]
    Broken(Box<str>),
    /// Longer than was asked for.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// This appliance could not ask.
    #[error("this appliance cannot ask: {0}")]
    Ours(Box<str>),
}

/// Writes `text` so that it may stand in a query or a form, whatever it holds (RFC 3986 §2.1).
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        // RFC 3986 §2.3: unreserved characters.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_place_in_a_query() {
        assert_eq!(percent_encode("o'neil+x@a.example&b=ü"), "o%27neil%2Bx%40a.example%26b%3D%C3%BC");
    }

    #[test]
    fn no_secret_is_printed() {
        let content = Secret::new("client_secret=hunter2");
        let request = Request {
            host: "login.example".parse().unwrap(),
            target: "/token".into(),
            bearer: Some(Secret::new("hunter2")),
            headers: Vec::new(),
            body: Some(Body { kind: "text/plain", content }),
            answer_max: 1,
        };
        assert_eq!(format!("{request:?}"), "POST https://login.example/token");
        assert_eq!(format!("{:?}", request.body), "Some(text/plain (…))");
    }
}
