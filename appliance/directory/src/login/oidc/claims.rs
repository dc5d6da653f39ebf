//! What a token says, and whether it says it to us, now, about our tenant.

use aws_lc_rs::constant_time;
use config_schema::Guid;
use serde::Deserialize;
use serde_json::Value;

use super::{Groups, Identity, LEEWAY, LISTED_MAX, Refusal, refusal::shown};
use crate::login::UnixTime;

/// What the token has to fit.
#[derive(Debug)]
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) tenant: Guid,
    pub(super) client: Guid,
    pub(super) nonce: &'e str,
    pub(super) now: UnixTime,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<String>,
    exp: Option<u64>,
    nbf: Option<u64>,
    nonce: Option<String>,
    tid: Option<String>,
    oid: Option<String>,
    idp: Option<String>,
    /// 1: a guest, where the application asks for this claim.
    acct: Option<u64>,
    roles: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    hasgroups: Option<Value>,
    #[serde(rename = "_claim_names")]
    claim_names: Option<Value>,
    name: Option<String>,
    preferred_username: Option<String>,
}

/// Reads the claims of a token whose signature is right.
pub(super) fn check(claims: &[u8], expected: &Expected<'_>) -> Result<Identity, Refusal> {
    let claims: Claims = serde_json::from_slice(claims).map_err(|_| Refusal::Token("no claims"))?;
    let issuer = claims.iss.as_deref().ok_or(Refusal::Missing("iss"))?;
    if issuer != expected.issuer {
        return Err(Refusal::Issuer(shown(issuer)));
    }
    // OpenID Connect Core §3.1.3.7: for us alone. A list would not be read as a string.
    if claims.aud.as_deref().ok_or(Refusal::Missing("aud"))? != expected.client.to_string() {
        return Err(Refusal::Audience);
    }
    let tenant = guid(claims.tid.as_deref(), "tid")?;
    if tenant != expected.tenant {
        return Err(Refusal::Tenant(tenant));
    }
    check_time(&claims, expected.now)?;
    let nonce = claims.nonce.as_deref().ok_or(Refusal::Missing("nonce"))?;
    constant_time::verify_slices_are_equal(nonce.as_bytes(), expected.nonce.as_bytes())
        .map_err(|_| Refusal::Nonce)?;
    let guest = is_guest(&claims, expected);
    let groups = groups(&claims)?;
    let roles = claims.roles.unwrap_or_default();
    if roles.len() > LISTED_MAX {
        return Err(Refusal::TooMany("roles"));
    }
    let shown_as = claims.name.or(claims.preferred_username).map(|name| shown(&name).into());
    Ok(Identity { tenant, object: guid(claims.oid.as_deref(), "oid")?, guest, roles, groups, shown_as })
}

fn guid(text: Option<&str>, claim: &'static str) -> Result<Guid, Refusal> {
    text.and_then(|text| text.parse().ok()).ok_or(Refusal::Missing(claim))
}

fn check_time(claims: &Claims, now: UnixTime) -> Result<(), Refusal> {
    let ends = UnixTime::from_seconds(claims.exp.ok_or(Refusal::Missing("exp"))?);
    if now >= ends.plus(LEEWAY) {
        return Err(Refusal::Expired(now.since(ends)));
    }
    let begins = UnixTime::from_seconds(claims.nbf.unwrap_or(0));
    if begins > now.plus(LEEWAY) {
        return Err(Refusal::NotYet(begins.since(now)));
    }
    Ok(())
}

/// Whether somebody else than the tenant vouched for the person.
fn is_guest(claims: &Claims, expected: &Expected<'_>) -> bool {
    // Of the tenant's own people, the older form may stand here.
    let own =
        |idp: &str| idp == expected.issuer || idp == format!("https://sts.windows.net/{}/", expected.tenant);
    claims.acct == Some(1) || !claims.idp.as_deref().is_none_or(own)
}

fn groups(claims: &Claims) -> Result<Groups, Refusal> {
    let elsewhere = claims.claim_names.as_ref().is_some_and(|names| names.get("groups").is_some());
    let has = matches!(&claims.hasgroups, Some(Value::Bool(true)))
        || claims.hasgroups.as_ref().and_then(Value::as_str) == Some("true");
    match &claims.groups {
        _ if elsewhere || has => Ok(Groups::Overage),
        None => Ok(Groups::None),
        Some(groups) if groups.len() > LISTED_MAX => Err(Refusal::TooMany("groups")),
        // Some applications get names in place of identifiers; a name proves nothing.
        Some(groups) => Ok(Groups::Listed(groups.iter().filter_map(|group| group.parse().ok()).collect())),
    }
}
