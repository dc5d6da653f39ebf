//! Links from page to page: kept whole, never parsed, and followed only while they stay at Graph.

use std::fmt;

use config_schema::user_lookup::entra_id::WebHost;

/// Longest link, in bytes. Tokens in them are some hundred.
pub const LINK_MAX: usize = 8 << 10;

/// A link that leads to the Graph host by HTTPS.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    whole: Box<str>,
    /// Where path and query begin.
    target: usize,
}

/// A link that is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It leads to someone else, who would be given our token.
    #[error("a link leads away from {0}")]
    Elsewhere(WebHost),
    /// Beyond [`LINK_MAX`].
    #[error("a link is longer than {LINK_MAX} bytes")]
    TooLong,
    /// Characters that no request line has.
    #[error("a link holds characters that no link has")]
    Characters,
}

impl Link {
    /// Takes a link if it stays at `graph`.
    pub fn parse(text: &str, graph: &WebHost) -> Result<Link, LinkError> {
        if text.len() > LINK_MAX {
            return Err(LinkError::TooLong);
        }
        let visible = |c: u8| c.is_ascii_graphic() && c != b'#' && c != b'\\';
        if !text.bytes().all(visible) {
            return Err(LinkError::Characters);
        }
        let elsewhere = || LinkError::Elsewhere(graph.clone());
        let rest = without_prefix(text, "https://").ok_or_else(elsewhere)?;
        let rest = without_prefix(rest, graph.name.as_str()).ok_or_else(elsewhere)?;
        let port = format!(":{}", graph.port);
        let rest = match rest.strip_prefix(port.as_str()) {
            Some(rest) => rest,
            None if graph.port == WebHost::PORT => rest,
            None => return Err(elsewhere()),
        };
        // Anything else here would belong to a longer name, a port or a user's name before another host.
        if !rest.starts_with('/') {
            return Err(elsewhere());
        }
        Ok(Link { whole: text.into(), target: text.len() - rest.len() })
    }

    /// The link as Graph wrote it.
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// Path and query, as they are asked for.
    pub fn target(&self) -> &str {
        self.whole.get(self.target..).unwrap_or("/")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

fn without_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_graph_are_followed() {
        let graph: WebHost = "graph.example".parse().unwrap();
        let odd: WebHost = "graph.example:8443".parse().unwrap();
        let link = Link::parse("https://Graph.example/v1.0/users/delta?$deltatoken=a'b", &graph).unwrap();
        assert_eq!(link.target(), "/v1.0/users/delta?$deltatoken=a'b");
        assert_eq!(Link::parse("https://graph.example:443/x", &graph).unwrap().target(), "/x");
        assert_eq!(Link::parse("https://graph.example:8443/x", &odd).unwrap().target(), "/x");
        for text in [
            "http://graph.example/x",
            "https://graph.example.evil.example/x",
            "https://graph.example@evil.example/x",
            "https://graph.example:443@evil.example/x",
            "https://graph.example:8443/x",
            "https://evil.example/https://graph.example/",
            "https://graph.example",
            "/v1.0/users",
            "",
        ] {
            assert_eq!(Link::parse(text, &graph), Err(LinkError::Elsewhere(graph.clone())), "{text}");
        }
        assert!(Link::parse("https://graph.example/x", &odd).is_err());
        for text in
            ["https://graph.example/x y", "https://graph.example/x\r\nHost: a", "https://graph.example/ü"]
        {
            assert_eq!(Link::parse(text, &graph), Err(LinkError::Characters), "{text}");
        }
        let long = format!("https://graph.example/{}", "x".repeat(LINK_MAX));
        assert_eq!(Link::parse(&long, &graph), Err(LinkError::TooLong));
    }
}
