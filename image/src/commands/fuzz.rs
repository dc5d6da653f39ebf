use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::program::Program;
use crate::workspace::Workspace;
use crate::{Doing, Error, Result, debian, tools};

#[derive(Debug, Args)]
pub struct Fuzz {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only targets whose name, such as `gateway/dns`, contains one of these.
    names: Vec<String>,
}

impl Fuzz {
    pub(super) fn execute(self, workspace: &Workspace) -> Result<()> {
        debian::install(debian::BUILD)?;
        let cargo_fuzz = tools::CARGO_FUZZ.installed()?;
        let mut failed = Vec::new();
        let mut ran = Vec::new();
        for folder in fuzz_folders(&workspace.root)? {
            for target in targets(&cargo_fuzz, &folder)? {
                let label = format!("{}/{target}", crate_name(&folder));
                if !self.names.is_empty() && !self.names.iter().any(|name| label.contains(name.as_str())) {
                    continue;
                }
                println!("{label}: {} s", self.seconds);
                match self.run_target(&cargo_fuzz, workspace, &folder, &target) {
                    Ok(()) => ran.push(label),
                    Err(error) => {
                        eprintln!("{error}");
                        failed.push(label);
                    }
                }
            }
        }
        for label in &ran {
            println!("ok      {label}");
        }
        match (failed.is_empty(), ran.is_empty()) {
            (false, _) => Err(Error::Failed(failed)),
            (true, true) => Err(Error::Usage("no fuzz target has this in its name".into())),
            (true, false) => Ok(()),
        }
    }

    fn run_target(
        &self,
        cargo_fuzz: &Path,
        workspace: &Workspace,
        folder: &Path,
        target: &str,
    ) -> Result<()> {
        // New inputs go to the first corpus; the one in the clone stays small.
        let corpus = workspace.target.join("fuzz-corpus").join(&*crate_name(folder)).join(target);
        fs::create_dir_all(&corpus).doing(|| format!("make {}", corpus.display()))?;
        let committed = folder.join("corpus").join(target);
        let mut run = Program::new(&cargo_fuzz.display().to_string(), "run a fuzz target")
            .args(["run", "--sanitizer", "none", "--fuzz-dir"])
            .arg(folder)
            .arg("--target-dir")
            .arg(workspace.target.join("fuzz"))
            .arg(target)
            .arg(&corpus);
        if committed.is_dir() {
            run = run.arg(&committed);
        }
        run.arg("--")
            .arg(format!("-max_total_time={}", self.seconds))
            .args([format!("-rss_limit_mb={MEMORY_MIB}"), format!("-timeout={INPUT_SECONDS}")])
            .dir(folder)
            .run()
    }
}

/// The crate that a folder of targets is for.
fn crate_name(folder: &Path) -> Cow<'_, str> {
    folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy()
}

/// Every folder `…/fuzz` with a `Cargo.toml`, as cargo-fuzz lays it out.
fn fuzz_folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    // Crates lie in the root or one folder below.
    for parent in [root.to_owned(), root.join("appliance")] {
        for entry in fs::read_dir(&parent).doing(|| format!("read {}", parent.display()))? {
            let fuzz = entry.doing(|| format!("read {}", parent.display()))?.path().join("fuzz");
            if fuzz.join("Cargo.toml").is_file() {
                found.push(fuzz);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn targets(cargo_fuzz: &Path, folder: &Path) -> Result<Vec<String>> {
    let list = Program::new(&cargo_fuzz.display().to_string(), "list the fuzz targets")
        .args(["list", "--fuzz-dir"])
        .arg(folder)
        .dir(folder)
        .output()?;
    Ok(list.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// What a target may take: far above every bound of ours, so that reaching it is a find.
const MEMORY_MIB: u32 = 1024;
/// How long one input may take, likewise.
const INPUT_SECONDS: u32 = 10;
