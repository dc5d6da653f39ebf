//! The discovery document (OpenID Connect Discovery 1.0 §3): where things are, and for whom it speaks.

use config_schema::user_lookup::entra_id::WebHost;
use serde::Deserialize;

use super::{Refusal, refusal::shown};

/// Longest document, in bytes; Entra ID's has two kB.
pub const DISCOVERY_MAX: usize = 64 << 10;
/// Longest path of an endpoint.
const TARGET_MAX: usize = 512;

/// Where things are; all on the authority's own host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) authorization: String,
    pub(super) token: String,
    pub(super) keys: String,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    response_types_supported: Vec<String>,
    id_token_signing_alg_values_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Reads the document that `host` gave for `issuer`; `method` is how we authenticate.
pub(super) fn read(body: &[u8], host: &WebHost, issuer: &str, method: &str) -> Result<Endpoints, Refusal> {
    let damaged = |why: &str| Refusal::Discovery(shown(why));
    if body.len() > DISCOVERY_MAX {
        return Err(damaged("too long"));
    }
    let document: Document = serde_json::from_slice(body).map_err(|why| damaged(&why.to_string()))?;
    // OpenID Connect Discovery §4.3: exactly. That of `common` has a template here, and lets any tenant in.
    if document.issuer.contains('{') {
        return Err(Refusal::TemplateIssuer);
    }
    if document.issuer != issuer {
        return Err(Refusal::DiscoveredIssuer(shown(&document.issuer)));
    }
    let has = |list: &[String], word: &str| list.iter().any(|one| one == word);
    if !has(&document.response_types_supported, "code") {
        return Err(damaged("it offers no authorization code"));
    }
    if !has(&document.id_token_signing_alg_values_supported, "RS256") {
        return Err(damaged("it offers no RS256"));
    }
    if document.token_endpoint_auth_methods_supported.is_some_and(|methods| !has(&methods, method)) {
        return Err(damaged("it does not offer the configured way to authenticate"));
    }
    let target = |key: &'static str, url: &str| {
        target_on(url, host).ok_or_else(|| Refusal::Endpoint { key, host: host.clone() })
    };
    Ok(Endpoints {
        authorization: target("authorization_endpoint", &document.authorization_endpoint)?,
        token: target("token_endpoint", &document.token_endpoint)?,
        keys: target("jwks_uri", &document.jwks_uri)?,
    })
}

/// The path of an address on this very host, without query and fragment.
fn target_on(url: &str, host: &WebHost) -> Option<String> {
    let path = url.strip_prefix("https://")?.strip_prefix(&host.to_string())?;
    let known = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    let fits = path.starts_with('/') && path.len() <= TARGET_MAX && path.chars().all(known);
    fits.then(|| path.to_owned())
}
