//! OpenLDAP's server with a few of Active Directory's attributes, on the peers' end of the link.

use std::{
    fmt::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    certificates::Site,
    lab::{HOST, Lab, text, wait_for},
};

/// The port of LDAP over TLS.
pub(crate) const LDAPS: u16 = 636;

const BASE: &str = "dc=example,dc=com";

/// A running server; ends when dropped, as a crash would end it.
#[derive(Debug)]
pub(crate) struct Slapd(Child);

impl Slapd {
    /// Starts a server with these entries that shows `site`.
    pub(crate) fn start(lab: &Lab, site: &Site, entries: &str) -> Slapd {
        let folder = lab.folder.join("slapd");
        let path = |name: &str| folder.join(name);
        std::fs::create_dir_all(path("data")).unwrap();
        // Where a profile confines the installed program to its own folders, a copy is not.
        std::fs::copy("/usr/sbin/slapd", path("slapd")).expect("slapd is installed");
        std::fs::write(path("ad.schema"), include_str!("../../../gateway/tests/ldap/ad.schema")).unwrap();
        std::fs::write(path("certificate.pem"), &site.certificate).unwrap();
        std::fs::write(path("key.pem"), &site.key).unwrap();
        std::fs::write(path("slapd.conf"), configuration(&folder)).unwrap();
        std::fs::write(path("entries.ldif"), format!("{}{entries}", frame())).unwrap();
        let mut add = Command::new(path("slapd"));
        // Which tool it is to be has to be said first.
        add.args(["-T", "add", "-q", "-f"]).arg(path("slapd.conf")).arg("-l").arg(path("entries.ldif"));
        // A test beside this one may have forked while the copy was written, and holds it open until its own program
        // begins.
        let added = wait_for("the copy can be run", || match add.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => None,
            done => Some(done.unwrap()),
        });
        assert!(added.status.success(), "{}", text(&added));
        Slapd::again(lab)
    }

    /// Starts the one that was there again.
    pub(crate) fn again(lab: &Lab) -> Slapd {
        let path = |name: &str| lab.folder.join("slapd").join(name);
        let log = std::fs::File::create(path("log")).unwrap();
        let mut serve = lab.command(path("slapd"));
        serve.arg("-f").arg(path("slapd.conf")).args(["-d", "0", "-h", &format!("ldaps://{HOST}:{LDAPS}/")]);
        let slapd = Slapd(serve.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        lab.wait_for_port(LDAPS);
        slapd
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
         directory {folder}/data\n\
         index objectClass,sAMAccountName,proxyAddresses,mail,userPrincipalName pres,eq\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by users read by * none\n"
    )
    .unwrap();
    text
}

/// The suffix, and the account that may ask.
fn frame() -> String {
    format!(
        "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n\
         dn: cn=reader,{BASE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
         cn: reader\nuserPassword: reader-secret\n\n"
    )
}

/// An entry in LDIF.
pub(crate) fn entry(name: &str, class: &str, attributes: &[(&str, &str)]) -> String {
    let mut text = format!("dn: cn={name},{BASE}\nobjectClass: {class}\ncn: {name}\n");
    if class == "user" {
        writeln!(text, "sn: {name}").unwrap();
    }
    for (attribute, value) in attributes {
        writeln!(text, "{attribute}: {value}").unwrap();
    }
    text.push('\n');
    text
}
