//! FAT volumes: the EFI system partition, and the seed volume that carries a configuration.

use std::fs;
use std::path::Path;

use super::{MIB, SYSTEM_FIRST, SYSTEM_MIB};
use crate::program::Program;
use crate::workspace::Scratch;
use crate::{Doing, Result};

/// The label by which PID 1 knows a seed volume.
pub const SEED_LABEL: &str = "POSTERN";

/// The name of the configuration on it.
pub const SEED_FILE: &str = "postern.toml";

/// Makes the EFI system partition: the boot file as the fall-back and in slot `a`, and syslinux for BIOS.
///
/// # Errors
/// When a tool fails or `result` cannot be written.
pub fn system(efi: &Path, result: &Path) -> Result<()> {
    let volume = Volume::make(result, SYSTEM_MIB, "PSTN-SYSTEM", 0x706f_7374, SYSTEM_FIRST)?;
    for folder in ["::/EFI", "::/EFI/BOOT", "::/EFI/postern"] {
        volume.tool("mmd", "make a folder").arg(folder).run()?;
    }
    volume.put(efi, "::/EFI/BOOT/BOOTX64.EFI")?;
    volume.put(efi, "::/EFI/postern/a.efi")?;
    let scratch = Scratch::new("syslinux")?;
    let configuration = scratch.path().join("syslinux.cfg");
    fs::write(&configuration, SYSLINUX).doing(|| format!("write {}", configuration.display()))?;
    volume.put(&configuration, "::/syslinux.cfg")?;
    reproducible(Program::new("syslinux", "install the loader for BIOS")).arg("--install").arg(result).run()
}

/// Makes a seed volume with `configuration` as its `postern.toml`.
///
/// # Errors
/// When a tool fails or `result` cannot be written.
pub fn seed(configuration: &str, result: &Path) -> Result<()> {
    let volume = Volume::make(result, SEED_MIB, SEED_LABEL, 0x7365_6564, 0)?;
    let scratch = Scratch::new("seed")?;
    let file = scratch.path().join(SEED_FILE);
    fs::write(&file, configuration).doing(|| format!("write {}", file.display()))?;
    volume.put(&file, &format!("::/{SEED_FILE}"))
}

struct Volume<'a>(&'a Path);

impl<'a> Volume<'a> {
    /// A new FAT32 volume with clusters of one sector, for a place on the disk.
    fn make(path: &'a Path, mib: u64, label: &str, serial: u32, first_sector: u64) -> Result<Self> {
        if path.exists() {
            fs::remove_file(path).doing(|| format!("remove {}", path.display()))?;
        }
        reproducible(Program::new("mkfs.vfat", "make a FAT volume"))
            .args(["--invariant", "-F", "32", "-s", "1", "-n", label, "-i", &format!("{serial:08x}")])
            // The loader for BIOS reads here where its partition begins.
            .args(["-h", &first_sector.to_string(), "-C"])
            .arg(path)
            .arg((mib * MIB / 1024).to_string())
            .output()
            .map(|_| Volume(path))
    }

    fn put(&self, file: &Path, name: &str) -> Result<()> {
        self.tool("mcopy", "copy a file into a FAT volume").arg(file).arg(name).run()
    }

    fn tool(&self, name: &str, doing: &str) -> Program {
        reproducible(Program::new(name, doing)).arg("-i").arg(self.0)
    }
}

/// Times that mkfs.vfat and mtools write are this, not now; FAT's own begin with 1980.
fn reproducible(program: Program) -> Program {
    program.env("SOURCE_DATE_EPOCH", "315532800").env("TZ", "UTC").env("MTOOLS_SKIP_CHECK", "1")
}

/// The smallest that is FAT32 with clusters of one sector is 33 MiB.
const SEED_MIB: u64 = 40;

/// The fall-back is what is loaded where no firmware variable can choose a slot. No prompt: the kernel has its command line built in, so there is nothing to ask.
const SYSLINUX: &str = "DEFAULT postern\nPROMPT 0\nTIMEOUT 0\nNOESCAPE 1\nALLOWOPTIONS 0\nLABEL postern\n  LINUX /EFI/BOOT/BOOTX64.EFI\n";
