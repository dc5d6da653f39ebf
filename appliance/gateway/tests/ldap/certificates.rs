//! Certificates of an authority of the test's own, right ones and wrong ones.

use std::net::IpAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::CertificateDer;

/// What a server shows, in PEM.
pub(crate) struct Site {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test Authority");
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// For a name and an address.
    pub(crate) fn site(&self, name: &str, address: IpAddr) -> Site {
        self.sign(params(name, address))
    }

    /// Signs a certificate for whom `params` names.
    pub(crate) fn sign(&self, params: CertificateParams) -> Site {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Site { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A certificate for a name and an address.
pub(crate) fn params(name: &str, address: IpAddr) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress(address));
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
