//! OpenLDAP's server with a few of Active Directory's attributes, filled and started: a developers' tool for the tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Doing, Error, Result};

/// Where everything lies.
pub const BASE: &str = "dc=example,dc=com";
/// Who may ask: `cn=reader` below [`BASE`], and the password.
pub const READER_PASSWORD: &str = "reader-secret";

/// How long a program that was just written may be held open by others.
const BUSY_MAX: Duration = Duration::from_secs(60);
const PROGRAM: &str = "/usr/sbin/slapd";
const SCHEMAS: [&str; 4] = ["core", "cosine", "inetorgperson", "nis"];

/// A server with its files; what runs ends when dropped, as a crash would end it.
#[derive(Debug)]
pub struct Slapd {
    folder: PathBuf,
    running: Option<Child>,
}

impl Slapd {
    /// One in `folder` that shows this certificate (both in PEM) and has these entries (LDIF). It does not run yet.
    ///
    /// # Errors
    /// When OpenLDAP is not installed, a file cannot be written, or an entry is refused.
    pub fn filled(folder: &Path, certificate: &str, key: &str, entries: &str) -> Result<Slapd> {
        let slapd = Slapd { folder: folder.to_owned(), running: None };
        let data = slapd.path("data");
        fs::create_dir_all(&data).doing(|| format!("make {}", data.display()))?;
        // Where a profile confines the installed program to its own folders, a copy is not.
        fs::copy(PROGRAM, slapd.path("slapd")).doing(|| format!("copy {PROGRAM}"))?;
        let entries = format!("{}{entries}", frame());
        for (name, text) in [
            ("ad.schema", include_str!("slapd/ad.schema")),
            ("certificate.pem", certificate),
            ("key.pem", key),
            ("slapd.conf", &configuration(folder)),
            ("entries.ldif", &entries),
        ] {
            fs::write(slapd.path(name), text).doing(|| format!("write slapd's {name}"))?;
        }
        let mut add = Command::new(slapd.path("slapd"));
        // Which tool it is to be has to be said first.
        add.args(["-T", "add", "-q", "-f"]).arg(slapd.path("slapd.conf"));
        add.arg("-l").arg(slapd.path("entries.ldif")).stdin(Stdio::null());
        let added = unless_busy(|| add.output()).doing(|| "fill slapd")?;
        if added.status.success() {
            return Ok(slapd);
        }
        Err(Error::Program {
            doing: "fill slapd".into(),
            program: "slapd".into(),
            status: added.status,
            output: format!("\n{}", String::from_utf8_lossy(&added.stderr)),
        })
    }

    /// Starts it, instead of the one that runs, to listen at `urls`; `before` are words that stand before the program,
    /// such as those that have it run in a network namespace.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, before: &[&str], urls: &str) -> Result<()> {
        self.kill();
        let log = fs::File::create(self.path("log")).doing(|| "make slapd's log")?;
        let program = self.path("slapd");
        let mut command = match before {
            [] => Command::new(&program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
        };
        command.arg("-f").arg(self.path("slapd.conf")).args(["-d", "0", "-h", urls]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running = Some(unless_busy(|| command.spawn()).doing(|| "start slapd")?);
        Ok(())
    }

    /// What it said, if it has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        let ended = self.running.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        ended.then(|| fs::read_to_string(self.path("log")).unwrap_or_default())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            // An error says that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let schemas = SCHEMAS.map(|schema| format!("include /etc/ldap/schema/{schema}.schema\n")).concat();
    format!(
        "{schemas}include {folder}/ad.schema\n\
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
}

/// The suffix, the accounts that may ask, and a pointer to another server.
fn frame() -> String {
    let account = |name: &str| {
        format!(
            "dn: cn={name},{BASE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
             cn: {name}\nuserPassword: {name}-secret\n\n"
        )
    };
    format!(
        "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n\
         {}{}\
         dn: ou=elsewhere,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n\
         ref: ldap://198.51.100.1/o=x\n\n",
        account("reader"),
        account("limited")
    )
}

/// An entry in LDIF.
pub fn entry(name: &str, class: &str, attributes: &[(&str, &str)]) -> String {
    let surname =
        if matches!(class, "user" | "inetOrgPerson") { format!("sn: {name}\n") } else { String::new() };
    let attributes: String =
        attributes.iter().map(|(attribute, value)| format!("{attribute}: {value}\n")).collect();
    format!("dn: cn={name},{BASE}\nobjectClass: {class}\ncn: {name}\n{surname}{attributes}\n")
}

/// Runs a program that was just written. A test beside this one may have forked meanwhile and hold it open for writing
/// until its own program begins.
fn unless_busy<T>(mut run: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + BUSY_MAX;
    loop {
        match run() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < until => {
                thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}
