//! A directory server of its own for a test, on the loopback interface.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

pub(crate) use image::slapd::{BASE, entry};

use crate::certificates::Site;

/// How long the server may take to start.
const START: Duration = Duration::from_secs(60);

/// A server that ends with its test.
pub(crate) struct Slapd {
    pub(crate) server: image::slapd::Slapd,
    _folder: tempfile::TempDir,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl Slapd {
    /// Starts a server with these entries (LDIF), that shows `site`.
    pub(crate) fn start(site: &Site, entries: &str) -> Slapd {
        let folder = tempfile::tempdir().unwrap();
        let server = image::slapd::Slapd::filled(folder.path(), &site.certificate, &site.key, entries)
            .expect("`cargo postern test` installs slapd");
        let mut slapd = Slapd { server, _folder: folder, plain: free_port(), tls: free_port() };
        slapd.restart();
        slapd
    }

    /// Starts it again at the same ports.
    pub(crate) fn restart(&mut self) {
        self.server.start(&[], &format!("ldap://{}/ ldaps://{}/", self.plain, self.tls)).unwrap();
        let until = Instant::now() + START;
        while TcpStream::connect(self.plain).is_err() || TcpStream::connect(self.tls).is_err() {
            let ended = self.server.ended();
            assert!(ended.is_none() && Instant::now() < until, "slapd does not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
