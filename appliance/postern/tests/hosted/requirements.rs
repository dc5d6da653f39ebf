//! What a test needs of the machine that runs it.

use std::path::{Path, PathBuf};

/// Whether this machine lets us make namespaces, and has these peers. Where it does not, the test says that it was
/// skipped; but `cargo postern test`, which installs them, sets `POSTERN_PEERS`, and then it fails.
pub(crate) fn available(peers: &[&str]) -> bool {
    let missing = if !rustix::process::geteuid().is_root() || !Path::new("/dev/net/tun").exists() {
        "root and /dev/net/tun"
    } else if let Some(missing) = peers.iter().find(|peer| program(peer).is_none()) {
        missing
    } else {
        return true;
    };
    assert!(std::env::var_os("POSTERN_PEERS").is_none(), "this test needs {missing}");
    eprintln!("skipped: needs {missing}");
    false
}

/// Where a peer is installed, or unpacked in the folder that `POSTERN_PEERS` names.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let unpacked = std::env::var_os("POSTERN_PEERS").map(PathBuf::from);
    let own = unpacked.iter().flat_map(|folder| [folder.join("usr/sbin"), folder.join("usr/bin")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = own.chain(std::env::split_paths(&path)).chain(["/usr/sbin".into()]).collect();
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}
