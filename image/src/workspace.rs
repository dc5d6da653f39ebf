//! Where things lie: the clone, cargo's target folder, scratch folders.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::program::Program;
use crate::{Doing, Error, Result};

/// A copy of the source with the folder that it is compiled in.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// Seconds since 1970 that stand for "now" in what is built: the time of the commit.
    pub epoch: u64,
}

impl Workspace {
    /// The clone that this program was started from by cargo.
    ///
    /// # Errors
    /// When the crate's folder has no parent.
    pub fn of_this_clone() -> Result<Self> {
        // The running cargo's word first: the program itself may have been built elsewhere.
        let image = env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .filter(|folder| folder.join("kernel/hardened.fragment").exists())
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = image.parent().ok_or_else(|| Error::Usage("the clone's folder is not known".into()))?;
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Workspace { root: root.to_owned(), target, epoch: commit_time(root) })
    }

    /// A copy of every file that belongs to the source, in another folder: what a second clone would hold.
    ///
    /// # Errors
    /// When git or rsync fails.
    pub fn copied_to(&self, folder: &Path) -> Result<Self> {
        let files = Program::new("git", "list the source's files")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .dir(&self.root)
            .output()?;
        for file in files.lines().filter(|file| self.root.join(file).is_file()) {
            let to = folder.join(file);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).doing(|| format!("make {}", parent.display()))?;
            }
            fs::copy(self.root.join(file), &to).doing(|| format!("copy {file}"))?;
        }
        Ok(Workspace { root: folder.to_owned(), target: folder.join("target"), epoch: self.epoch })
    }

    /// Where the results go: `target/image` in the clone, whatever cargo's own target folder is, since
    /// scripts and people name it.
    pub fn results(&self) -> PathBuf {
        self.root.join("target/image")
    }

    /// The kernel's fragment and patch.
    pub fn kernel(&self) -> PathBuf {
        self.root.join("image/kernel")
    }
}

/// 0 where the source is not a git clone.
fn commit_time(root: &Path) -> u64 {
    let time =
        Program::new("git", "read the commit's time").args(["log", "-1", "--format=%ct"]).dir(root).output();
    time.ok().and_then(|time| time.trim().parse().ok()).unwrap_or(0)
}

/// A folder of its own under the system's temporary folder, removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// `purpose` is part of the name.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(purpose: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("postern-{purpose}-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).doing(|| format!("make {}", path.display()))?;
        Ok(Scratch(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = fs::remove_dir_all(&self.0);
    }
}
