//! The `Received` field (RFC 5321 §4.4).

use std::{fmt, net::IpAddr};

use config_schema::name::DomainName;

use crate::{
    address::{ForwardPath, Host},
    server::{ClientName, Protocol},
};

/// What a `Received` field tells; `Display` writes the whole field with its folding and final CR LF.
#[derive(Debug, Clone)]
pub struct Received<'a> {
    /// What the client called itself.
    pub from: &'a ClientName,
    /// Where the connection really came from: what those who trust us read.
    pub address: IpAddr,
    /// The name of that address, if one was confirmed.
    pub reverse: Option<&'a DomainName>,
    /// Our name.
    pub by: &'a DomainName,
    /// How the message was transmitted.
    pub protocol: Protocol,
    /// What TLS came to, if it was up.
    pub tls: Option<Tls<'a>>,
    /// Our name for the message.
    pub id: &'a str,
    /// The recipient, if there is exactly one: with more, one would learn of the other (RFC 5321 §7.2).
    pub recipient: Option<&'a ForwardPath>,
    /// The time of arrival as RFC 5322 §3.3 writes it, such as `Tue, 24 Nov 2026 01:02:03 +0000`.
    pub date: &'a str,
}

/// What TLS came to.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// Such as `TLSv1.3`.
    pub version: &'a str,
    /// Such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'a str,
}

impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Received: from ")?;
        match self.from {
            ClientName::Host(host) => write!(f, "{host}")?,
            ClientName::Other(text) => atom(f, text)?,
        }
        f.write_str(" (")?;
        if let Some(name) = self.reverse {
            write!(f, "{name} ")?;
        }
        write!(f, "{})\r\n\tby {} with {}", Host::Literal(self.address), self.by, self.protocol.as_str())?;
        if let Some(tls) = self.tls {
            f.write_str(" (")?;
            atom(f, tls.version)?;
            f.write_str(" ")?;
            atom(f, tls.cipher)?;
            f.write_str(")")?;
        }
        f.write_str(" id ")?;
        atom(f, self.id)?;
        if let Some(recipient) = self.recipient {
            write!(f, "\r\n\tfor {recipient}")?;
        }
        f.write_str(";\r\n\t")?;
        date(f, self.date)?;
        f.write_str("\r\n")
    }
}

/// Only what may stand in an atom or a domain; all else becomes `?`, so that no text breaks out of its place.
fn atom(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+=".contains(c);
    text.chars().try_for_each(|c| fmt::Write::write_char(f, if plain(c) { c } else { '?' }))
}

fn date(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ,:+-()".contains(c);
    text.chars().try_for_each(|c| fmt::Write::write_char(f, if plain(c) { c } else { '?' }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn the_true_source_stands_in_the_from_clause() {
        let from = ClientName::Host(Host::parse("mail.example.org").unwrap());
        let (reverse, by) = (name("out.example.org"), name("mx.example.com"));
        let recipient = ForwardPath::parse("<a@example.com>").unwrap();
        let mut received = Received {
            from: &from,
            address: "203.0.113.7".parse().unwrap(),
            reverse: Some(&reverse),
            by: &by,
            protocol: Protocol::Esmtps,
            tls: Some(Tls { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" }),
            id: "4XyZ",
            recipient: Some(&recipient),
            date: "Tue, 24 Nov 2026 01:02:03 +0000",
        };
        assert_eq!(
            received.to_string(),
            "Received: from mail.example.org (out.example.org [203.0.113.7])\r\n\
             \tby mx.example.com with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384) id 4XyZ\r\n\
             \tfor <a@example.com>;\r\n\tTue, 24 Nov 2026 01:02:03 +0000\r\n"
        );
        let other = ClientName::Other("(evil)\t;x".into());
        received = Received { from: &other, address: "2001:db8::1".parse().unwrap(), ..received };
        received = Received { reverse: None, tls: None, recipient: None, id: "a\r\nX: b", ..received };
        assert_eq!(
            received.to_string(),
            "Received: from ?evil???x ([IPv6:2001:db8::1])\r\n\
             \tby mx.example.com with ESMTPS id a??X??b;\r\n\tTue, 24 Nov 2026 01:02:03 +0000\r\n"
        );
    }
}
