//! `[tls]`: our certificate, and whom we trust beside the built-in roots.

mod pem;

use crate::{
    mistake::Notes,
    reader::{Found, Section},
    secret::{Secret, Text},
    words::Words,
};

pub use pem::{Pem, PemError};

/// Further roots, in files or texts; each may hold several certificates.
pub const ROOTS_MAX: usize = 64;

/// Certificates of ours and of those we trust.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Our certificate with its key; `None`: the self-signed one that is made at first start.
    pub identity: Option<Identity>,
    /// The oldest version that is spoken, in both directions.
    pub min_version: TlsVersion,
    /// Trusted for SMTP beside the built-in roots.
    pub roots: Vec<Pem>,
}

/// A certificate and the key that fits it. Whether it does is checked by whoever uses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The chain, our own certificate first.
    pub certificate: Pem,
    /// A private key in PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: Secret,
}

/// A version of TLS. Older ones are not spoken (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl Words for TlsVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
}

impl Tls {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> Tls {
        let identity = Identity::read(&mut section, notes);
        let min_version = TlsVersion::read(&mut section, "min-version", notes);
        let roots = section.texts("roots", notes);
        if let Some(extra) = roots.get(ROOTS_MAX) {
            let text = format!("one too many, expected at most {ROOTS_MAX}");
            notes.note(extra.place.span.clone(), &extra.place.path, text);
        }
        let roots = roots.into_iter().filter_map(|found| certificates(found, notes)).collect();
        section.finish(notes);
        Tls { identity, min_version, roots }
    }
}

impl Identity {
    /// Reads the keys `certificate` and `key`; one without the other is a mistake.
    pub(crate) fn read(section: &mut Section<'_>, notes: &mut Notes<'_>) -> Option<Identity> {
        let certificate = section.text("certificate", notes).and_then(|found| certificates(found, notes));
        let key = section.text("key", notes).and_then(|found| private_key(found, notes));
        for (present, absent) in [("certificate", "key"), ("key", "certificate")] {
            if section.has(present) && !section.has(absent) {
                section.missing(absent, &format!("it beside `{present}`"), notes);
            }
        }
        certificate.zip(key).map(|(certificate, key)| Identity { certificate, key })
    }
}

pub(crate) fn certificates(found: Found<Text>, notes: &mut Notes<'_>) -> Option<Pem> {
    let result = match &found.value {
        Text::Unopened => Ok(Pem::unopened()),
        Text::Given(text) => Pem::certificates(text.expose()),
    };
    result.map_err(|why| note(&found, why, "certificates in PEM", notes)).ok()
}

pub(crate) fn private_key(found: Found<Text>, notes: &mut Notes<'_>) -> Option<Secret> {
    let result = match &found.value {
        Text::Unopened => Ok(Secret::new("")),
        Text::Given(text) => pem::check_key(text.expose()).map(|()| text.clone()),
    };
    result.map_err(|why| note(&found, why, "one private key in PEM", notes)).ok()
}

fn note(found: &Found<Text>, why: PemError, expected: &str, notes: &mut Notes<'_>) {
    notes.note(found.place.span.clone(), &found.place.path, format_args!("{why}, expected {expected}"));
}
