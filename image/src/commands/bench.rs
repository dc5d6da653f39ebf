use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::build::build_image;
use crate::program::Program;
use crate::workspace::{Scratch, Workspace};
use crate::{Doing, Error, Result, debian};

#[derive(Debug, Args)]
pub struct Bench {
    /// Only this one.
    name: Option<String>,
    /// Write the figures of all that ran to this file, as one JSON object by name.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Bench {
    pub(super) fn execute(self, workspace: &Workspace) -> Result<()> {
        let wanted = |benchmark: &&Benchmark| self.name.as_ref().is_none_or(|name| name == benchmark.name);
        let chosen: Vec<&Benchmark> = BENCHMARKS.iter().filter(wanted).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
            return Err(Error::Usage(format!("there is no such benchmark; there are: {}", names.join(", "))));
        }
        let scratch = Scratch::new("bench")?;
        let (mut figures, mut failed) = (Map::new(), Vec::new());
        for benchmark in chosen {
            println!("{}:", benchmark.name);
            match benchmark.run(workspace, &scratch.path().join(benchmark.name)) {
                Ok(value) => drop(figures.insert(benchmark.name.to_owned(), value)),
                Err(error) => {
                    eprintln!("{error}");
                    failed.push(benchmark.name.to_owned());
                }
            }
        }
        if let Some(file) = self.json {
            fs::write(&file, format!("{:#}\n", Value::Object(figures)))
                .doing(|| format!("write {}", file.display()))?;
        }
        if failed.is_empty() { Ok(()) } else { Err(Error::Failed(failed)) }
    }
}

/// A program that measures. It is a cargo example, built for release; it prints figures for people, and
/// given `--json FILE` writes them there as one JSON value.
struct Benchmark {
    name: &'static str,
    package: &'static str,
    example: &'static str,
    /// It is given the built image's folder as `POSTERN_IMAGE`.
    image: bool,
    /// Debian's packages of the peers that it runs beside.
    peers: &'static [&'static str],
}

/// All of them.
const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "boot", package: "qemu-tests", example: "boot", image: true, peers: debian::QEMU },
    Benchmark { name: "net", package: "net", example: "bench", image: false, peers: debian::NAMESPACES },
];

impl Benchmark {
    fn run(&self, workspace: &Workspace, json: &Path) -> Result<Value> {
        debian::install(self.peers)?;
        let mut program = Program::new("cargo", "run a benchmark").dir(&workspace.root);
        if self.image {
            build_image(workspace)?;
            program = program.env("POSTERN_IMAGE", workspace.results());
        }
        program
            .args(["run", "--quiet", "--release", "--locked", "--package", self.package])
            .args(["--example", self.example, "--", "--json"])
            .arg(json)
            .run()?;
        let text = fs::read(json).doing(|| format!("read {}", json.display()))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Usage(format!("{}: its figures are not JSON: {error}", self.name)))
    }
}
