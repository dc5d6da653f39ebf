//! A directory server of its own for a test: OpenLDAP's, with a few of Active Directory's attributes.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificates::Site;

/// How long the server may take to start.
const START: Duration = Duration::from_secs(60);

/// Where everything lies.
pub(crate) const BASE: &str = "dc=example,dc=com";

/// A server that ends with its test.
pub(crate) struct Slapd {
    folder: tempfile::TempDir,
    running: Option<Child>,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
}

impl Slapd {
    /// Starts a server with these entries (LDIF), that shows `site`.
    pub(crate) fn start(site: &Site, entries: &str) -> Slapd {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // Where a profile confines the installed program to its own folders, a copy is not.
        let copied = std::fs::copy("/usr/sbin/slapd", path("slapd"));
        copied.expect("slapd is not installed; `cargo postern test` installs it");
        std::fs::create_dir(path("data")).unwrap();
        std::fs::write(path("ad.schema"), include_str!("ad.schema")).unwrap();
        std::fs::write(path("certificate.pem"), &site.certificate).unwrap();
        std::fs::write(path("key.pem"), &site.key).unwrap();
        std::fs::write(path("slapd.conf"), configuration(folder.path())).unwrap();
        std::fs::write(path("entries.ldif"), format!("{}{entries}", frame())).unwrap();
        let slapd = Slapd { plain: free_port(), tls: free_port(), running: None, folder };
        slapd.run(&["-T", "add", "-q", "-l", slapd.path("entries.ldif").to_str().unwrap()]);
        slapd.restarted()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self) -> Command {
        let mut program = Command::new(self.path("slapd"));
        program.arg("-f").arg(self.path("slapd.conf")).stdin(Stdio::null());
        program
    }

    fn run(&self, arguments: &[&str]) {
        let mut program = Command::new(self.path("slapd"));
        // Which tool it is to be has to be said first.
        program.args(arguments).arg("-f").arg(self.path("slapd.conf")).stdin(Stdio::null());
        let output = unless_busy(|| program.output());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn restarted(mut self) -> Slapd {
        self.restart();
        self
    }

    /// Starts it again at the same ports.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::create(self.path("log")).unwrap();
        let urls = format!("ldap://{}/ ldaps://{}/", self.plain, self.tls);
        let mut program = self.program();
        program.args(["-d", "0", "-h", &urls]).stdout(Stdio::null()).stderr(log);
        self.running = Some(unless_busy(|| program.spawn()));
        let until = Instant::now() + START;
        while TcpStream::connect(self.plain).is_err() || TcpStream::connect(self.tls).is_err() {
            let ended = self.running.as_mut().unwrap().try_wait().unwrap();
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < until, "slapd does not start: {ended:?} {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let mut text = String::new();
    for schema in ["core", "cosine", "inetorgperson", "nis"] {
        writeln!(text, "include /etc/ldap/schema/{schema}.schema").unwrap();
    }
    write!(
        text,
        "include {folder}/ad.schema\n\
         pidfile {folder}/pid\n\
         modulepath /usr/lib/ldap\n\
         moduleload back_mdb\n\
         TLSCertificateFile {folder}/certificate.pem\n\
         TLSCertificateKeyFile {folder}/key.pem\n\
         TLSVerifyClient never\n\
         database mdb\n\
         suffix \"{BASE}\"\n\
         rootdn \"cn=admin,{BASE}\"\n\
         rootpw admin-secret\n\
         directory {folder}/data\n\
         maxsize 4294967296\n\
         index objectClass,sAMAccountName,proxyAddresses,mail,uid,userPrincipalName pres,eq\n\
         limits dn.exact=\"cn=reader,{BASE}\" size=unlimited size.pr=unlimited size.prtotal=unlimited\n\
         limits dn.exact=\"cn=limited,{BASE}\" size=2 size.pr=2 size.prtotal=2\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to dn.exact=\"cn=Hidden,{BASE}\" attrs=mail,proxyAddresses by * search\n\
         access to * by users read by * none\n"
    )
    .unwrap();
    text
}

/// The suffix, the accounts that may ask, and a pointer to another server.
fn frame() -> String {
    let mut text =
        format!("dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n");
    for name in ["reader", "limited"] {
        let class = "objectClass: organizationalRole\nobjectClass: simpleSecurityObject";
        write!(text, "dn: cn={name},{BASE}\n{class}\ncn: {name}\nuserPassword: {name}-secret\n\n").unwrap();
    }
    let referral =
        "objectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\nref: ldap://198.51.100.1/o=x";
    write!(text, "dn: ou=elsewhere,{BASE}\n{referral}\n\n").unwrap();
    text
}

/// An entry in LDIF.
pub(crate) fn entry(name: &str, class: &str, attributes: &[(&str, &str)]) -> String {
    let mut text = format!("dn: cn={name},{BASE}\nobjectClass: {class}\ncn: {name}\n");
    if matches!(class, "user" | "inetOrgPerson") {
        writeln!(text, "sn: {name}").unwrap();
    }
    for (attribute, value) in attributes {
        writeln!(text, "{attribute}: {value}").unwrap();
    }
    text.push('\n');
    text
}

/// Runs a program that was just written. A test beside this one may have forked meanwhile and hold it open for writing
/// until its own program begins.
fn unless_busy<T>(mut run: impl FnMut() -> std::io::Result<T>) -> T {
    let until = Instant::now() + START;
    loop {
        match run() {
            Err(error)
                if error.kind() == std::io::ErrorKind::ExecutableFileBusy && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done.unwrap(),
        }
    }
}
