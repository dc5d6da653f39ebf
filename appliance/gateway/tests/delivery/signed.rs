//! A validating resolver that nobody here wrote, with zones signed for the test (`unbound`, `ldnsutils`).

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use config_schema::name::DomainName;
use gateway::dns::{Resolver, Settings};

use crate::world::Loopback;

/// How long `unbound` may take until it answers.
const START: Duration = Duration::from_secs(30);

/// What is done to a zone before it is served.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Signed,
    /// Signed, and an address changed afterwards.
    Forged,
    Unsigned,
}

/// A running `unbound`; it ends with this value.
pub(crate) struct Signed {
    child: Child,
    folder: PathBuf,
    at: SocketAddr,
}

impl Signed {
    /// Serves the zones, each by its name and its records below a head that is written here.
    pub(crate) async fn serve(name: &str, zones: &[(&str, State, String)]) -> Signed {
        let folder = std::env::temp_dir().join(format!("postern-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (mut anchors, mut served) = (String::new(), String::new());
        for (zone, state, records) in zones {
            let file = format!("{zone}.zone");
            let head = format!("$ORIGIN {zone}.\n$TTL 300\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\n");
            fs::write(folder.join(&file), format!("{head}ns A 192.0.2.53\n{records}")).unwrap();
            let file = match state {
                State::Unsigned => file,
                State::Signed | State::Forged => {
                    let key = sign(&folder, zone, &file);
                    anchors += &format!("  trust-anchor-file: \"{key}.key\"\n");
                    format!("{file}.signed")
                }
            };
            if *state == State::Forged {
                let text = fs::read_to_string(folder.join(&file)).unwrap();
                fs::write(folder.join(&file), text.replace("192.0.2.25", "192.0.2.26")).unwrap();
            }
            served += &format!(
                "auth-zone:\n  name: \"{zone}.\"\n  zonefile: \"{file}\"\n  for-downstream: no\n  \
                 for-upstream: yes\n  fallback-enabled: no\n"
            );
        }
        // Another program may take the port meanwhile; then the next is tried.
        for _ in 0..5 {
            let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let text = format!(
                "server:\n  directory: \"{}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  \
                 interface: 127.0.0.1@{port}\n  do-daemonize: no\n  use-syslog: no\n  do-ip6: no\n  \
                 module-config: \"validator iterator\"\n{anchors}{served}",
                folder.display()
            );
            fs::write(folder.join("unbound.conf"), text).unwrap();
            let at = SocketAddr::from(([127, 0, 0, 1], port));
            let mut child = Command::new("unbound")
                .args(["-d", "-c"])
                .arg(folder.join("unbound.conf"))
                .stderr(Stdio::null())
                .spawn()
                .expect("unbound, as `cargo postern test` installs it");
            if answers(at, zones[0].0, &mut child).await {
                return Signed { child, folder, at };
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        panic!("unbound does not serve: see `unbound -d -c {}/unbound.conf`", folder.display());
    }

    pub(crate) fn settings(&self, validating: bool) -> Settings {
        Settings { servers: vec![self.at], validating, ..Settings::default() }
    }
}

impl Drop for Signed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Signs a zone with a key made for it; returns the key's name.
fn sign(folder: &Path, zone: &str, file: &str) -> String {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder).output();
        let output =
            output.unwrap_or_else(|error| panic!("{program}, as `cargo postern test` installs it: {error}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let key = run("ldns-keygen", &["-k", "-a", "ECDSAP256SHA256", zone]);
    run("ldns-signzone", &["-o", zone, "-f", &format!("{file}.signed"), file, &key]);
    key
}

/// Waits until the server says something about `zone`; false when it ended.
async fn answers(at: SocketAddr, zone: &str, child: &mut Child) -> bool {
    let end = Instant::now() + START;
    let name = DomainName::parse(&format!("ns.{zone}")).unwrap();
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        let settings = Settings { servers: vec![at], validating: true, ..Settings::default() };
        if Resolver::new(Arc::new(Loopback::default()), settings).ipv4(&name).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
