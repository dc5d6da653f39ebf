//! What is kept between builds and outside the clone: built kernels and tools.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Doing, Error, Result};

/// A folder of the cache, held by this process alone until dropped.
#[derive(Debug)]
pub struct Entry {
    folder: PathBuf,
    // The lock goes with the open file, also when the process is killed.
    _lock: File,
}

impl Entry {
    /// Waits until no other process has the entry `name` of `kind`, then takes it. The folder may not exist
    /// yet, or be the half of an interrupted build: see [`Entry::is_complete`].
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn take(kind: &str, name: &str) -> Result<Self> {
        Entry::take_in(&folder()?.join(kind), name)
    }

    fn take_in(kind: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(kind).doing(|| format!("make {}", kind.display()))?;
        let path = kind.join(format!("{name}.lock"));
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.doing(|| format!("open {}", path.display()))?;
        lock.lock().doing(|| format!("lock {}", path.display()))?;
        Ok(Entry { folder: kind.join(name), _lock: lock })
    }

    /// Where the entry lives.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether [`Entry::complete`] was reached once.
    pub fn is_complete(&self) -> bool {
        self.folder.join(COMPLETE).exists()
    }

    /// Makes the folder anew and empty, throwing away what an interrupted build left.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn clear(&self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).doing(|| format!("remove {}", self.folder.display()))?;
        }
        fs::create_dir_all(&self.folder).doing(|| format!("make {}", self.folder.display()))
    }

    /// Removes a folder in it that is not needed any more.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn discard(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::remove_dir_all(&path).doing(|| format!("remove {}", path.display()))
    }

    /// Says that the entry is whole. A marker rather than a rename: kbuild writes the absolute path of some
    /// of its tools into the tree, so that parts of a moved tree would be compiled again.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn complete(&self) -> Result<()> {
        let path = self.folder.join(COMPLETE);
        File::create(&path).and_then(|file| file.sync_all()).doing(|| format!("write {}", path.display()))
    }
}

/// The cache's folder: `$POSTERN_CACHE`, else `$XDG_CACHE_HOME/postern`, else `~/.cache/postern`.
///
/// # Errors
/// When none of these is set.
pub fn folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("POSTERN_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("postern")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/postern")))
        .ok_or_else(|| {
            Error::Usage("set POSTERN_CACHE, XDG_CACHE_HOME or HOME: no folder to keep the kernel in".into())
        })
}

const COMPLETE: &str = ".postern-complete";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Scratch;

    #[test]
    fn an_entry_is_complete_only_after_it_was_said() {
        let scratch = Scratch::new("cache").unwrap();
        let entry = Entry::take_in(scratch.path(), "key").unwrap();
        entry.clear().unwrap();
        fs::write(entry.folder().join("half"), "x").unwrap();
        assert!(!entry.is_complete());
        entry.clear().unwrap();
        assert!(!entry.folder().join("half").exists());
        entry.complete().unwrap();
        assert!(entry.is_complete());
        entry.clear().unwrap();
        assert!(!entry.is_complete());
    }

    #[test]
    fn a_second_process_waits() {
        let scratch = Scratch::new("cache-lock").unwrap();
        let held = Entry::take_in(scratch.path(), "key").unwrap();
        let other = File::open(scratch.path().join("key.lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        other.try_lock().unwrap();
    }
}
