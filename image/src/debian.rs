//! Debian packages that the commands need: those missing are installed, and nothing else is touched.

use crate::Result;
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

/// The peers that the tests talk to.
pub const PEERS: &[&str] = &["swaks", "libnet-ssleay-perl"];

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
    apt("install packages").args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing).run()
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
    let program = if rustix::process::geteuid().is_root() {
        Program::new("apt-get", doing).env("DEBIAN_FRONTEND", "noninteractive")
    } else {
        Program::new("sudo", doing).args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
    };
    // Two commands at once wait for each other.
    program.args(["-o", "DPkg::Lock::Timeout=600"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_there_is_missing() {
        assert_eq!(missing(&["no-such-package-of-postern"]), ["no-such-package-of-postern"]);
    }
}
