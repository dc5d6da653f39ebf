//! A message that was taken, and what the mail system makes of it.

use std::net::{IpAddr, SocketAddr};

use super::organisation::domain;

/// A message that was answered with 250.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who brought it.
    pub peer: SocketAddr,
    /// Whether it came over TLS.
    pub tls: bool,
    /// The names in the certificate that the client showed, if it did.
    pub certificate_names: Vec<String>,
    /// The name in EHLO or HELO.
    pub helo: String,
    /// MAIL FROM without the angle brackets; empty for the null sender.
    pub sender: String,
    /// RCPT TO without the angle brackets, in order.
    pub recipients: Vec<String>,
    /// Header and body as sent, without dot-stuffing.
    pub message: Vec<u8>,
}

impl Received {
    /// The value of the first header field of this name, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        fields(&self.message).find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The message as it is stored: with what Enhanced Filtering for Connectors found when it looked past the
    /// gateway, by the gateway's `Received` field.
    pub fn stored(&self) -> Vec<u8> {
        let Some(source) = self.header("Received").as_deref().and_then(source) else {
            return self.message.clone();
        };
        let field = format!(
            "X-MS-Exchange-SkipListedInternetSender: ip=[{source}];domain={}\r\n",
            domain(&self.sender)
        );
        [field.as_bytes(), &self.message].concat()
    }

    /// How often it was received, as its header says.
    pub(super) fn hops(&self) -> usize {
        fields(&self.message).filter(|(field, _)| field.eq_ignore_ascii_case("Received")).count()
    }
}

/// The fields of the header section, unfolded.
fn fields(message: &[u8]) -> impl Iterator<Item = (String, String)> {
    let text = String::from_utf8_lossy(message);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let lines: Vec<String> = head.split("\r\n").map(ToOwned::to_owned).collect();
    lines.into_iter().filter_map(|line| {
        let (field, value) = line.split_once(':')?;
        Some((field.trim().to_owned(), value.trim().to_owned()))
    })
}

/// The source in the from-clause: `from helo (name [203.0.113.7])` or `from helo ([203.0.113.7])`.
fn source(received: &str) -> Option<IpAddr> {
    let clause = received.split(" by ").next()?;
    let (_, rest) = clause.split_once('[')?;
    let (address, _) = rest.split_once(']')?;
    address.strip_prefix("IPv6:").unwrap_or(address).parse().ok()
}
