//! `postern.efi`: Linux with the program inside.
//!
//! The kernel is compiled once for each set of inputs and kept in the cache; putting another program in
//! replaces one object and links again.

mod fragment;

use std::fs;
use std::path::Path;
use std::thread;

use sha2::{Digest, Sha256};

use crate::cache::Entry;
use crate::cpio::Archive;
use crate::debian;
use crate::program::Program;
use crate::workspace::Workspace;
use crate::{Doing, Result};
pub use fragment::{Fragment, Unheld};

/// A compiled kernel, held by this process alone until dropped.
#[derive(Debug)]
pub struct Kernel(Entry);

impl Kernel {
    /// Takes the kernel from the cache, or compiles it: about 17 CPU-minutes.
    ///
    /// # Errors
    /// When a line of the fragment does not hold ([`crate::Error::Fragment`]), when a tool fails, or when the cache
    /// cannot be written.
    pub fn built(workspace: &Workspace) -> Result<Self> {
        let recipe = Recipe::read(workspace)?;
        let entry = Entry::take("kernel", &recipe.key())?;
        if !entry.is_complete() {
            println!("Compiling the kernel, once, for some minutes; its log is {}", log(&entry).display());
            recipe.build(&entry)?;
        }
        Ok(Kernel(entry))
    }

    /// Links `program` in as `/init` and writes the result: a PE file for UEFI that `qemu -kernel` and PXE
    /// boot as well.
    ///
    /// # Errors
    /// When `program` cannot be read, `result` not written, or the link fails.
    pub fn link(&self, program: &Path, result: &Path) -> Result<()> {
        let program = fs::read(program).doing(|| format!("read {}", program.display()))?;
        let archive = initramfs(program);
        let tree = self.0.folder();
        let path = tree.join(ARCHIVE);
        if fs::read(&path).ok().as_deref() != Some(&archive) {
            write_whole(&path, &archive)?;
        }
        make(&self.0, "link the program into the kernel", &["bzImage"])?;
        let image = tree.join("arch/x86/boot/bzImage");
        write_whole(result, &fs::read(&image).doing(|| format!("read {}", image.display()))?)
    }
}

/// What PID 1 finds: itself, and where to mount what the kernel offers. `/dev/console` is there because
/// without it PID 1 has no standard output before it has mounted `/dev`.
fn initramfs(program: Vec<u8>) -> Vec<u8> {
    Archive::new()
        .file("init", 0o755, program)
        .folder("dev")
        .character_device("dev/console", 0o600, (5, 1))
        .folder("proc")
        .folder("sys")
        .to_bytes()
}

/// Everything that decides the kernel's bits.
struct Recipe {
    package: String,
    compiler: String,
    linker: String,
    patch: Vec<u8>,
    fragment: String,
}

impl Recipe {
    fn read(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.kernel();
        let first_line = |program: &str| -> Result<String> {
            let text = Program::new(program, "read a tool's version").arg("--version").output()?;
            Ok(text.lines().next().unwrap_or_default().to_owned())
        };
        let patch = folder.join(PATCH);
        let fragment = folder.join(FRAGMENT);
        Ok(Recipe {
            package: debian::version(debian::KERNEL_SOURCE)?,
            compiler: first_line("gcc")?,
            linker: first_line("ld")?,
            patch: fs::read(&patch).doing(|| format!("read {}", patch.display()))?,
            fragment: fs::read_to_string(&fragment).doing(|| format!("read {}", fragment.display()))?,
        })
    }

    /// The name in the cache: the package's version for people, and a hash of all inputs.
    fn key(&self) -> String {
        let mut hash = Sha256::new();
        let mut input = |bytes: &[u8]| {
            // Lengths keep two neighbouring inputs apart.
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        input(STEPS.as_bytes());
        for (key, value) in ENVIRONMENT {
            input(key.as_bytes());
            input(value.as_bytes());
        }
        for part in [&self.package, &self.compiler, &self.linker, &self.fragment] {
            input(part.as_bytes());
        }
        input(OURS.as_bytes());
        input(&self.patch);
        let hex: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{hex}", self.package.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-"))
    }

    fn build(&self, entry: &Entry) -> Result<()> {
        entry.clear()?;
        let tree = entry.folder();
        Program::new("tar", "unpack the kernel's source")
            .args(["-xJf", &format!("/usr/src/{}.tar.xz", debian::KERNEL_SOURCE), "--strip-components=1"])
            .dir(tree)
            .run()?;
        write_whole(&tree.join(PATCH), &self.patch)?;
        Program::new("patch", "patch the kernel")
            .args(["-p1", "-i", PATCH])
            .dir(tree)
            .run_into(&log(entry))?;
        self.configure(entry)?;
        // An archive without a program, so that everything but the last link is done here.
        write_whole(&tree.join(ARCHIVE), &initramfs(Vec::new()))?;
        make(entry, "compile the kernel", &["bzImage"])?;
        entry.complete()
    }

    fn configure(&self, entry: &Entry) -> Result<()> {
        let path = entry.folder().join(".config");
        let wanted = format!("{}{OURS}", self.fragment);
        write_whole(&path, wanted.as_bytes())?;
        make(entry, "configure the kernel", &["olddefconfig"])?;
        let resolved = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        // Kconfig drops in silence what has unmet dependencies.
        Fragment::parse(&wanted).check(&resolved)?;
        Ok(())
    }
}

fn make(entry: &Entry, doing: &str, targets: &[&str]) -> Result<()> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let mut make = Program::new("make", doing)
        .arg(format!("-j{processors}"))
        .args(targets)
        .dir(entry.folder())
        // Set by an outer make, these would reach the kernel's.
        .without_env("MAKEFLAGS")
        .without_env("ARCH")
        .without_env("CROSS_COMPILE");
    for (key, value) in ENVIRONMENT {
        make = make.env(key, value);
    }
    make.run_into(&log(entry))
}

fn log(entry: &Entry) -> std::path::PathBuf {
    entry.folder().join("postern-build.log")
}

/// Never leaves half a file under its name.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let half = path.with_extension("half");
    fs::write(&half, bytes).doing(|| format!("write {}", half.display()))?;
    fs::rename(&half, path).doing(|| format!("write {}", path.display()))
}

const PATCH: &str = "vmxnet3-without-inet.patch";
const FRAGMENT: &str = "hardened.fragment";
/// Relative to the tree, so that no path of the machine is compiled in.
const ARCHIVE: &str = "postern.cpio";

/// Added to the fragment. The archive stays uncompressed within the kernel, which is compressed whole.
const OURS: &str = "CONFIG_INITRAMFS_SOURCE=\"postern.cpio\"\nCONFIG_INITRAMFS_COMPRESSION_NONE=y\n";

/// Stands for the build's steps in the cache key: a change of them changes this text.
const STEPS: &str = "unpack, patch, olddefconfig, bzImage in the tree; 1";

/// Documentation/kbuild/reproducible-builds.rst.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970"),
    ("KBUILD_BUILD_USER", "postern"),
    ("KBUILD_BUILD_HOST", "postern"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("SOURCE_DATE_EPOCH", "0"),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            package: "6.12.1-1~deb12u1".into(),
            compiler: "gcc 12".into(),
            linker: "ld 2.40".into(),
            patch: b"patch".to_vec(),
            fragment: "CONFIG_A=y\n".into(),
        }
    }

    #[test]
    fn every_input_changes_the_key() {
        let key = recipe().key();
        assert!(key.starts_with("6.12.1-1-deb12u1-"), "{key}");
        let changed = [
            Recipe { package: "6.12.2-1".into(), ..recipe() },
            Recipe { compiler: "gcc 13".into(), ..recipe() },
            Recipe { linker: "ld 2.41".into(), ..recipe() },
            Recipe { patch: b"other".to_vec(), ..recipe() },
            Recipe { fragment: "CONFIG_A=m\n".into(), ..recipe() },
        ];
        for other in changed {
            assert_ne!(other.key(), key);
        }
        assert_eq!(recipe().key(), key);
    }

    #[test]
    fn the_fragment_of_this_clone_reads() {
        let workspace = Workspace::of_this_clone().unwrap();
        let text = fs::read_to_string(workspace.kernel().join(FRAGMENT)).unwrap();
        assert!(text.contains("# CONFIG_INET is not set\n"));
        assert!(Fragment::parse(&text).check(&text).is_ok());
    }
}
