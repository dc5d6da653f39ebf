use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::{dns::Tlsa, tls::roots};

struct Site {
    chain: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
    root: CertificateDer<'static>,
}

/// A certificate for `name` from an authority of the test's own; the authority is shown along with it.
fn site(name: &str) -> Site {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Test Authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let root = authority.der().clone();
    Site { chain: vec![leaf.der().clone(), root.clone()], key: key.serialize_der().into(), root }
}

/// Shakes hands with `site` as a client that wants `name`; the error is the client's.
async fn shake(site: &Site, roots: RootCertStore, check: Check, name: &str) -> Result<(), String> {
    let provider = Arc::new(default_provider());
    let key = PrivateKeyDer::from(site.key.clone_key());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(site.chain.clone(), key)
        .unwrap();
    let handshake = TlsClient::new(roots, false).handshake(&check);
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let connector = TlsConnector::from(handshake.config.clone());
    let (client, _) = tokio::join!(connector.connect(name, ours), acceptor.accept(theirs));
    client.map(drop).map_err(|error| handshake.refusal().map_or(error.to_string(), str::to_owned))
}

fn tlsa(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Check {
    let data = match matching {
        1 => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data).as_ref().to_vec(),
        2 => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, data).as_ref().to_vec(),
        _ => data.to_vec(),
    };
    let records = Records::usable(vec![Tlsa { usage, selector, matching, data }]).unwrap();
    Check::Dane(Dane { records, names: vec![DomainName::parse("mx.example.com").unwrap()] })
}

fn public_key(certificate: &CertificateDer<'_>) -> Vec<u8> {
    ParsedCertificate::try_from(certificate).unwrap().subject_public_key_info().to_vec()
}

#[tokio::test]
async fn a_name_is_checked_only_where_it_is_required() {
    let site = site("mx.example.com");
    let trusted = || roots::for_next_hops(std::slice::from_ref(&site.root)).unwrap();
    let strange = || roots::for_next_hops(&[]).unwrap();
    assert_eq!(shake(&site, strange(), Check::Nobody, "other.example").await, Ok(()));
    assert_eq!(shake(&site, trusted(), Check::Name, "mx.example.com").await, Ok(()));
    let wrong = shake(&site, trusted(), Check::Name, "other.example").await.unwrap_err();
    assert!(wrong.contains("other.example") || wrong.contains("not valid for name"), "{wrong}");
    let unknown = shake(&site, strange(), Check::Name, "mx.example.com").await.unwrap_err();
    assert!(unknown.contains("UnknownIssuer") && unknown.contains("Test Authority"), "{unknown}");
}

#[tokio::test]
async fn dane_names_the_certificate_whatever_its_name() {
    let site = site("elsewhere.example");
    let none = || roots::for_next_hops(&[]).unwrap();
    let leaf = &site.chain[0];
    for check in [
        tlsa(3, 0, 0, leaf),
        tlsa(3, 0, 1, leaf),
        tlsa(3, 1, 1, &public_key(leaf)),
        tlsa(3, 1, 2, &public_key(leaf)),
    ] {
        assert_eq!(shake(&site, none(), check, "mx.example.com").await, Ok(()));
    }
    for check in [tlsa(3, 1, 1, b"another key"), tlsa(3, 0, 1, &site.root)] {
        let error = shake(&site, none(), check, "mx.example.com").await.unwrap_err();
        assert!(error.contains("no TLSA record"), "{error}");
    }
}

#[tokio::test]
async fn dane_names_an_authority_and_then_the_name_counts() {
    let site = site("mx.example.com");
    let none = || roots::for_next_hops(&[]).unwrap();
    let by_key = tlsa(2, 1, 1, &public_key(&site.root));
    assert_eq!(shake(&site, none(), by_key.clone(), "mx.example.com").await, Ok(()));
    let Check::Dane(mut dane) = by_key else { panic!("a check by records") };
    let name = |text| DomainName::parse(text).unwrap();
    // RFC 7672 §3.2.2: any of the names on the way will do.
    dane.names = vec![name("other.example"), name("mx.example.com")];
    assert_eq!(shake(&site, none(), Check::Dane(dane.clone()), "other.example").await, Ok(()));
    dane.names.pop();
    assert!(shake(&site, none(), Check::Dane(dane), "other.example").await.is_err());
    let mut short = Site { chain: site.chain.clone(), key: site.key.clone_key(), root: site.root.clone() };
    short.chain.truncate(1);
    let whole = tlsa(2, 0, 0, &site.root);
    assert_eq!(shake(&short, none(), whole, "mx.example.com").await, Ok(()));
    let other = super::tests::site("mx.example.com");
    let foreign = tlsa(2, 0, 0, &other.root);
    assert!(shake(&site, none(), foreign, "mx.example.com").await.is_err());
}

#[test]
fn records_that_cannot_be_used_are_left_out() {
    let record = |usage, selector, matching, len| Tlsa { usage, selector, matching, data: vec![0; len] };
    for bad in [
        record(0, 0, 1, 32),
        record(1, 0, 1, 32),
        record(3, 2, 1, 32),
        record(3, 1, 3, 32),
        record(3, 1, 1, 31),
        record(3, 1, 0, 0),
    ] {
        assert_eq!(Records::usable(vec![bad]), None);
    }
    assert!(Records::usable(vec![record(3, 1, 1, 32); super::super::dane::RECORDS_MAX * 2]).is_some());
}
