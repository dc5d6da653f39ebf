//! DANE for SMTP: whether a chain of certificates is the one that TLSA records name (RFC 6698, RFC 7671, RFC 7672).

use aws_lc_rs::digest;
use rustls::{pki_types::CertificateDer, server::ParsedCertificate};

use crate::dns::Tlsa;

/// TLSA records of one host that are looked at.
pub const RECORDS_MAX: usize = 32;

/// RFC 6698 §2.1.1: a trust anchor that the chain must lead to.
const TRUST_ANCHOR: u8 = 2;
/// RFC 6698 §2.1.1: the server's own certificate.
const END_ENTITY: u8 = 3;

/// The usable TLSA records of a host; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records(Vec<Tlsa>);

/// What the records say of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// The server's certificate is named: its name and dates do not matter (RFC 7672 §3.1.1).
    EndEntity,
    /// These certificates are named as anchors: the chain must lead to one of them.
    Anchors(Vec<CertificateDer<'static>>),
    Nothing,
}

impl Records {
    /// The records that can be used, or `None`: then TLS is demanded, but no certificate is checked
    /// (RFC 7672 §2.2). Usages 0 and 1 are not for SMTP (§3.1.3).
    pub fn usable(records: Vec<Tlsa>) -> Option<Records> {
        let fits = |t: &Tlsa| {
            let length = match t.matching {
                0 => !t.data.is_empty(),
                1 => t.data.len() == 32,
                2 => t.data.len() == 64,
                _ => false,
            };
            matches!(t.usage, TRUST_ANCHOR | END_ENTITY) && t.selector <= 1 && length
        };
        let usable: Vec<Tlsa> = records.into_iter().filter(fits).take(RECORDS_MAX).collect();
        (!usable.is_empty()).then_some(Records(usable))
    }

    /// Compares a chain as the server showed it, its own certificate first.
    pub(super) fn find(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Match {
        if self.0.iter().any(|t| t.usage == END_ENTITY && matches(t, leaf)) {
            return Match::EndEntity;
        }
        let anchors = self.0.iter().filter(|t| t.usage == TRUST_ANCHOR);
        let mut found = Vec::new();
        for record in anchors {
            found.extend(others.iter().filter(|c| matches(record, c)).map(|c| c.clone().into_owned()));
            // RFC 7671 §5.2.2: a whole certificate in the record need not be shown by the server.
            if record.selector == 0 && record.matching == 0 {
                found.push(CertificateDer::from(record.data.clone()));
            }
        }
        if found.is_empty() { Match::Nothing } else { Match::Anchors(found) }
    }
}

fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match record.selector {
        0 => certificate.to_vec(),
        _ => match ParsedCertificate::try_from(certificate) {
            Ok(parsed) => parsed.subject_public_key_info().to_vec(),
            Err(_) => return false,
        },
    };
    match record.matching {
        0 => selected == record.data,
        1 => digest::digest(&digest::SHA256, &selected).as_ref() == record.data,
        _ => digest::digest(&digest::SHA512, &selected).as_ref() == record.data,
    }
}
