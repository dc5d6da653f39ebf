//! Reading an answer: what in it is about the question, and what is not.

use std::{net::IpAddr, time::Duration};

use config_schema::name::DomainName;
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record},
};

use super::question::{Asked, Question};

/// Records kept of one answer. A TCP answer could hold 4,000.
pub(super) const RECORDS_MAX: usize = 128;
/// Links of a CNAME chain followed; longer ones are loops or attacks.
pub(super) const CNAME_MAX: usize = 8;
/// A day: nothing is remembered longer, whatever its TTL says.
const TTL_MAX: Duration = Duration::from_secs(86_400);
/// RFC 2308 §5 suggests one to three hours at most for "there is none"; new domains should not wait so long.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(900);
/// For "there is none" without an SOA record.
const NEGATIVE_TTL_DEFAULT: Duration = Duration::from_secs(60);

/// One exchange of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    pub preference: u16,
    /// `None` is the root: the null MX of RFC 7505.
    pub exchange: Option<DomainName>,
}

/// A TLSA record, RFC 6698 §2.1; the numbers are the registry's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

/// A record's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Address(IpAddr),
    Mx(Mx),
    Tlsa(Tlsa),
    Name(DomainName),
}

/// What the resolver says about the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(super) outcome: Outcome,
    /// The resolver says that it validated this by DNSSEC (the AD bit).
    pub(super) authentic: bool,
    pub(super) ttl: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `canonical` is the name at the end of the CNAME chain.
    Found {
        canonical: DomainName,
        values: Vec<Value>,
    },
    NoSuchName,
    NoData,
}

/// What a packet turned out to be.
#[derive(Debug)]
pub(super) enum Reading {
    /// Not an answer to what was asked: another's, forged, or garbage.
    NotOurs,
    /// All fits except the letters' case: forged, or from a resolver that does not keep it. Ask by TCP.
    CaseChanged,
    Truncated,
    /// An answer that refuses to answer; `plain` when the same question without EDNS may do better.
    Refused {
        reason: &'static str,
        plain: bool,
    },
    Answer(Answer),
}

/// Reads `packet` as an answer to `asked`.
pub(super) fn read(packet: &[u8], question: &Question, asked: &Asked) -> Reading {
    let Ok(message) = Message::from_vec(packet) else {
        return Reading::NotOurs;
    };
    match same_question(&message, question, asked) {
        Some(true) => {}
        Some(false) => return Reading::CaseChanged,
        None => return Reading::NotOurs,
    }
    if message.metadata.truncation {
        return Reading::Truncated;
    }
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => interpret(&message, question, &asked.name),
        ResponseCode::FormErr => {
            Reading::Refused { reason: "the resolver calls the question malformed", plain: true }
        }
        ResponseCode::NotImp => {
            Reading::Refused { reason: "the resolver does not know the question", plain: true }
        }
        ResponseCode::BADVERS => Reading::Refused { reason: "the resolver does not know EDNS", plain: true },
        ResponseCode::ServFail => {
            Reading::Refused { reason: "the resolver found no answer (SERVFAIL)", plain: false }
        }
        ResponseCode::Refused => {
            Reading::Refused { reason: "the resolver refuses to answer us", plain: false }
        }
        _ => Reading::Refused { reason: "the resolver answers with an unknown code", plain: false },
    }
}

/// Whether `message` repeats the question; `Some(false)` when only the letters' case differs.
fn same_question(message: &Message, question: &Question, asked: &Asked) -> Option<bool> {
    let head = &message.metadata;
    if head.id != asked.id || head.message_type != MessageType::Response || head.op_code != OpCode::Query {
        return None;
    }
    // RFC 5452 §3: the question of the answer is compared whole.
    let [echo] = message.queries.as_slice() else { return None };
    let same = echo.query_type == question.kind.record_type() && echo.query_class == DNSClass::IN;
    if !same || echo.name != asked.name {
        return None;
    }
    Some(echo.name.eq_case(&asked.name))
}

fn interpret(message: &Message, question: &Question, asked: &Name) -> Reading {
    let Some((canonical, chain_ttl)) = follow(message, asked) else {
        return Reading::Refused { reason: "the name's aliases (CNAME) form a loop", plain: false };
    };
    let wanted = question.kind.record_type();
    // Records for any other name are none of our question: ignored, so that no answer plants them.
    let of_it = |r: &&Record| r.name == canonical && r.record_type() == wanted && r.dns_class == DNSClass::IN;
    let records: Vec<&Record> = message.answers.iter().filter(of_it).take(RECORDS_MAX).collect();
    let authentic = message.metadata.authentic_data;
    let values: Vec<Value> = records.iter().filter_map(|r| value(&r.data)).collect();
    let Some(name) = domain_name(&canonical).filter(|_| !values.is_empty()) else {
        let gone = message.metadata.response_code == ResponseCode::NXDomain;
        let outcome = if gone { Outcome::NoSuchName } else { Outcome::NoData };
        return Reading::Answer(Answer { outcome, authentic, ttl: negative_ttl(message) });
    };
    let ttl = records.iter().map(|r| r.ttl).min().unwrap_or(0).min(chain_ttl);
    let ttl = Duration::from_secs(ttl.into()).min(TTL_MAX);
    Reading::Answer(Answer { outcome: Outcome::Found { canonical: name, values }, authentic, ttl })
}

/// The end of the alias chain that starts at `asked`, and the shortest TTL on the way; `None` for a loop.
fn follow(message: &Message, asked: &Name) -> Option<(Name, u32)> {
    let mut at = asked.clone();
    let mut ttl = u32::MAX;
    for _ in 0..=CNAME_MAX {
        let alias = message.answers.iter().find_map(|r| match &r.data {
            RData::CNAME(target) if r.name == at => Some((target.0.clone(), r.ttl)),
            _ => None,
        });
        let Some((next, link_ttl)) = alias else {
            return Some((at, ttl));
        };
        ttl = ttl.min(link_ttl);
        at = next;
    }
    None
}

fn value(data: &RData) -> Option<Value> {
    Some(match data {
        RData::A(a) => Value::Address(IpAddr::V4(a.0)),
        RData::AAAA(a) => Value::Address(IpAddr::V6(a.0)),
        RData::MX(mx) if mx.exchange.is_root() => Value::Mx(Mx { preference: mx.preference, exchange: None }),
        RData::MX(mx) => {
            Value::Mx(Mx { preference: mx.preference, exchange: Some(domain_name(&mx.exchange)?) })
        }
        RData::TLSA(t) => Value::Tlsa(Tlsa {
            usage: t.cert_usage.into(),
            selector: t.selector.into(),
            matching: t.matching.into(),
            data: t.cert_data.clone(),
        }),
        RData::PTR(name) => Value::Name(domain_name(&name.0)?),
        _ => return None,
    })
}

/// A name of the answer, if it is a host name: anything else cannot be connected to.
fn domain_name(name: &Name) -> Option<DomainName> {
    DomainName::parse(&name.to_ascii()).ok()
}

/// RFC 2308 §5: the lesser of the SOA record's TTL and its last field.
fn negative_ttl(message: &Message) -> Duration {
    let soa = message.authorities.iter().find_map(|r| match &r.data {
        RData::SOA(soa) => Some(Duration::from_secs(r.ttl.min(soa.minimum).into())),
        _ => None,
    });
    soa.unwrap_or(NEGATIVE_TTL_DEFAULT).min(NEGATIVE_TTL_MAX)
}
