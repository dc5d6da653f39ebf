//! A question, and the packet that asks it.

use config_schema::name::DomainName;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query as WireQuery},
    rr::{Name, RecordType},
};

/// The largest datagram that we let a resolver send; what is longer comes by TCP.
///
/// 1,232 octets fit every path without fragments (DNS flag day 2020), and fragments can be forged.
pub(super) const DATAGRAM_MAX: u16 = 1_232;

/// The kinds of records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    Mx,
    /// RFC 6698.
    Tlsa,
    Ptr,
}

impl Kind {
    pub(super) fn record_type(self) -> RecordType {
        match self {
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
            Kind::Mx => RecordType::MX,
            Kind::Tlsa => RecordType::TLSA,
            Kind::Ptr => RecordType::PTR,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    pub name: DomainName,
    pub kind: Kind,
}

/// One packet's secrets: without both of them no answer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub id: u16,
    /// The name with its letters' case chosen at random (draft-vixie-dnsext-dns0x20).
    pub name: Name,
}

/// Writes the packet for `question`; each letter of the name is upper case where `case` has a bit.
pub(super) fn encode(question: &Question, id: u16, case: &[u8; 32], edns: bool) -> Option<(Asked, Vec<u8>)> {
    let name = mixed_case(&question.name, case)?;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    // RFC 6840 §5.7: asks the resolver to say whether it validated, without asking for the signatures.
    message.metadata.authentic_data = true;
    message.add_query(WireQuery::query(name.clone(), question.kind.record_type()));
    if edns {
        let mut options = Edns::new();
        options.set_max_payload(DATAGRAM_MAX).set_version(0);
        message.set_edns(options);
    }
    Some((Asked { id, name }, message.to_vec().ok()?))
}

fn mixed_case(name: &DomainName, case: &[u8; 32]) -> Option<Name> {
    let flip = |(at, c): (usize, char)| {
        let bits = case.get(at / 8 % case.len()).copied().unwrap_or_default();
        if bits >> (at % 8) & 1 == 1 { c.to_ascii_uppercase() } else { c }
    };
    let text: String = name.as_str().chars().enumerate().map(flip).collect();
    let mut wire = Name::from_ascii(text).ok()?;
    wire.set_fqdn(true);
    Some(wire)
}
