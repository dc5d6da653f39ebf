use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::kernel::Kernel;
use crate::program::Program;
use crate::workspace::Workspace;
use crate::{Doing, Result, debian, disk, executable};

#[derive(Debug, Args)]
pub struct Build {
    /// Also write the disk image in this format; may be given several times.
    #[arg(long, value_enum)]
    format: Vec<Format>,
}

/// A further format of the disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// QEMU and Proxmox.
    Qcow2,
    /// VMware: a stream that an OVF can name.
    Vmdk,
    /// Hyper-V.
    Vhdx,
}

/// What a build leaves in `target/image`.
#[derive(Debug, Clone)]
pub struct Results {
    /// The static executable.
    pub executable: PathBuf,
    /// The boot file.
    pub efi: PathBuf,
    /// The disk image.
    pub image: PathBuf,
}

impl Build {
    pub(super) fn execute(self, workspace: &Workspace) -> Result<()> {
        let results = build_image(workspace)?;
        let mut files = vec![results.executable.clone(), results.efi.clone(), results.image.clone()];
        for format in self.format {
            files.push(format.write(&results.image)?);
        }
        for file in files {
            let size = fs::metadata(&file).doing(|| format!("read {}", file.display()))?.len();
            println!("{:>8.1} MiB  {}", size as f64 / f64::from(1 << 20), file.display());
        }
        Ok(())
    }
}

/// Builds all three, installing what is missing.
///
/// # Errors
/// When a step fails.
pub fn build_image(workspace: &Workspace) -> Result<Results> {
    debian::install(debian::BUILD)?;
    let folder = workspace.results();
    fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    let results = Results::in_folder(&folder);
    let built = executable::build(workspace)?;
    fs::copy(&built, &results.executable).doing(|| format!("copy {}", built.display()))?;
    Kernel::built(workspace)?.link(&results.executable, &results.efi)?;
    disk::build(&results.efi, &results.image)?;
    Ok(results)
}

impl Results {
    /// The files' names in a folder of results.
    pub fn in_folder(folder: &Path) -> Self {
        Results {
            executable: folder.join("postern"),
            efi: folder.join("postern.efi"),
            image: folder.join("postern.img"),
        }
    }
}

impl Format {
    fn write(self, image: &Path) -> Result<PathBuf> {
        debian::install(debian::FORMATS)?;
        let (name, options): (_, &[&str]) = match self {
            Format::Qcow2 => ("qcow2", &["-c"]),
            Format::Vmdk => ("vmdk", &["-o", "subformat=streamOptimized,adapter_type=lsilogic"]),
            Format::Vhdx => ("vhdx", &["-o", "subformat=dynamic"]),
        };
        let file = image.with_extension(name);
        Program::new("qemu-img", "convert the disk image")
            .args(["convert", "-f", "raw", "-O", name])
            .args(options)
            .arg(image)
            .arg(&file)
            .run()?;
        Ok(file)
    }
}
