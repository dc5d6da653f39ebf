//! A directory server on the peers' end of the link.

pub(crate) use image::slapd::entry;

use crate::{
    certificates::Site,
    lab::{HOST, Lab},
};

/// The port of LDAP over TLS.
pub(crate) const LDAPS: u16 = 636;

/// A server; ends when dropped, as a crash would end it.
#[derive(Debug)]
pub(crate) struct Slapd(image::slapd::Slapd);

impl Slapd {
    /// Starts a server with these entries that shows `site`.
    pub(crate) fn start(lab: &Lab, site: &Site, entries: &str) -> Slapd {
        let folder = lab.folder.join("slapd");
        let server = image::slapd::Slapd::filled(&folder, &site.certificate, &site.key, entries);
        let mut slapd = Slapd(server.expect("`cargo postern test` installs slapd"));
        slapd.restart(lab);
        slapd
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts it again.
    pub(crate) fn restart(&mut self, lab: &Lab) {
        let words = ["ip", "netns", "exec", &lab.name];
        self.0.start(&words, &format!("ldaps://{HOST}:{LDAPS}/")).unwrap();
        lab.wait_for_port(LDAPS);
    }
}
