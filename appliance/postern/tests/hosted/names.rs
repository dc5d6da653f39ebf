//! A resolver for which every name is the peers' end of the link.

use std::net::UdpSocket;

use crate::lab::{HOST, Lab};

/// Answers until the test ends.
pub(crate) fn serve(lab: &Lab) {
    image::names::serve(lab.inside(|| UdpSocket::bind((HOST, 53)).unwrap()), HOST);
}
