//! Debian packages that the commands need: those missing are installed, and nothing else is touched.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::cache::Entry;
use crate::program::Program;

/// What building the kernel and the executable needs.
pub const BUILD: &[&str] = &[
    KERNEL_SOURCE,
    "build-essential",
    "bc",
    "bison",
    "flex",
    "libelf-dev",
    "libssl-dev",
    "xz-utils",
    "zstd",
    "cpio",
    "kmod",
    "rsync",
    "patch",
    "dosfstools",
    "mtools",
    "syslinux",
    "syslinux-common",
];

/// What booting the image needs. `util-linux` has `setpriv`, which ends QEMU with its parent.
pub const QEMU: &[&str] = &["qemu-system-x86", "ovmf", "seabios", "util-linux"];

/// What converting the image needs.
pub const FORMATS: &[&str] = &["qemu-utils"];

/// The peers that the tests talk to, and what an unpacked one needs; `ldnsutils` signs the zones that `unbound`
/// validates.
const PEERS: &[&str] = &[
    "swaks",
    "libnet-ssleay-perl",
    "unbound",
    "ldnsutils",
    "postfix",
    "dovecot-imapd",
    "dovecot-pop3d",
    "openssl",
    "curl",
    "python3",
    "testssl.sh",
    "slapd",
    "ldap-utils",
    "iproute2",
    "libdb5.3",
    "libgnutls-dane0",
    "libidn12",
    "libnsl2",
    "libpcre2-8-0",
];

/// The directory server and its tools, for the benchmark; they are among the peers, too.
pub const DIRECTORY: &[&str] = &["slapd", "ldap-utils"];

/// A peer that cannot be installed: Debian takes one MTA only, and that is Postfix.
const UNPACKED: &str = "exim4-daemon-light";

/// What makes a network of its own.
pub const NAMESPACES: &[&str] = &["iproute2", "util-linux"];

/// The programs that attack us in the network's own tests.
pub const ATTACKERS: &[&str] = &["hping3", "iproute2", "nmap", "python3-scapy", "util-linux"];

/// Debian's package of the kernel's source. Its version is an input of the cache key.
pub const KERNEL_SOURCE: &str = "linux-source-6.12";

/// Installs those of `packages` that are missing, as root or by `sudo`.
///
/// # Errors
/// When apt fails, or may not be used.
pub fn install(packages: &[&str]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    println!("Installing {}", missing.join(" "));
    // A fresh machine's lists are old, and do not know the newest packages.
    apt("refresh the package lists").args(["update", "-qq"]).run()?;
    let quiet = Quiet::begin()?;
    let installed = apt("install packages").args(["install", "-y", "-qq", "--no-install-recommends"]);
    let result = installed.args(&missing).run();
    quiet.end()?;
    result
}

/// Where Debian asks whether a service may be started (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While it lasts, no package that is installed starts its service: the tests start their own, with their own files.
struct Quiet {
    /// False where somebody else has a policy already.
    ours: bool,
}

impl Quiet {
    fn begin() -> Result<Quiet> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            let write = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
            as_root("sh", "keep services from starting").args(["-c", &write]).run()?;
        }
        Ok(Quiet { ours })
    }

    fn end(self) -> Result<()> {
        if self.ours { as_root("rm", "let services start again").args(["-f", POLICY]).run() } else { Ok(()) }
    }
}

/// Installs the peers, unpacks the one that cannot be installed, and returns the folder where its files are.
///
/// # Errors
/// When apt fails, or may not be used.
pub fn peers() -> Result<PathBuf> {
    if !missing(&["postfix"]).is_empty() {
        // Without an answer it would be set up as this machine's mail service, and started.
        let answer = "echo postfix postfix/main_mailer_type select No configuration | debconf-set-selections";
        as_root("sh", "answer for Postfix's installation").args(["-c", answer]).run()?;
    }
    install(PEERS)?;
    let known = Program::new("apt-cache", "look for a package")
        .args(["show", "--no-all-versions", UNPACKED])
        .output()?;
    let version = known.lines().find_map(|line| line.strip_prefix("Version: ")).unwrap_or("unknown");
    let entry = Entry::take("peers", &format!("{UNPACKED}-{version}"))?;
    if !entry.is_complete() {
        entry.clear()?;
        Program::new("apt-get", "fetch a package").args(["download", UNPACKED]).dir(entry.folder()).run()?;
        Program::new("sh", "unpack a package")
            .args(["-c", "dpkg-deb -x *.deb . && rm *.deb"])
            .dir(entry.folder())
            .run()?;
        entry.complete()?;
    }
    Ok(entry.folder().to_owned())
}

/// The installed version of a package.
///
/// # Errors
/// When it is not installed.
pub fn version(package: &str) -> Result<String> {
    Program::new("dpkg-query", "read a package's version").args(["-W", "-f", "${Version}", package]).output()
}

fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let installed = |package: &str| {
        Program::new("dpkg-query", "look for a package")
            .args(["-W", "-f", "${db:Status-Status}", package])
            .output()
            .is_ok_and(|status| status == "installed")
    };
    packages.iter().copied().filter(|package| !installed(package)).collect()
}

fn apt(doing: &str) -> Program {
    // Two commands at once wait for each other.
    as_root("apt-get", doing).args(["-o", "DPkg::Lock::Timeout=600"])
}

fn as_root(name: &str, doing: &str) -> Program {
    if rustix::process::geteuid().is_root() {
        Program::new(name, doing).env("DEBIAN_FRONTEND", "noninteractive")
    } else {
        Program::new("sudo", doing).args(["DEBIAN_FRONTEND=noninteractive", name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_there_is_missing() {
        assert_eq!(missing(&["no-such-package-of-postern"]), ["no-such-package-of-postern"]);
    }
}
