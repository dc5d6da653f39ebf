//! What a server offers in its reply to EHLO.

use crate::reply::Reply;

/// The extensions of a server that matter to us; others are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870).
    pub size: bool,
    /// The largest message in octets, if the server names one.
    pub size_limit: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
}

impl Extensions {
    /// Reads the reply to EHLO: the first line is a greeting, each other one an extension.
    pub(super) fn read(reply: &Reply) -> Self {
        let mut all = Self::default();
        for line in reply.lines().iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => all.pipelining = true,
                "SIZE" => {
                    all.size = true;
                    // RFC 1870 §4: zero says that there is no fixed limit.
                    all.size_limit = words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                }
                "8BITMIME" => all.eight_bit_mime = true,
                "SMTPUTF8" => all.smtputf8 = true,
                "CHUNKING" => all.chunking = true,
                "DSN" => all.dsn = true,
                "STARTTLS" => all.starttls = true,
                _ => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_read_in_any_case() {
        let reply =
            Reply::new(250, "DSN is here the greeting").line("size 1000").line("Pipelining").line("AUTH X");
        let all = Extensions::read(&reply);
        assert_eq!((all.size, all.size_limit, all.pipelining, all.dsn), (true, Some(1000), true, false));
        assert_eq!(Extensions::read(&Reply::new(250, "x").line("SIZE 0")).size_limit, None);
    }
}
