//! Between our types and messages on the wire, by the codec of `ldap3_proto`.

use bytes::BytesMut;
use config_schema::{
    Secret,
    user_lookup::ldap::{Filter, Test},
};
use ldap3_lber::{Parser, structure::StructureTag, write::encode_into};
use ldap3_proto::{
    control::LdapControl,
    proto::{
        LdapBindCred, LdapBindRequest, LdapDerefAliases, LdapExtendedRequest, LdapExtendedResponse,
        LdapFilter, LdapMatchingRuleAssertion, LdapMsg, LdapOp, LdapResult, LdapSearchRequest,
        LdapSearchScope, LdapSubstringFilter,
    },
};

use super::{
    client::{Scope, Search},
    entry::{ATTRIBUTES_MAX, Entry},
    frame::DEPTH_MAX,
};

/// RFC 4511 §4.14.
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// RFC 4511 §4.4.1.
const NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";
/// Longest text of a server's that is kept, in characters.
const TEXT_MAX: usize = 300;

/// What a server says of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("result {code} ({}){}", name(*.code), if .text.is_empty() { String::new() } else { format!(": {}", .text) })]
pub struct ServerResult {
    /// RFC 4511 §4.1.9.
    pub code: u32,
    /// The server's own words, without control characters and cut off where they are long.
    pub text: String,
}

/// What a code is called in RFC 4511 §4.1.9, those that a client of ours may meet.
fn name(code: u32) -> &'static str {
    match code {
        0 => "success",
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        19 => "constraintViolation",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        _ => "another error",
    }
}

/// A message of a server's.
#[derive(Debug)]
pub(super) struct Reply {
    /// The request that it belongs to; 0: none.
    pub(super) id: i32,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Bound(ServerResult),
    Entry(Entry),
    Done {
        result: ServerResult,
        cookie: Vec<u8>,
    },
    /// Of a server that wants us to go elsewhere; we do not.
    Reference,
    Extended(ServerResult),
    /// RFC 4511 §4.4.1.
    Disconnection(ServerResult),
    Other,
}

/// Decodes one whole message that `frame` has let pass.
pub(super) fn decode(message: &[u8]) -> Option<Reply> {
    // The parser counts the level below the deepest, too.
    let (_, tag) = Parser::new(DEPTH_MAX + 2).parse(message).ok()?;
    let LdapMsg { msgid: id, op, ctrl } = LdapMsg::try_from(tag).ok()?;
    let body = match op {
        LdapOp::BindResponse(response) => Body::Bound(result(response.res)),
        LdapOp::SearchResultEntry(entry) => {
            let attributes = entry.attributes.into_iter().take(ATTRIBUTES_MAX);
            Body::Entry(Entry::new(entry.dn, attributes.map(|found| (found.atype, found.vals)).collect()))
        }
        LdapOp::SearchResultDone(done) => {
            let cookie = ctrl.into_iter().find_map(|control| match control {
                LdapControl::SimplePagedResults { cookie, .. } => Some(cookie),
                _ => None,
            });
            Body::Done { result: result(done), cookie: cookie.unwrap_or_default() }
        }
        LdapOp::SearchResultReference(_) => Body::Reference,
        LdapOp::ExtendedResponse(LdapExtendedResponse { res, name, .. }) => {
            let notice = name.as_deref() == Some(NOTICE_OF_DISCONNECTION);
            if notice { Body::Disconnection(result(res)) } else { Body::Extended(result(res)) }
        }
        _ => Body::Other,
    };
    Some(Reply { id, body })
}

fn result(result: LdapResult) -> ServerResult {
    let code = u32::try_from(result.code as i64).unwrap_or(u32::MAX);
    let text = result.message.trim_end_matches('\0').trim();
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect();
    ServerResult { code, text }
}

fn encode(id: i32, op: LdapOp, controls: Vec<LdapControl>, into: &mut BytesMut) {
    let tag = StructureTag::from(LdapMsg { msgid: id, op, ctrl: controls });
    encode_into(into, tag).expect("writing to memory does not fail");
}

pub(super) fn start_tls(id: i32, into: &mut BytesMut) {
    let request = LdapExtendedRequest { name: START_TLS.to_owned(), value: None };
    encode(id, LdapOp::ExtendedRequest(request), Vec::new(), into);
}

pub(super) fn bind(id: i32, name: &str, password: &Secret, into: &mut BytesMut) {
    let cred = LdapBindCred::Simple(password.expose().to_owned());
    encode(
        id,
        LdapOp::BindRequest(LdapBindRequest { version: 3, dn: name.to_owned(), cred }),
        Vec::new(),
        into,
    );
}

pub(super) fn abandon(id: i32, abandoned: i32, into: &mut BytesMut) {
    encode(id, LdapOp::AbandonRequest(abandoned), Vec::new(), into);
}

pub(super) fn unbind(id: i32, into: &mut BytesMut) {
    encode(id, LdapOp::UnbindRequest, Vec::new(), into);
}

pub(super) fn search(id: i32, search: &Search, into: &mut BytesMut) {
    let controls = search.page.as_ref().map(|page| {
        let cookie = page.cookie.clone();
        LdapControl::SimplePagedResults { size: i64::from(page.size), cookie }
    });
    let number = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    let request = LdapSearchRequest {
        base: search.base.clone(),
        scope: match search.scope {
            Scope::Base => LdapSearchScope::Base,
            Scope::Subtree => LdapSearchScope::Subtree,
        },
        aliases: LdapDerefAliases::Never,
        sizelimit: number(search.size_limit.map_or(0, u64::from)),
        timelimit: number(search.time_limit.as_secs().max(1)),
        typesonly: false,
        filter: filter(&search.filter),
        attrs: search.attributes.clone(),
    };
    encode(id, LdapOp::SearchRequest(request), controls.into_iter().collect(), into);
}

/// The same filter as the codec knows it. Values go into fields of their own, so none can end its filter.
fn filter(from: &Filter) -> LdapFilter {
    match from {
        Filter::And(filters) => LdapFilter::And(filters.iter().map(filter).collect()),
        Filter::Or(filters) => LdapFilter::Or(filters.iter().map(filter).collect()),
        Filter::Not(not) => LdapFilter::Not(Box::new(filter(not))),
        Filter::Extensible { attribute, dn, rule, value } => {
            LdapFilter::Extensible(LdapMatchingRuleAssertion {
                matching_rule: rule.clone(),
                type_: attribute.clone(),
                match_value: value.clone(),
                dn_attributes: *dn,
            })
        }
        Filter::Item { attribute, test } => {
            let name = attribute.clone();
            match test {
                Test::Present => LdapFilter::Present(name),
                Test::Equal(value) => LdapFilter::Equality(name, value.clone()),
                Test::Approximate(value) => LdapFilter::Approx(name, value.clone()),
                Test::GreaterOrEqual(value) => LdapFilter::GreaterOrEqual(name, value.clone()),
                Test::LessOrEqual(value) => LdapFilter::LessOrEqual(name, value.clone()),
                Test::Substrings { initial, any, last } => {
                    let parts = LdapSubstringFilter {
                        initial: initial.clone(),
                        any: any.clone(),
                        final_: last.clone(),
                    };
                    LdapFilter::Substring(name, parts)
                }
            }
        }
    }
}
