//! Certificates of an authority of the test's own.

use std::net::IpAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use crate::lab::HOST;

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

    /// A certificate for the peers' end of the link.
    pub(crate) fn site(&self) -> Site {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(HOST)));
        params.distinguished_name.push(DnType::CommonName, HOST.to_string());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Site { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Has the appliance trust it: a section of the configuration.
    pub(crate) fn trusted(&self) -> String {
        trusted(&self.0.pem())
    }
}

/// The section that has the appliance trust this root beside its own.
pub(crate) fn trusted(root: &str) -> String {
    format!("[tls]\nroots = ['''\n{root}''']\n")
}
