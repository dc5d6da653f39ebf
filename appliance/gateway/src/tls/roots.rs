//! Whom we believe about the certificates of next hops.

use rustls::{RootCertStore, pki_types::CertificateDer};

/// DigiCert Global Root CA (G1). Mozilla dropped it for TLS on 15 April 2026; the SMTP front ends of Microsoft 365
/// still chained to it later, so it is believed towards next hops and nowhere else.
/// SHA-256 4348A0E9444C78CB265E058D5E8944B4D84F9662BD26DB257F8934A443C70161, valid to 2031-11-10.
const DIGICERT_GLOBAL_ROOT: &[u8] = include_bytes!("digicert-global-root-ca.der");

/// Roots that an administrator may add.
pub const ADDED_MAX: usize = 64;

/// A root of the administrator's that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    #[error("root certificate {0} is no certificate of an authority")]
    Unusable(usize),
    #[error("more than {ADDED_MAX} root certificates")]
    TooMany,
}

/// Mozilla's roots, DigiCert's, and the administrator's.
pub fn for_next_hops(added: &[CertificateDer<'static>]) -> Result<RootCertStore, RootError> {
    if added.len() > ADDED_MAX {
        return Err(RootError::TooMany);
    }
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let digicert = CertificateDer::from_slice(DIGICERT_GLOBAL_ROOT);
    roots.add(digicert).expect("the bundled certificate is parsed by a test");
    for (at, root) in added.iter().enumerate() {
        roots.add(root.clone()).map_err(|_| RootError::Unusable(at + 1))?;
    }
    Ok(roots)
}

/// Mozilla's roots and the administrator's, for what is no mail. A root that cannot be used is left out.
pub fn for_web(added: impl Iterator<Item = CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(added.take(ADDED_MAX));
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_root_is_the_one_that_it_says() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, DIGICERT_GLOBAL_ROOT);
        assert_eq!(digest.as_ref()[..4], [0x43, 0x48, 0xA0, 0xE9]);
        let all = for_next_hops(&[]).unwrap();
        assert_eq!(all.len(), webpki_roots::TLS_SERVER_ROOTS.len() + 1);
    }

    #[test]
    fn a_root_that_is_none_is_named() {
        let junk = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(for_next_hops(std::slice::from_ref(&junk)).unwrap_err(), RootError::Unusable(1));
        assert_eq!(for_next_hops(&vec![junk; ADDED_MAX + 1]).unwrap_err(), RootError::TooMany);
    }
}
