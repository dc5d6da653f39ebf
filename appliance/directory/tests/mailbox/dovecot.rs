//! A Dovecot of the test's own: its settings, its users and its ports, in a folder that goes with it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use config_schema::user_lookup::mailbox::{Protocol, Security};
use tempfile::TempDir;

use crate::certificates::Certificates;

/// Names and passwords, the hard ones among them.
pub(crate) const USERS: [(&str, &str); 4] = [
    ("ann@example.com", "s3cret"),
    ("bob", "with \"quotes\" and \\ back slashes"),
    ("carol@example.com", "Stra\u{df}e {5} +\u{20ac}"),
    ("dave+x@example.com", "two  spaces, and a 'quote'"),
];

/// Debian puts it where only root looks for programs.
const PLACES: [&str; 3] = ["/usr/sbin/dovecot", "/usr/local/sbin/dovecot", "/usr/bin/dovecot"];
/// How long it may take to listen, on the slowest machine.
const START: Duration = Duration::from_secs(120);

pub(crate) struct Dovecot {
    child: Child,
    folder: TempDir,
    ports: [u16; 4],
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.end();
    }
}

impl Dovecot {
    /// `None`: it is not installed, and this is not the run that installs it.
    pub(crate) async fn start(certificates: &Certificates) -> Option<Dovecot> {
        let Some(program) = PLACES.iter().map(PathBuf::from).find(|place| place.exists()) else {
            assert!(std::env::var_os("POSTERN_PEERS").is_none(), "this test needs Dovecot");
            eprintln!("skipped: Dovecot is not installed");
            return None;
        };
        // Another program may take a port between the choice and the start.
        for _ in 0..5 {
            if let Some(dovecot) = Dovecot::try_start(&program, certificates).await {
                return Some(dovecot);
            }
        }
        panic!("Dovecot did not start");
    }

    async fn try_start(program: &Path, certificates: &Certificates) -> Option<Dovecot> {
        let folder = tempfile::tempdir().unwrap();
        // Its processes run as other users.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mail = folder.path().join("mail");
        fs::create_dir(&mail).unwrap();
        fs::set_permissions(&mail, fs::Permissions::from_mode(0o777)).unwrap();
        let ports = free_ports();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("cert.pem", &certificates.certificate);
        write("key.pem", &certificates.key);
        let users = USERS.map(|(name, password)| format!("{name}:{{PLAIN}}{password}::::::\n")).concat();
        write("users", &users);
        write("dovecot.conf", &settings(folder.path(), &ports));
        let child = Command::new(program)
            .args(["-F", "-c"])
            .arg(folder.path().join("dovecot.conf"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut dovecot = Dovecot { child, folder, ports };
        dovecot.listens().await.then_some(dovecot)
    }

    async fn listens(&mut self) -> bool {
        let start = Instant::now();
        let up = |port: &u16| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok();
        while start.elapsed() < START {
            if self.ports.iter().all(up) {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                eprintln!("Dovecot ended: {log}");
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    pub(crate) fn address(&self, protocol: Protocol, security: Security) -> SocketAddr {
        let [imap, imaps, pop3, pop3s] = self.ports;
        let port = match (protocol, security) {
            (Protocol::Imap, Security::StartTls) => imap,
            (Protocol::Imap, Security::Tls) => imaps,
            (Protocol::Pop3, Security::StartTls) => pop3,
            (Protocol::Pop3, Security::Tls) => pop3s,
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // Its children end with it only when it is asked.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn settings(folder: &Path, [imap, imaps, pop3, pop3s]: &[u16; 4]) -> String {
    let folder = folder.display();
    let name = |flag: &str| {
        let output = Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    // As root, with the users of Debian's package; otherwise all as whoever runs the test.
    let root = name("-u") == "0";
    let (user, group, login) = if root {
        ("dovecot".to_owned(), "dovecot".to_owned(), "dovenull".to_owned())
    } else {
        (name("-un"), name("-gn"), name("-un"))
    };
    let unchrooted: String = ["imap-login", "pop3-login", "anvil", "auth", "stats"]
        .map(|service| format!("service {service} {{\n  chroot =\n}}\n"))
        .concat();
    format!(
        "base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/log\n\
         protocols = imap pop3\nlisten = 127.0.0.1\n\
         default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {login}\n\
         ssl = required\nssl_cert = <{folder}/cert.pem\nssl_key = <{folder}/key.pem\n\
         auth_mechanisms = plain\nauth_username_chars =\nauth_failure_delay = 0\n\
         first_valid_uid = 1\nmail_location = maildir:{folder}/mail/%n\n\
         passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN username_format=%u {folder}/users\n}}\n\
         userdb {{\n  driver = static\n  args = uid={user} gid={group} home={folder}/mail/%n\n}}\n\
         service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = {imaps}\n    ssl = yes\n  }}\n}}\n\
         service pop3-login {{\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  inet_listener pop3s {{\n    port = {pop3s}\n    ssl = yes\n  }}\n}}\n\
         {unchrooted}"
    )
}
